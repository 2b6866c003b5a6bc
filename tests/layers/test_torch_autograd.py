"""Models over torch tensors that torch's own autograd follows: nothing that is kept holds a record of earlier steps."""

import numpy as np
import pytest

import nnx
from nnx.testing import assert_close

torch = pytest.importorskip("torch", reason="torch is not installed")


def made():
    return nnx.Model([nnx.SpectralNorm(nnx.Linear(3, 4, rng=0), rng=0), nnx.BatchNorm1d(4)]).to("torch")


def followed():
    return torch.arange(12.0).reshape(4, 3).requires_grad_()


def test_buffers_are_constants():
    model, x = made(), followed()
    for parameter in model.parameters().values():
        parameter.requires_grad_()
    for _ in range(2):
        torch.sum(model(x) ** 3).backward()
    values = [buffer.value for buffer in model.buffers().values() if not isinstance(buffer.value, int)]
    assert len(values) == 4
    assert not any(value.requires_grad for value in values)
    assert x.grad is not None


@pytest.mark.parametrize("rule", [lambda model: nnx.SGD(model, 0.1, momentum=0.9), nnx.Adam])
def test_parameters_stay_leaves(rule):
    model, plain, x = nnx.Linear(3, 3, rng=0).to("torch"), nnx.Linear(3, 3, rng=0).to("torch"), followed()
    model.weight.requires_grad_()
    optimizer, other = rule(model), rule(plain)
    for _ in range(3):
        optimizer.step(nnx.grad(lambda model: nnx.functional.mse(model(x), x))(model))
        other.step(nnx.grad(lambda model: nnx.functional.mse(model(x), x))(plain))
    assert model.weight.requires_grad
    assert model.weight.is_leaf
    assert not model.bias.requires_grad
    assert not any(value.requires_grad for name, value in optimizer.state_dict().items() if name != "step")
    assert_close(nnx.to_numpy(model.parameters()), nnx.to_numpy(plain.parameters()))


def test_metrics_are_constants():
    metric, x = nnx.metrics.MeanSquaredError(), followed()
    metric.update(x, torch.zeros_like(x))
    assert not metric.compute().requires_grad
    assert_close(nnx.to_numpy(metric.compute()), np.mean(np.arange(12.0) ** 2))
