"""Optimizers alone: the update of many parameters by gradients that are there."""

from functools import partial
from typing import Any

import numpy as np

import nnx
from benchmarks.contestants import floor, of_jax, of_nnx, of_torch
from benchmarks.workload import Makers, Rule, Step, Target, Workload


def with_nnx(rule: Rule, weights: list[np.ndarray], gradients: list[np.ndarray], prepare: Any) -> Step:
    """Return nnx's update, of a model that holds the arrays; it returns the first one."""
    model = nnx.ModuleList(nnx.Linear(*weight.shape, bias=False) for weight in weights)
    paths = list(model.parameters())
    model.load_state_dict(dict(zip(paths, weights, strict=True)))
    optimizer = of_nnx.optimizer_of(model, rule)
    named = dict(zip(paths, gradients, strict=True))
    update = prepare(lambda model, optimizer, gradients: optimizer.step(gradients))

    def step():
        update(model, optimizer, named)
        return model[0].weight

    return step


def with_torch(rule: Rule, weights: list[np.ndarray], gradients: list[np.ndarray]) -> Step:
    """Return PyTorch's."""
    parameters = [of_torch.tensor(weight).requires_grad_() for weight in weights]
    for parameter, gradient in zip(parameters, gradients, strict=True):
        parameter.grad = of_torch.tensor(gradient)
    optimizer = of_torch.optimizer_of(parameters, rule)

    def step():
        optimizer.step()
        return parameters[0].detach()

    return step


def with_jax(rule: Rule, weights: list[np.ndarray], gradients: list[np.ndarray]) -> Step:
    """Return JAX's, compiled."""
    import jax
    import jax.numpy as jnp

    start, update = of_jax.update_of(rule)
    compiled = jax.jit(update, donate_argnums=(0, 2))
    weights, gradients = jax.tree.map(jnp.array, (weights, gradients))
    state = start(weights)

    def step():
        nonlocal weights, state
        weights, state = jax.block_until_ready(compiled(weights, gradients, state))
        return weights[0]

    return step


def update(rule: Rule, arrays: int, shape: tuple[int, int]) -> Makers:
    """Return the makers of an update; its floor is a read and a write of parameters and state, and no product."""
    rng = np.random.default_rng(0)
    weights, gradients = ([rng.standard_normal(shape, dtype=np.float32) for _ in range(arrays)] for _ in range(2))
    data = (rule, weights, gradients)
    return {
        **of_nnx.contestants(partial(with_nnx, *data)),
        "torch": partial(with_torch, *data),
        "jax": partial(with_jax, *data),
        "floor": partial(floor.floor_step, (), weights * (1 + rule.state_size)),
    }


RULES = {
    "Adam": Rule("Adam", 1e-3),
    "AdamW": Rule("AdamW", 1e-3, {"weight_decay": 0.01}),
    "SGD with momentum": Rule("SGD", 1e-3, {"momentum": 0.9}),
}
WORKLOADS = tuple(
    Workload(
        f"{name} alone, 2e6 parameters in 40 arrays",
        partial(update, rule),
        {"arrays": 40, "shape": (250, 200)},
        {"arrays": 3, "shape": (2, 3)},
        (Target("best", {"torch": 0.8}),),
    )
    for name, rule in RULES.items()
)
