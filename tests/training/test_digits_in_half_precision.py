"""The digits are learned in 16 bits as well as in 32."""

import numpy as np
import pytest

import nnx
from nnx.training import LossScale, Policy, step_if, supervised


def mlp(rng):
    return [nnx.Flatten(), nnx.Linear(64, 32, rng=rng), nnx.ReLU(), nnx.Linear(32, 10, rng=rng)]


def lenet(rng):
    return [
        nnx.Conv2d(1, 8, 3, padding="same", rng=rng),
        nnx.ReLU(),
        nnx.MaxPool2d(2),
        nnx.Conv2d(8, 16, 3, padding="same", rng=rng),
        nnx.ReLU(),
        nnx.MaxPool2d(2),
        nnx.Flatten(),
        nnx.Linear(64, 10, rng=rng),
    ]


def accuracy(layers, epochs, dtype, backend):
    """Train and return the share of the other digits that are recognized."""
    x, y = nnx.data.load_digits()
    order = np.random.default_rng(0).permutation(len(x))
    x, y = (nnx.to_device(data[order], backend) for data in (x.reshape((-1, 1, 8, 8)), y))
    with nnx.use_backend(backend):
        model = nnx.Model(layers(np.random.default_rng(0)))
    policy, scale, optimizer = Policy(dtype), LossScale(), nnx.Adam(model, learning_rate=5e-3)
    objective = policy.objective(supervised(nnx.CrossEntropy()))
    gradients_of = nnx.grad(lambda model, batch: scale.scale(objective(model, batch)[0]))
    for _ in range(epochs):
        for i in range(0, 1400, 50):
            gradients, finite = scale.unscale(gradients_of(model, (x[i : i + 50], y[i : i + 50])))
            step_if(finite, optimizer, gradients)
            scale.update(finite)
    assert scale.skipped == 0
    outputs = nnx.to_numpy(policy.model(model.eval())(x[1400:]))
    return np.mean(outputs.argmax(axis=1) == nnx.to_numpy(y[1400:]))


@pytest.mark.parametrize(("layers", "epochs"), [(mlp, 6), (lenet, 3)])
@pytest.mark.parametrize(("backend", "dtype"), [("numpy", "float16"), ("torch", "float16"), ("torch", "bfloat16")])
def test_the_accuracy_is_that_of_float32_within_a_point(layers, epochs, backend, dtype):
    if backend == "torch":
        pytest.importorskip("torch", reason="torch is not installed")
    expected, found = (accuracy(layers, epochs, name, backend) for name in ("float32", dtype))
    assert expected > 0.9
    assert abs(found - expected) <= 0.01, (found, expected)
