"""A loss of one's own in plain array code: regression whose noise has heavy tails and depends on the input.

With the hidden features ``h = tanh(x W + b)``, the network predicts a location and the logarithm ``s`` of a scale. The
loss is ``mean(log(1 + (r exp(-s))^2) + s)`` of the residuals ``r``, the negative logarithm of Cauchy's density up to a
constant, and a penalty on the differences between the rows of ``W``. One function runs in all libraries.
"""

from functools import partial
from typing import Any

import numpy as np

import nnx
from benchmarks.contestants import of_nnx, of_torch
from benchmarks.workload import Makers, Step, Target, Workload

RATE = 0.01


def objective(xp: Any, weights: Any, x: Any, y: Any) -> Any:
    """Return the loss of weights (W, b, V, c)."""
    hidden = xp.tanh(x @ weights[0] + weights[1])
    output = hidden @ weights[2] + weights[3]
    log_scale = 0.5 * output[:, 1]
    residual = (y - output[:, 0]) * xp.exp(-log_scale)
    roughness = xp.sum((weights[0][1:, :] - weights[0][:-1, :]) ** 2)
    return xp.mean(xp.log1p(residual**2) + log_scale) + 0.01 * roughness


def descend(weights: list[np.ndarray], gradients: Any) -> None:
    """Update NumPy's arrays in place."""
    for weight, gradient in zip(weights, gradients, strict=True):
        weight -= RATE * gradient


def numpy_step(differentiated: Any, weights: list[np.ndarray], *data: np.ndarray) -> Step:
    """Return a step of what maps weights and data to the loss and its gradients, on NumPy arrays."""
    weights = [weight.copy() for weight in weights]

    def step():
        value, gradients = differentiated(weights, *data)
        descend(weights, gradients)
        return value

    return step


def with_nnx(arrays: tuple, prepare: Any) -> Step:
    """Return nnx's step."""
    differentiated = nnx.value_and_grad(lambda weights, x, y: objective(nnx.namespace(weights[0]), weights, x, y))
    return numpy_step(prepare(differentiated), *arrays)


def with_autograd(arrays: tuple) -> Step:
    """Return autograd's step."""
    import autograd

    return numpy_step(autograd.value_and_grad(partial(objective, autograd.numpy)), *arrays)


def with_advect(arrays: tuple) -> Step:
    """Return advect's step."""
    import advect

    return numpy_step(advect.value_and_grad(partial(objective, np)), *arrays)


def with_torch(arrays: tuple) -> Step:
    """Return PyTorch's step."""
    torch = of_torch.torch_in_one_thread()
    weights, x, y = arrays
    weights = [of_torch.tensor(weight).requires_grad_() for weight in weights]
    x, y = of_torch.tensor(x), of_torch.tensor(y)

    def step():
        value = objective(torch, weights, x, y)
        gradients = torch.autograd.grad(value, weights)
        with torch.no_grad():
            for weight, gradient in zip(weights, gradients, strict=True):
                weight.sub_(gradient, alpha=RATE)
        return value.detach()

    return step


def with_jax(arrays: tuple) -> Step:
    """Return JAX's step, compiled with the update."""
    import jax
    import jax.numpy as jnp

    def compute(weights, x, y):
        value, gradients = jax.value_and_grad(partial(objective, jnp))(weights, x, y)
        return value, jax.tree.map(lambda weight, gradient: weight - RATE * gradient, weights, gradients)

    compiled = jax.jit(compute, donate_argnums=0)
    weights, x, y = jax.tree.map(jnp.array, arrays)

    def step():
        nonlocal weights
        value, weights = jax.block_until_ready(compiled(weights, x, y))
        return value

    return step


def own_loss(batch: int, features: int, hidden: int) -> Makers:
    """Return the makers of a step."""
    rng = np.random.default_rng(0)
    shapes = (features, hidden), (hidden,), (hidden, 2), (2,)
    weights = [0.1 * rng.standard_normal(shape, dtype=np.float32) for shape in shapes]
    arrays = (weights, *(rng.standard_normal(shape, dtype=np.float32) for shape in ((batch, features), batch)))
    others = {"torch": with_torch, "jax": with_jax, "autograd": with_autograd, "advect": with_advect}
    return {
        **of_nnx.contestants(partial(with_nnx, arrays)),
        **{name: partial(make, arrays) for name, make in others.items()},
    }


WORKLOADS = (
    Workload(
        "own loss in plain array code, 20-32-2, batch 100",
        own_loss,
        {"batch": 100, "features": 20, "hidden": 32},
        {"batch": 3, "features": 4, "hidden": 5},
        (Target("best", {"torch": 0.8, "autograd": 0.5, "advect": 0.4}),),
    ),
)
