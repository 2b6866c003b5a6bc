"""The iterations of L-BFGS, over vectors."""

from collections.abc import Callable, Mapping
from typing import Any

from nnx.backend import namespace
from nnx.optimizers.curvature import appended, descent_direction, dot, largest, number, pair_of
from nnx.optimizers.line_search import Trial, strong_wolfe
from nnx.optimizers.memory import Memory
from nnx.optimizers.vector_function import VectorFunction
from nnx.types import Array


def iterate(function: VectorFunction, memory: Memory, rate: float, options: Mapping[str, Any]) -> tuple[Memory, float]:
    """Move the model by some iterations; when they end is as in PyTorch.

    Parameters
    ----------
    function : VectorFunction
    memory : Memory
    rate : float
        The learning rate.
    options : mapping
        The hyperparameters of :class:`nnx.LBFGS`.

    Returns
    -------
    memory : Memory
    value : float
        That of the function before the first iteration.

    Raises
    ------
    NonFiniteError
        If value or gradient are not finite, except at the trials of a line search.
    """
    point, least_change = function.start, options["tolerance_change"]
    most = options["max_evaluations"] or options["max_iterations"] * 5 // 4
    first, gradient = function.finite(point)
    value, evaluations = first, 1
    if not rate or largest(gradient) <= options["tolerance_gradient"]:
        return memory, first
    for left in reversed(range(options["max_iterations"])):
        memory, direction, length = _next(memory, gradient, rate, options["history_size"])
        slope = number(dot(gradient, direction))
        if not slope <= -least_change:
            break
        before, count = value, 1
        if options["line_search"]:
            start, evaluate = Trial(0.0, value, slope, gradient), _along(function, point, direction)
            (length, value, _, gradient), count = strong_wolfe(
                evaluate, start, length, limit=most - evaluations, direction_size=largest(direction)
            )
        move = length * direction
        point, memory = point + move, memory._replace(move=move)
        if options["line_search"] or not left:
            function.move_to(point)
        else:
            value, gradient = function.finite(point)
        evaluations += count
        if not left or evaluations >= most or largest(gradient) <= options["tolerance_gradient"]:
            break
        if largest(move) <= least_change or abs(value - before) < least_change:
            break
    return memory, first


def _next(memory: Memory, gradient: Array, rate: float, history_size: int) -> tuple[Memory, Array, float]:
    """Return the memory of a new iteration, in which no step has been taken, the direction, and the length to try."""
    pairs, length = memory.pairs, rate
    if memory.gradient is None:
        length *= min(1.0, 1.0 / number(namespace(gradient).sum(abs(gradient))))
    else:
        pairs = appended(pairs, pair_of(memory.move, gradient - memory.gradient), history_size)
    nothing = namespace(gradient).zeros_like(gradient)
    return Memory(gradient, nothing, pairs, memory.iterations + 1), descent_direction(gradient, pairs), length


def _along(function: VectorFunction, point: Array, direction: Array) -> Callable[[float], Trial]:
    """Return the function of the length that a line search takes."""

    def evaluate(length: float) -> Trial:
        value, gradient = function(point + length * direction)
        return Trial(length, value, number(dot(gradient, direction)), gradient)

    return evaluate
