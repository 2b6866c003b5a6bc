import copy
import json
import pickle

import numpy as np
import pytest

import nnx
from nnx.errors import ArgumentError
from nnx.testing import assert_close


def pair(spec="numpy", dtype="float32"):
    with nnx.use_backend(spec):
        return nnx.Model([nnx.Linear(3, 4, rng=0, dtype=dtype), nnx.Sigmoid(), nnx.Linear(4, 2, rng=1, dtype=dtype)])


def train(model, optimizer, xp, steps, start=0):
    draw = np.random.default_rng(7)
    batches = [(draw.standard_normal((5, 3)), draw.integers(0, 2, 5)) for _ in range(start + steps)][start:]
    for x, target in batches:
        x, target = xp.asarray(x, "float64"), xp.asarray(target, "int64")
        optimizer.step(nnx.grad(lambda model, x=x, t=target: nnx.functional.cross_entropy(model(x), t))(model))


def test_a_step_is_that_of_model_update(xp):
    x, target = xp.asarray(np.eye(3)), xp.asarray([0, 1, 1], "int64")
    with nnx.use_backend(xp.spec):
        models = [nnx.Model([nnx.Linear(3, 2, rng=0)]) for _ in range(2)]
    loss, optimizer = nnx.CrossEntropy(), nnx.SGD(models[1], learning_rate=0.3)
    for _ in range(3):
        loss(models[0](x), target)
        models[0].backward(loss.gradient())
        models[0].update(learning_rate=0.3)
        objective = lambda model: nnx.functional.cross_entropy(model(x), target)  # noqa: E731
        optimizer.step(nnx.grad(objective)(models[1]))
    assert_close(models[1].parameters(), models[0].parameters())


@pytest.mark.parametrize("again", [copy.deepcopy, lambda o: pickle.loads(pickle.dumps(o))])
def test_a_copy_goes_on_alike(again):
    xp = type("Host", (), {"asarray": staticmethod(lambda data, dtype: np.asarray(data, dtype))})
    model = pair(dtype="float64")
    optimizer = nnx.SGD(model, 0.1, momentum=0.9)
    train(model, optimizer, xp, 2)
    other = again(optimizer)
    assert other.model is not model
    train(model, optimizer, xp, 2, start=2)
    train(other.model, other, xp, 2, start=2)
    assert_close(other.model.parameters(), model.parameters(), rtol=0.0)


def test_hyperparameters_are_data():
    optimizer = nnx.SGD(pair(), 0.1, momentum=0.9, nesterov=True, weight_decay=1e-4)
    expected = {"learning_rate": 0.1, "momentum": 0.9, "nesterov": True, "weight_decay": 1e-4}
    assert dict(optimizer.hyperparameters) == expected
    assert optimizer.config() == {"type": "SGD", **expected, "groups": []}
    assert repr(optimizer) == "SGD(learning_rate=0.1, momentum=0.9, nesterov=True, weight_decay=0.0001)"
    with pytest.raises(TypeError):
        optimizer.hyperparameters["momentum"] = 0.0
    optimizer.learning_rate = 0.05
    model = pair()
    again = nnx.from_config(json.loads(json.dumps(optimizer.config())), model=model)
    assert type(again) is nnx.SGD
    assert again.model is model
    assert again.config() == optimizer.config() == {"type": "SGD", **expected, "learning_rate": 0.05, "groups": []}
    with pytest.raises(ArgumentError, match=r"SGD cannot be made: .* missing 1 required positional argument: 'model'"):
        nnx.from_config(optimizer.config())


def test_numbers_of_numpy_do_not_widen_float32():
    model = nnx.Linear(1, 1, rng=0)
    nnx.SGD(model, np.float64(0.1), momentum=np.float64(0.5), weight_decay=np.float64(0.1)).step(
        {"weight": np.ones((1, 1), np.float32), "bias": np.ones(1, np.float32)}
    )
    assert {w.dtype.name for w in model.parameters().values()} == {"float32"}


@pytest.mark.parametrize("name", ["learning_rate", "momentum", "weight_decay"])
@pytest.mark.parametrize("value", [-1.0, float("nan"), float("inf"), "0.1", None, [0.1, 0.2]])
def test_numbers_out_of_range(name, value):
    with pytest.raises(ArgumentError, match=f"expected a finite {name} >= 0, got"):
        nnx.SGD(nnx.Linear(1, 1), **{"learning_rate": 0.1, name: value})


def test_nesterov_needs_momentum():
    with pytest.raises(ArgumentError, match="nesterov needs a momentum > 0"):
        nnx.SGD(nnx.Linear(1, 1), 0.1, nesterov=True)


def test_the_learning_rate_may_be_changed_and_is_checked():
    model = nnx.Linear(1, 1, bias=False, initializer=nnx.initializers.Constant(1.0))
    optimizer = nnx.SGD(model, 1.0)
    optimizer.learning_rate = 0.25
    optimizer.step({"weight": np.ones((1, 1), np.float32)})
    assert model.weight.item() == 0.75
    with pytest.raises(ArgumentError, match="expected a finite learning_rate >= 0, got -1"):
        optimizer.learning_rate = -1
    assert optimizer.learning_rate == 0.25
