"""An update of several batches, the loss of an epoch and that of an evaluation are those of one large batch."""

import functools

import numpy as np
import pytest

import nnx
from nnx.testing import assert_close
from nnx.training import evaluate
from nnx.training.step import as_objective, divisor_of

RNG = np.random.default_rng(4)
X, TARGET, WEIGHT = RNG.normal(size=(9, 4, 5)), RNG.integers(-1, 3, (9, 4)), RNG.uniform(0.5, 3.0, 9)
TARGET[4:6] = -1  # the second of the batches
PARTS = (slice(0, 4), slice(4, 6), slice(6, 9))
LOSSES = {
    "ignored": lambda weight: nnx.CrossEntropy(axis=-1, ignore_index=-1),
    "classes": lambda weight: nnx.CrossEntropy(weight, axis=-1, ignore_index=-1),
    "sum": lambda weight: nnx.CrossEntropy(axis=-1, ignore_index=-1, reduction="sum"),
    "focal": lambda weight: nnx.Focal(weight, axis=-1, ignore_index=-1),
}


def batches(xp, weighted, parts=PARTS):
    found = [{"input": xp.asarray(X[part]), "target": xp.asarray(TARGET[part], "int64")} for part in parts]
    if weighted:
        found = [b | {"sample_weight": xp.asarray(WEIGHT[part])} for b, part in zip(found, parts, strict=True)]
    return found


def prepare(xp, name, **options):
    with nnx.use_backend(xp.spec):
        model = nnx.Linear(5, 3, rng=0)
    loss = LOSSES[name](xp.asarray([0.2, 1.0, 3.0]))
    return nnx.Trainer(model, loss, nnx.SGD(model, 0.1), **options)


@pytest.mark.further
@pytest.mark.parametrize("weighted", [True, False])
@pytest.mark.parametrize("name", LOSSES)
def test_batches_add_up(xp, name, weighted):
    several, one = prepare(xp, name, accumulate=3), prepare(xp, name)
    small, large = batches(xp, weighted), batches(xp, weighted, [slice(None)])
    rows = [trainer.fit(data, data, epochs=2).rows for trainer, data in ((several, small), (one, large))]
    assert_close(several.model.parameters(), one.model.parameters(), rtol=1e-5, atol=1e-6)
    for key in ("loss", "validation_loss"):
        np.testing.assert_allclose([row[key] for row in rows[0]], [row[key] for row in rows[1]], rtol=1e-5)
    value, _ = one.objective(one.model, large[0])
    for data in (small, small[::-1], large):
        found = evaluate(one.model, one.loss, data)["loss"]
        assert found == pytest.approx(float(nnx.to_numpy(value)), rel=1e-5)


@pytest.mark.parametrize("name", ["ignored", pytest.param("sum", marks=pytest.mark.further)])
def test_where_no_target_counts_the_loss_is_0_and_nothing_is_learned(xp, name):
    trainer = prepare(xp, name, accumulate=2)
    before = trainer.model.parameters()
    data = batches(xp, False, PARTS[1:2]) * 2
    assert [row["loss"] for row in trainer.fit(data, epochs=2).rows] == [0.0, 0.0]
    assert_close(trainer.model.parameters(), before, rtol=0.0)
    assert trainer.evaluate(data)["loss"] == 0.0


def test_samples_of_weight_0_give_0_and_not_nan(xp):
    trainer = prepare(xp, "classes", accumulate=3)
    data = batches(xp, True)
    for batch in data[:2]:
        batch["sample_weight"] = 0.0 * batch["sample_weight"]
    assert trainer.evaluate(data)["loss"] == pytest.approx(trainer.evaluate(data[2:])["loss"], rel=1e-6)
    assert trainer.evaluate(data[:1])["loss"] == 0.0
    assert np.isfinite(trainer.fit(data, epochs=1).rows[0]["loss"])


def test_a_run_that_stops_within_a_step_ends_with_the_same_bits(xp):
    whole, first, second = (prepare(xp, "classes", accumulate=4) for _ in range(3))
    data = batches(xp, True)
    whole.fit(data, epochs=2)

    class Pause(nnx.training.Callback):
        def on_batch_end(self, trainer, value, outputs):
            if trainer.step == 2:
                trainer.pause("in the middle")

    first = prepare(xp, "classes", accumulate=4, callbacks=[Pause()])
    first.fit(data, epochs=2)
    second.load_state_dict(nnx.to_numpy(first.state_dict()))
    assert second.fit(data, epochs=2).rows == whole.history.rows
    assert_close(second.model.parameters(), whole.model.parameters(), rtol=0.0)


def test_an_objective_may_tell_what_it_divides_by():
    class TokenMean:
        """A mean over the numbers of a ragged batch."""

        def __call__(self, model, batch):
            return nnx.functional.mse(model(batch["x"]), batch["y"]), None

        def divisor(self, batch, outputs):
            return batch["x"].size

    model = nnx.Linear(1, 1, rng=0)
    data = [{"x": np.ones((2, n, 1), np.float32), "y": np.full((2, n, 1), n, np.float32)} for n in (1, 5)]
    values = [float(TokenMean()(model, batch)[0]) for batch in data]
    assert evaluate(model, TokenMean(), data)["loss"] == pytest.approx((values[0] + 5 * values[1]) / 6)
    assert evaluate(model, TokenMean().__call__, data)["loss"] == pytest.approx(sum(values) / 2)  # by samples


@pytest.mark.further
@pytest.mark.parametrize("timed", [True, False])
def test_what_a_callback_puts_in_the_place_of_the_objective_divides_by_what_it_does(xp, timed):
    stated = prepare(xp, "ignored", accumulate=2)

    class Other(nnx.callbacks.Callback):
        def on_fit_start(self, trainer):
            trainer.objective = stated.objective

    callbacks = [Other(), nnx.callbacks.Timing()] if timed else [Other()]
    replaced = prepare(xp, "sum", callbacks=callbacks, accumulate=2)
    data = batches(xp, False)
    rows = [trainer.fit(data, data, epochs=2).rows for trainer in (stated, replaced)]
    assert rows[0] == rows[1]


def test_a_function_around_the_objective_divides_by_what_the_loss_does(xp):
    class Around(nnx.callbacks.Callback):
        def on_fit_start(self, trainer):
            objective = trainer.objective
            trainer.objective = lambda model, batch: objective(model, batch)

    plain, around = (prepare(xp, "classes", accumulate=2, callbacks=chosen) for chosen in ([], [Around()]))
    data = batches(xp, True)
    assert plain.fit(data, data, epochs=2).rows == around.fit(data, data, epochs=2).rows


def test_a_function_around_an_objective_may_have_a_divisor_of_its_own():
    base = nnx.training.supervised(nnx.CrossEntropy(axis=-1, ignore_index=-1))

    @functools.wraps(base)
    def half(model, batch):
        value, outputs = base(model, batch)
        return value / 2, outputs

    model, data = nnx.Linear(5, 3, rng=0), [{"input": X[:2].astype("f4"), "target": TARGET[:2]}]
    outputs = model(data[0]["input"])
    counted = int((TARGET[:2] != -1).sum())
    for divisor, expected in ((None, counted), (lambda batch, outputs: 1000, 1000)):
        if divisor is not None:
            half.divisor = divisor
        # As the trainer's own, and in the place of another one.
        assert as_objective(half).divisor(data[0], outputs) == expected
        assert divisor_of(half, as_objective(nnx.MSE()))(data[0], outputs) == expected
