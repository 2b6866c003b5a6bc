"""nnx on NumPy arrays: eager with each tier of kernels, and replayed."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from functools import partial
from typing import Any

import numpy as np

import nnx
from benchmarks.workload import Makers, Rule, Step, Task

EAGER = ("nnx portable", "nnx native", "nnx compiled")
REPLAYED = "nnx replayed"


def in_tier(name: str) -> AbstractContextManager[object]:
    """Return what a contestant is run in: the tier of its name for an eager one, all tiers for any other."""
    return nnx.use_kernels(name.removeprefix("nnx ") if name in EAGER else "compiled")


def has_compiled_kernels() -> bool:
    """Return whether any function has a kernel of the compiled tier for NumPy arrays."""
    rank = nnx.kernels.TIERS.index("compiled")
    functions = (getattr(nnx.functional, name) for name in nnx.functional.__all__)
    array = np.ones(1, np.float32)
    return any(
        candidate[0] == rank
        for function in functions
        if hasattr(function, "kernels_for")
        for candidate in function.kernels_for(array)
    )


def contestants(make: Callable[[Callable[[Any], Any]], Step]) -> dict[str, Callable[[], Step]]:
    """Return a maker for each way in which nnx can run.

    ``make(prepare)`` builds everything anew and calls ``prepare`` on its function of models and arrays: the function
    itself for eager ones, ``nnx.compile`` of it to replay it.
    """
    names = EAGER if has_compiled_kernels() else EAGER[:2]
    makers = dict.fromkeys(names, partial(make, lambda function: function))
    if hasattr(nnx, "compile"):
        makers[REPLAYED] = partial(make, nnx.compile)
    return makers


def optimizer_of(model: nnx.Module, rule: Rule) -> nnx.optimizers.Optimizer:
    """Return the optimizer of a model."""
    return getattr(nnx, rule.name)(model, rule.rate, **rule.options)


def training_step(task: Task, prepare: Callable[[Any], Any]) -> Step:
    """Return a step of training, through ``value_and_grad``."""
    model = task.model()
    optimizer = optimizer_of(model, task.rule)
    differentiated = nnx.value_and_grad(
        lambda model, x, target: nnx.functional.cross_entropy(model(x), target, axis=-1)
    )

    def train_step(model, optimizer, x, target):
        value, gradients = differentiated(model, x, target)
        optimizer.step(gradients)
        return value

    ready = prepare(train_step)
    return lambda: ready(model, optimizer, task.x, task.target)


def training(task: Task) -> Makers:
    """Return the makers of training steps."""
    return contestants(partial(training_step, task))
