import numpy as np
import pytest

import nnx
from nnx.errors import ArgumentError
from nnx.testing import assert_close


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


@pytest.mark.parametrize("rate", [-1.0, float("nan"), float("inf")])
def test_a_learning_rate_out_of_range(rate):
    with pytest.raises(ArgumentError, match="expected a finite learning_rate >= 0, got"):
        nnx.SGD(nnx.Linear(1, 1), learning_rate=rate)


def test_gradients_must_fit_the_model():
    optimizer = nnx.SGD(nnx.Linear(1, 1), learning_rate=0.1)
    with pytest.raises(ArgumentError, match=r"missing \['bias'\], not in the model \['other'\]"):
        optimizer.step({"weight": np.ones((1, 1)), "other": 0.0})
