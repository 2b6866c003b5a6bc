"""The learning rate on a plateau: as in PyTorch, and the same in a run that is resumed."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import nnx
from nnx.callbacks import ReduceOnPlateau
from nnx.errors import ArgumentError, UsageError
from nnx.testing import assert_close

DATA = (np.ones((2, 1), np.float32), np.zeros((2, 1), np.float32))


def trainer_of(callback, rate=0.3, **options):
    model = nnx.Linear(1, 1, rng=0)
    return nnx.Trainer(model, nnx.MSE(), nnx.SGD(model, rate, **options), callbacks=[callback])


def replay(callback, values, name="loss", trainer=None):
    """Let a callback see the metrics of some epochs, and return the learning rates after each."""
    trainer = trainer or trainer_of(callback)
    trainer.columns = ("epoch", name)
    callback.on_fit_start(trainer)
    seen = []
    for value in values:
        trainer.history.add({"epoch": 1, name: value})
        callback.on_epoch_end(trainer, trainer.history.rows[-1])
        seen.append(trainer.optimizer.learning_rate)
    return seen


@given(
    values=st.lists(st.sampled_from([1.0, 0.9999, 0.99, 0.5, 2.0, -1.0, 0.0]), max_size=30),
    larger=st.booleans(),
    options=st.fixed_dictionaries(
        {
            "factor": st.sampled_from([0.1, 0.5]),
            "patience": st.integers(0, 3),
            "cooldown": st.integers(0, 3),
            "relative": st.booleans(),
            "least_change": st.sampled_from([0.0, 1e-4, 0.05]),
            "least_rate": st.sampled_from([0.0, 0.02]),
        }
    ),
)
def test_as_pytorch_reduces(values, larger, options):
    torch = pytest.importorskip("torch", reason="torch is not installed")
    optimizer = torch.optim.SGD([torch.zeros(1)], lr=0.3)
    theirs = torch.optim.lr_scheduler.ReduceLROnPlateau(
        optimizer,
        mode="max" if larger else "min",
        factor=options["factor"],
        patience=options["patience"],
        threshold=options["least_change"],
        threshold_mode="rel" if options["relative"] else "abs",
        cooldown=options["cooldown"],
        min_lr=options["least_rate"],
    )
    expected = []
    for value in values:
        theirs.step(value)
        expected.append(optimizer.param_groups[0]["lr"])
    name = "accuracy" if larger else "loss"
    assert replay(ReduceOnPlateau(name, **options), values, name) == expected


def test_it_monitors_the_loss_of_validation_if_there_is_one():
    callback = ReduceOnPlateau(patience=0)
    trainer = trainer_of(callback)
    trainer.fit(DATA, DATA, epochs=1)
    assert callback.best == trainer.history.rows[0]["validation_loss"]


def test_the_rates_of_groups_are_reduced_too():
    callback = ReduceOnPlateau(factor=0.5, patience=0)
    trainer = trainer_of(callback, groups=[{"paths": "bias", "learning_rate": 0.1}])
    replay(callback, [1.0, 1.0], trainer=trainer)
    assert trainer.optimizer.learning_rates == (0.15, 0.05)


@pytest.mark.parametrize("stopped_after", range(6))
def test_a_resumed_run_has_the_same_bits(xp, stopped_after):
    data = tuple(xp.asarray(part) for part in DATA)

    def made():
        with nnx.use_backend(xp.spec):
            model = nnx.Linear(1, 1, rng=0)
        optimizer = nnx.SGD(model, 0.3, momentum=0.5, groups=[{"paths": "bias", "learning_rate": 0.1}])
        plateau = ReduceOnPlateau(factor=0.5, patience=1, least_change=0.9999)
        return nnx.Trainer(model, nnx.MSE(), optimizer, callbacks=[plateau])

    def expect_as_whole(trainer):
        assert trainer.optimizer.learning_rates == whole.optimizer.learning_rates
        assert trainer.history.rows == whole.history.rows
        assert_close(trainer.model.parameters(), whole.model.parameters(), rtol=0.0, atol=0.0)

    whole, first, second = made(), made(), made()
    whole.fit(data, epochs=6)
    assert whole.optimizer.learning_rate < 0.3
    if stopped_after:
        first.fit(data, epochs=stopped_after)
    state = first.state_dict()
    for _ in range(2):  # the second time back to the earlier state, in the run that has gone on
        second.load_state_dict(state)
        second.fit(data, epochs=6)
        expect_as_whole(second)


def test_a_second_fit_takes_the_rate_that_was_set_meanwhile():
    callback = ReduceOnPlateau(factor=0.5, patience=0)
    trainer = trainer_of(callback)
    replay(callback, [1.0, 1.0], trainer=trainer)
    trainer.optimizer.learning_rate = 7.0
    assert replay(callback, [1.0], trainer=trainer) == [3.5]


def test_what_is_refused():
    for factor in (1.0, 2):
        with pytest.raises(ArgumentError, match=r"expected factor in \(0, 1\), got"):
            ReduceOnPlateau(factor=factor)
    with pytest.raises(ArgumentError, match="expected a finite factor > 0, got 0"):
        ReduceOnPlateau(factor=0)
    with pytest.raises(ArgumentError, match="expected patience to be an integer of at least 0, got -1"):
        ReduceOnPlateau(patience=-1)
    callback = ReduceOnPlateau()
    with pytest.raises(UsageError, match=r"ReduceOnPlateau changes a learning rate that is a number, got Cosine\("):
        trainer_of(callback, nnx.schedules.Cosine(0.1, 10)).fit(DATA, epochs=1)

    class Other:
        def step(self, gradients):
            pass

    with pytest.raises(UsageError, match="ReduceOnPlateau: expected an optimizer of nnx, got Other"):
        nnx.Trainer(nnx.Linear(1, 1), nnx.MSE(), Other(), callbacks=[callback]).fit(DATA, epochs=1)
