"""Depth is a number like any other: no recursion, and nothing that grows with its square."""

import numpy as np
import pytest

import nnx

X = np.random.default_rng(0).standard_normal((8, 2)).astype(np.float32)


def chain(depth):
    """Return linear maps that begin as the identity."""
    rng = nnx.generator(0)
    model = nnx.Model([nnx.Linear(2, 2, rng=rng) for _ in range(depth)])
    for layer in model.layers:
        vars(layer)["weight"] = np.eye(2, dtype=np.float32)
        vars(layer)["bias"] = np.zeros(2, np.float32)
    return model


def train_step(model, optimizer, x):
    value, gradients = nnx.value_and_grad(lambda model: nnx.functional.mse(model(x), 2 * x))(model)
    optimizer.step(gradients)
    return value


def test_a_chain_of_ten_thousand_layers_trains():
    depth = 10_000
    model = chain(depth)
    optimizer = nnx.SGD(model, 0.1 / depth)
    losses = [float(train_step(model, optimizer, X)) for _ in range(2)]
    model(X)
    model.backward(X)
    assert len(model.gradients()) == 2 * depth
    assert losses[1] < 0.95 * losses[0]


def test_a_step_of_two_thousand_layers_is_repeated():
    depth = 2_000
    eager, replayed = chain(depth), chain(depth)
    step, optimizers = nnx.compile(train_step), [nnx.SGD(model, 0.1 / depth) for model in (eager, replayed)]
    for _ in range(3):
        assert train_step(eager, optimizers[0], X) == step(replayed, optimizers[1], X)


@pytest.mark.parametrize("look", [nnx.Module.summary, lambda model, x: nnx.profile(model, x, repeats=1), repr])
def test_a_chain_is_looked_at(look):
    model = chain(2_000)
    text = look(model) if look is repr else str(look(model, X))
    assert "1999" in text
