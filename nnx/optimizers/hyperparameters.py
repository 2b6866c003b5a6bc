"""What hyperparameters may be: one check for each name, shared by all optimizers that have it."""

from collections.abc import Callable, Mapping
from typing import Any

from nnx.errors import ArgumentError
from nnx.functional.checks import as_nonnegative, as_share

Rate = float | Callable[[int], float]
"""A learning rate, or what returns that of a step, counted from 0, such as a schedule of :mod:`nnx.schedules`."""

Check = Callable[[Any, str], Any]
"""``check(value, name)`` returns a hyperparameter in Python's own types, or raises ArgumentError."""


def as_rate(value: Any, name: str) -> Any:
    """Return a learning rate: a finite number >= 0, or a schedule, which is called with the number of a step."""
    return value if callable(value) and not isinstance(value, type) else as_nonnegative(value, name)


def rate_at(rate: Rate, step: int, name: str = "learning_rate") -> float:
    """Return the learning rate of a step; raises ArgumentError if a schedule gives none."""
    if not callable(rate):
        return rate
    value: Any = rate(step)
    try:
        return as_nonnegative(value, name)
    except ArgumentError:
        raise ArgumentError(
            f"expected a schedule that returns a finite {name} >= 0, got {value!r} at step {step} from {rate!r}"
        ) from None


def as_betas(value: Any, name: str) -> tuple[float, ...]:
    """Return two numbers in [0, 1)."""
    try:
        first, second = value
        return as_share(first, name), as_share(second, name)
    except (TypeError, ValueError):  # of which ArgumentError is one
        raise ArgumentError(f"expected {name} to be two numbers in [0, 1), got {value!r}") from None


def as_flag(value: Any, name: str) -> bool:
    """Return True or False."""
    if not (isinstance(value, bool) or type(value).__name__ in ("bool", "bool_")):  # NumPy's own
        raise ArgumentError(f"expected {name} to be True or False, got {value!r}")
    return bool(value)


CHECKS: Mapping[str, Check] = {
    "amsgrad": as_flag,
    "betas": as_betas,
    "centered": as_flag,
    "eps": as_nonnegative,
    "initial_accumulator_value": as_nonnegative,
    "learning_rate": as_rate,
    "momentum": as_nonnegative,
    "momentum_decay": as_nonnegative,
    "nesterov": as_flag,
    "rho": as_share,
    "weight_decay": as_nonnegative,
}
"""The hyperparameters that optimizers share; what is not here is checked by the ``checks`` of its optimizer."""
