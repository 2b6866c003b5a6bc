import numpy as np
import pytest

import nnx
from nnx.backend import namespace
from nnx.errors import ArgumentError, DataError, ShapeError
from nnx.testing import assert_close
from nnx.training import make_step, supervised


class Sum(nnx.Module):
    """One weight for each of two inputs."""

    def __init__(self, xp):
        self.scale = nnx.Parameter(xp.asarray([2.0, 3.0]))

    def forward(self, a, b=None):
        return self.scale[0] * a if b is None else self.scale[0] * a + self.scale[1] * b


def set_up(xp):
    a, b, target = (xp.asarray(values) for values in ([1.0, 2.0], [0.5, -1.0], [3.0, 0.0]))
    return Sum(xp), a, b, target


def form(name, a, b, target):
    return {
        "pair": (a, target),
        "two inputs": (a, b, target),
        "list": [a, b, target],
        "dict": {"target": target, "b": b, "a": a},
        "input alone": (a,),
        "array": a,
    }[name]


@pytest.mark.parametrize("name", ["pair", "two inputs", "list", "dict", "input alone", "array"])
def test_a_step_is_a_loss_a_gradient_and_an_update(xp, name):
    model, a, b, target = set_up(xp)
    batch = form(name, a, b, target)
    value, outputs = make_step(nnx.MSE(), nnx.SGD(model, 0.1))(model, batch)
    x, y, t = (nnx.to_numpy(array) for array in (a, b, target))
    if name in ("pair", "input alone", "array"):
        y, t = np.zeros(2), t if name == "pair" else x
    expected = 2 * x + 3 * y
    np.testing.assert_allclose(nnx.to_numpy(outputs), expected)
    np.testing.assert_allclose(float(nnx.to_numpy(value)), np.mean((expected - t) ** 2))
    slope = [np.mean(2 * (expected - t) * part) for part in (x, y)]
    np.testing.assert_allclose(nnx.to_numpy(model.scale), [2 - 0.1 * slope[0], 3 - 0.1 * slope[1]], rtol=1e-6)


def test_an_objective_may_take_any_tree_and_return_any_outputs(xp):
    model, a, b, _ = set_up(xp)

    def objective(model, batch):
        first, second = model(batch["pair"][0]), model(*batch["pair"])
        xp = namespace(first)
        return xp.sum((first - second) ** 2) + 0.0 * batch["deep"]["er"], {"first": first, "kept": batch["name"]}

    before = nnx.to_numpy(model.scale)
    step = make_step(objective, nnx.SGD(model, 0.1))
    value, outputs = step(model, {"pair": (a, b), "deep": {"er": xp.asarray(1.0)}, "name": "kept"})
    assert float(nnx.to_numpy(value)) == pytest.approx(9 * 1.25)
    assert outputs["kept"] == "kept"
    assert nnx.to_numpy(model.scale)[1] == pytest.approx(before[1] - 0.1 * 2 * 3 * 1.25)


def test_an_objective_of_several_outputs_and_a_loss_that_is_a_function(xp):
    model, a, b, target = set_up(xp)

    class Both(nnx.Module):
        def __init__(self):
            self.inner = model

        def forward(self, a, b):
            return self.inner(a), self.inner(b)

    def loss(outputs, target):
        first, second = outputs
        return nnx.functional.mse(first + second, target)

    value, outputs = make_step(supervised(loss), nnx.SGD(model := Both(), 0.1))(model, (a, b, target))
    assert isinstance(outputs, tuple)
    assert float(nnx.to_numpy(value)) == pytest.approx(np.mean([0, 4]))


def test_what_before_update_raises_keeps_the_parameters(xp):
    model, a, _, target = set_up(xp)
    seen = []

    def stop(batch, value, outputs, gradients):
        seen.append((batch, float(nnx.to_numpy(value)), nnx.to_numpy(outputs).tolist()))
        raise KeyboardInterrupt

    before = model.scale
    batch = (a, target)
    with pytest.raises(KeyboardInterrupt):
        make_step(nnx.MSE(), nnx.SGD(model, 0.1), before_update=stop)(model, batch)
    assert model.scale is before
    assert seen[0][0] is batch
    assert seen[0][1:] == (8.5, [2.0, 4.0])


@pytest.mark.parametrize(
    ("batch", "message"),
    [
        ((), "expected a batch with inputs and a target, got an empty one; check the loader"),
        ({}, "expected a batch with a 'target', got one with nothing; rename the target, or write an objective"),
        ({"x": np.ones(2), "y": np.ones(2)}, "expected a batch with a 'target', got one with 'x', 'y'; rename"),
    ],
)
def test_batches_without_a_target(batch, message):
    with pytest.raises(DataError, match=message):
        supervised(nnx.MSE())(nnx.ReLU(), batch)


def test_a_loss_for_each_example_is_no_objective():
    model = nnx.Linear(2, 2, rng=0)
    step = make_step(nnx.MSE(reduction="none"), nnx.SGD(model, 0.1))
    with pytest.raises(ShapeError, match=r"expected a function that returns one number.*take a mean or sum"):
        step(model, (np.ones((3, 2), np.float32), np.ones((3, 2), np.float32)))


def test_before_update_chooses_the_gradients_or_none(xp):
    model, a, _, target = set_up(xp)
    before = model.scale
    step = make_step(nnx.MSE(), nnx.SGD(model, 0.1), before_update=lambda *args: None)
    step(model, (a, target))
    assert model.scale is before
    step = make_step(nnx.MSE(), nnx.SGD(model, 0.1), before_update=lambda *args: {"scale": 0.0 * args[-1]["scale"]})
    step(model, (a, target))
    assert_close(model.scale, before)


def test_weights_of_the_samples(xp):
    model, a, _, target = set_up(xp)
    weight = xp.asarray([1.0, 3.0])
    plain, _ = supervised(nnx.MSE("none"))(model, {"a": a, "target": target})
    found, _ = supervised(nnx.MSE())(model, {"a": a, "target": target, "sample_weight": weight})
    expected = nnx.to_numpy(plain) @ [0.25, 0.75]
    assert float(nnx.to_numpy(found)) == pytest.approx(expected)


def test_weights_that_do_not_fit(xp):
    model, a, _, target = set_up(xp)
    batch = {"a": a, "target": target, "sample_weight": xp.asarray([1.0])}
    with pytest.raises(ShapeError, match=r"expected 'sample_weight' of shape \(2,\), one for each loss, got \(1,\)"):
        supervised(nnx.MSE())(model, batch)
    negative = {**batch, "sample_weight": xp.asarray([1.0, -2.0])}
    if nnx.backend.is_cheap_to_read(a):
        with pytest.raises(DataError, match=r"expected 'sample_weight' >= 0, got -2\.0; leave a sample out"):
            supervised(nnx.MSE())(model, negative)
    with pytest.raises(ArgumentError, match=r"loss that can give one for each sample.*got mse; choose"):
        supervised(nnx.functional.mse)(model, batch)


class Two(nnx.Module):
    """Takes an image and its caption."""

    def forward(self, image, caption):
        return image + caption


@pytest.mark.parametrize(
    ("batch", "message"),
    [
        ({"image": 1, "captoin": 1, "target": 1}, "takes, image, caption, got image, captoin; did you mean caption"),
        ({"image": 1, "target": 1}, "expected a batch with what Two takes, image, caption, got image"),
        (
            {"image": 1, "caption": 1, "target": 1, "sample_weights": 1},
            "image, caption, got image, caption, sample_weights; did you mean sample_weight",
        ),
        ((1, 1), "expected a batch with what Two takes, image, caption, got 1 input"),
        ((1, 1, 1, 1), "expected a batch with what Two takes, image, caption, got 3 inputs"),
    ],
)
def test_a_batch_of_other_inputs_than_the_model_takes(batch, message):
    x = np.ones((2, 1), np.float32)
    batch = dict.fromkeys(batch, x) if isinstance(batch, dict) else (x,) * len(batch)
    with pytest.raises(DataError, match=message):
        supervised(nnx.MSE())(Two(), batch)
    with pytest.raises(DataError, match="expected a batch with what Two takes"):
        nnx.training.predict(Two(), [batch])


def test_weights_of_the_samples_are_no_input_of_a_prediction():
    x = np.ones((2, 1), np.float32)
    assert nnx.training.predict(Two(), [{"image": x, "caption": x, "sample_weight": x}]).shape == (2, 1)


def test_an_objective_returns_two_things():
    model = nnx.Linear(1, 1, rng=0)
    step = make_step(lambda model, batch: nnx.functional.mse(model(batch), batch), nnx.SGD(model, 0.1))
    with pytest.raises(ArgumentError, match=r"expected an objective that returns \(value, outputs\), got TracedArray"):
        step(model, np.ones((2, 1), np.float32))
