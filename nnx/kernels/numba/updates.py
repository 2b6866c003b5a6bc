"""Update rules in one pass over the memory, in place, and with the bits of the rules that they stand for."""

from collections.abc import Callable, Collection, Mapping, Sequence
from functools import partial
from math import sqrt
from typing import Any

import numpy as np

from nnx.backend.blocks import FUSED, TINY, PerParameter, spread
from nnx.kernels.numba.compiling import compiled
from nnx.kernels.numpy.elementwise import DTYPES


@compiled
def _descend(w: Any, g: Any, rate: Any, decay: Any, decays: Any) -> None:
    for i in range(w.size):
        direction = g[i]
        if decays:
            direction += decay * w[i]
        w[i] -= rate * direction


@compiled
def _descend_with_momentum(
    w: Any, g: Any, v: Any, rate: Any, decay: Any, decays: Any, momentum: Any, nesterov: Any
) -> None:
    for i in range(w.size):
        direction = g[i]
        if decays:
            direction += decay * w[i]
        v[i] = v[i] * momentum + direction
        w[i] -= rate * (direction + momentum * v[i] if nesterov else v[i])


@compiled
def _adam(
    w: Any, g: Any, m: Any, v: Any, beta1: Any, rest1: Any, beta2: Any, rest2: Any, root: Any, eps: Any, rate: Any,
    kept: Any, penalty: Any, penalized: Any,
) -> None:  # fmt: skip
    for i in range(w.size):
        slope = g[i] + penalty * w[i] if penalized else g[i]
        m[i] = m[i] * beta1 + rest1 * slope
        v[i] = v[i] * beta2 + slope * slope * rest2
        w[i] = w[i] * kept - m[i] / (sqrt(v[i]) / root + eps) * rate


@compiled
def _amsgrad(
    w: Any, g: Any, m: Any, v: Any, largest: Any, beta1: Any, rest1: Any, beta2: Any, rest2: Any, root: Any, eps: Any,
    rate: Any, kept: Any, penalty: Any, penalized: Any,
) -> None:  # fmt: skip
    for i in range(w.size):
        slope = g[i] + penalty * w[i] if penalized else g[i]
        m[i] = m[i] * beta1 + rest1 * slope
        v[i] = v[i] * beta2 + slope * slope * rest2
        largest[i] = np.maximum(largest[i], v[i])
        w[i] = w[i] * kept - m[i] / (sqrt(largest[i]) / root + eps) * rate


@compiled
def _flush(x: Any, least: Any) -> None:
    for i in range(x.size):
        if not abs(x[i]) >= least:  # NaN too, which stays NaN
            x[i] *= 0


Chosen = tuple[Callable[..., None], int, tuple[Any, ...]]
"""A loop ``loop(w, g, *state, *numbers)`` over flat arrays, how many arrays of state it takes, and its numbers."""


def fused(name: str) -> Callable[[Callable[..., Chosen]], Callable[..., Chosen]]:
    """Register the loop of a rule; a decorator of ``choose(own, step, kind) -> (loop, kept, numbers)``.

    It is given the hyperparameters of a parameter, the number of steps before this one, and the type of the numbers.
    """

    def register(choose: Callable[..., Chosen]) -> Callable[..., Chosen]:
        FUSED[name] = partial(_run, choose)
        return choose

    return register


def _run(
    choose: Callable[..., Chosen],
    gradients: Sequence[Any],
    state: Mapping[str, Sequence[Any]],
    parameters: Sequence[Any],
    step: int,
    hyperparameters: Mapping[str, Any],
    flushed: Collection[str],
) -> bool:
    """Run the loop of a rule, if all arrays are contiguous, and those of a parameter of one dtype and size.

    The loops would read and write beyond the end of an array that is smaller. Nothing is written before all is known.
    """
    rows = [*zip(parameters, gradients, *state.values(), strict=True)]
    is_uniform = not flushed and PerParameter not in map(type, hyperparameters.values())
    chosen: dict[Any, Chosen] = {}
    for row in rows:
        if type(row[0]) is not np.ndarray or row[0].dtype not in DTYPES:
            return False
        dtype, size = row[0].dtype, row[0].size
        for x in row:
            if type(x) is not np.ndarray or (x.dtype is not dtype and x.dtype != dtype) or not x.flags.c_contiguous:
                return False
            if x.size != size and (x.size or x is row[1]):  # it is empty where a parameter has no such state
                return False
        if is_uniform and dtype not in chosen:
            chosen[dtype] = choose(hyperparameters, step, dtype.type)
    if not is_uniform:
        _run_each(choose, rows, [*state], step, hyperparameters, flushed)
        return True
    for row in rows:
        loop, kept, numbers = chosen[row[0].dtype]
        if kept:
            loop(*map(_flat, row), *numbers)
        else:
            loop(row[0].ravel(), row[1].ravel(), *numbers)
    return True


def _run_each(
    choose: Callable[..., Chosen],
    rows: Sequence[Sequence[Any]],
    names: Sequence[str],
    step: int,
    hyperparameters: Mapping[str, Any],
    flushed: Collection[str],
) -> None:
    """Do the same where hyperparameters differ, so that not all have all kinds of state, or state is flushed."""
    calls = []
    for row, own in zip(rows, spread(hyperparameters), strict=False):
        kind, flat = row[0].dtype.type, [*map(_flat, row)]
        loop, kept, numbers = choose(own, step, kind)
        least = kind(TINY * float(np.finfo(kind).smallest_normal))
        calls += [(_flush, (x, least)) for name, x in zip(names, flat[2:], strict=True) if name in flushed]
        calls.append((loop, (*flat[: 2 + kept], *numbers)))
    for loop, arguments in calls:
        loop(*arguments)


@fused("descend")
def _(own: Mapping[str, Any], step: int, kind: Any) -> Chosen:
    decay, momentum = own["weight_decay"], own["momentum"]
    numbers = kind(own["learning_rate"]), kind(decay), bool(decay)  # the number itself decides, as in the rule
    return (
        (_descend_with_momentum, 1, (*numbers, kind(momentum), own["nesterov"])) if momentum else (_descend, 0, numbers)
    )


@fused("adam")
def _(own: Mapping[str, Any], step: int, kind: Any) -> Chosen:
    return _with_moments(own, step, kind, 1.0, own["weight_decay"])


@fused("adamw")
def _(own: Mapping[str, Any], step: int, kind: Any) -> Chosen:
    return _with_moments(own, step, kind, 1.0 - own["learning_rate"] * own["weight_decay"], 0.0)


def _with_moments(own: Mapping[str, Any], step: int, kind: Any, share: float, penalty: float) -> Chosen:
    (beta1, beta2), count = own["betas"], step + 1
    root, rate = (1.0 - beta2**count) ** 0.5, own["learning_rate"] / (1.0 - beta1**count)
    numbers = (beta1, 1.0 - beta1, beta2, 1.0 - beta2, root, own["eps"], rate, share, penalty)
    loop, kept = (_amsgrad, 3) if own["amsgrad"] else (_adam, 2)
    return loop, kept, (*map(kind, numbers), bool(penalty))


_flat = np.ndarray.ravel  # of contiguous arrays, which gives a view
