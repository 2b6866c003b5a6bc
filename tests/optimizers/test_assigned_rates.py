"""Learning rates that are assigned in a run: saved with it, and restored where the optimizer is made as it was."""

import numpy as np
import pytest

import nnx
from nnx.errors import CheckpointError
from nnx.schedules import Constant, Cosine
from nnx.testing import assert_close

GROUPS = [{"paths": "bias", "learning_rate": 0.5}, {"paths": "weight", "weight_decay": 0.0}]


def made(rate=1.0, groups=GROUPS, spec="numpy"):
    with nnx.use_backend(spec):
        return nnx.SGD(nnx.Linear(1, 1, rng=0), rate, momentum=0.5, groups=groups)


def step(optimizer):
    optimizer.step({path: nnx.namespace(w).ones_like(w) for path, w in optimizer.model.parameters().items()})


def test_a_checkpoint_has_what_was_assigned(xp, tmp_path):
    optimizer = made(spec=xp.spec)
    step(optimizer)
    optimizer.learning_rates = (0.1, 0.3)
    step(optimizer)
    path = tmp_path / "run.safetensors"
    nnx.io.save_checkpoint(path, {"model": optimizer.model.state_dict(), "optimizer": optimizer.state_dict()})
    saved, _ = nnx.io.load_checkpoint(path)
    resumed = made(spec=xp.spec)
    resumed.model.load_state_dict(saved["model"])
    resumed.load_state_dict(saved["optimizer"])
    assert resumed.learning_rates == (0.1, 0.3)
    for each in (optimizer, resumed):
        step(each)
    assert_close(resumed.model.parameters(), optimizer.model.parameters(), rtol=0.0, atol=0.0)
    assert resumed.config() == optimizer.config()


def test_without_an_assignment_what_is_configured_counts():
    state = made().state_dict()
    assert "learning_rates" not in state
    assert made(0.2).load_state_dict(state).learning_rates == (0.2, 0.5)
    assert made(Cosine(0.2, 10)).load_state_dict(state).learning_rates == (Cosine(0.2, 10), 0.5)


def test_another_number_on_purpose_counts():
    optimizer = made()
    optimizer.learning_rates = (0.1, 0.3)
    state = optimizer.state_dict()
    assert made(0.2).load_state_dict(state).learning_rates == (0.2, 0.3)
    assert made(Constant(0.2)).load_state_dict(state).learning_rates == (Constant(0.2), 0.3)
    # And goes on to count, also if it was assigned again meanwhile.
    other = made(0.2).load_state_dict(state)
    other.learning_rate = 0.05
    assert made(0.2).load_state_dict(other.state_dict()).learning_rates == (0.05, 0.3)


def test_a_number_in_the_place_of_a_schedule():
    optimizer = made(Cosine(0.2, 10))
    optimizer.learning_rate = 0.1
    state = optimizer.state_dict()
    assert made(Cosine(0.2, 10)).load_state_dict(state).learning_rates == (0.1, 0.5)
    assert made(0.3).load_state_dict(state).learning_rates == (0.3, 0.5)
    optimizer.learning_rate = Cosine(0.2, 10)
    assert "learning_rates" not in optimizer.state_dict()


def test_an_assigned_schedule_counts_as_configured():
    optimizer = made()
    state = optimizer.state_dict()
    optimizer.learning_rate = Constant(0.2)
    assert optimizer.load_state_dict(state).learning_rate == 0.2
    optimizer.learning_rate = 0.1
    assert optimizer.load_state_dict(state).learning_rate == 0.2


def test_the_state_of_before_the_assignment_takes_it_back():
    optimizer = made()
    state = optimizer.state_dict()
    optimizer.learning_rates = (0.1, 0.3)
    assert optimizer.load_state_dict(state).learning_rates == (1.0, 0.5)
    assert optimizer.hyperparameters["learning_rate"] == (1.0, 0.5)


def test_lbfgs_too():
    make = lambda: nnx.optimizers.LBFGS(nnx.Linear(1, 1, rng=0), 0.5, line_search=None)  # noqa: E731
    optimizer = make()
    optimizer.learning_rate = 0.1
    x = np.ones((2, 1), np.float32)
    optimizer.step(lambda: nnx.value_and_grad(lambda model: nnx.functional.mse(model(x), 0 * x))(optimizer.model))
    assert make().load_state_dict(optimizer.state_dict()).learning_rate == 0.1


def test_a_batch_that_is_undone_takes_its_rate_along(xp):
    """On devices a bad batch is found at the end of the epoch, when a later one may have had another rate."""

    class Assign(nnx.training.Callback):
        def on_batch_end(self, trainer, value, outputs):
            trainer.optimizer.learning_rate = 0.25 / 2**trainer.step

    optimizer = made(groups=(), spec=xp.spec)
    trainer = nnx.Trainer(optimizer.model, nnx.MSE(), optimizer, callbacks=[Assign()])
    good, bad = xp.asarray([[1.0]], "float32"), xp.asarray([[float("nan")]], "float32")
    with pytest.raises(nnx.errors.NonFiniteError):
        trainer.fit([(bad, good), (good, good)], epochs=1)
    assert optimizer.learning_rate == 1.0


@pytest.mark.parametrize(
    "entry",
    [
        None,
        3,
        [0.1, 0.3],
        np.zeros((3, 3)),
        {"configured": 1.0, "assigned": 0.1},
        {"configured": [1.0, 0.5], "assigned": [np.zeros(3), None]},
        {"configured": [1.0], "assigned": [0.1]},
        {"configured": [1.0, 0.5]},
        {"configured": [1.0, 0.5], "assigned": [-1.0, None]},
        {"configured": [1.0, 0.5], "assigned": ["0.1", None]},
        {"configured": [1.0, 0.5], "assigned": [float("nan"), None]},
    ],
)
def test_error_for_rates_of_other_groups(entry):
    optimizer = made()
    step(optimizer)
    before = optimizer.state_dict()
    with pytest.raises(
        CheckpointError, match=r"do not fit SGD: learning_rates: expected 2 configured and 2 assigned"
    ) as caught:
        optimizer.load_state_dict(before | {"step": 7, "learning_rates": entry})
    assert "\n" not in str(caught.value)
    assert optimizer.state_dict() == before
