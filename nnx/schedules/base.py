"""The base class of schedules: numbers that are a pure function of the step."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from functools import partial
from itertools import pairwise
from typing import Any

from nnx.errors import ArgumentError, UsageError
from nnx.functional.checks import as_integer, as_nonnegative, as_positive
from nnx.layers.config import config_of


@dataclass(frozen=True)
class Schedule:
    """Base class of schedules: ``schedule(step)`` is the learning rate of a step, counted from 0.

    It has no state, so a run that is resumed needs only the number of the step. A subclass is a frozen dataclass that
    defines :meth:`at`. Any other function of the step does as a learning rate too, but only a schedule is data for
    JSON.

    Raises
    ------
    ArgumentError
        If an argument is out of range or, in a call, the step is not an integer of at least 0.

    Examples
    --------
    >>> import nnx
    >>> from dataclasses import dataclass
    >>> @dataclass(frozen=True)
    ... class Harmonic(nnx.schedules.Schedule):
    ...     start: float
    ...     def at(self, step):
    ...         return self.start / (1 + step)
    >>> schedule = Harmonic(0.5)
    >>> schedule(0), schedule(4)
    (0.5, 0.1)
    """

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            is_left_out = value is None and field.default is None
            if field.name in CHECKS and not is_left_out:
                object.__setattr__(self, field.name, CHECKS[field.name](value, field.name))

    def __call__(self, step: int) -> float:
        """Return the number for a step, counted from 0."""
        return self.at(as_integer(step, "step", 0))

    def at(self, step: int) -> float:
        """Return the number for a step that has been checked; a subclass defines it."""
        raise UsageError(f"{type(self).__name__} defines no at(self, step)")

    def config(self) -> dict[str, Any]:
        """Return the class and its arguments as data for JSON; :func:`nnx.from_config` builds the schedule from it."""
        return config_of(self)


CHECKS: Mapping[str, Callable[[Any, str], Any]] = {
    **dict.fromkeys(("value", "start", "peak", "end", "power"), as_nonnegative),
    **dict.fromkeys(("steps", "every", "growth"), partial(as_integer, least=1)),
    "factor": as_positive,
}
"""What arguments of these names may be, in every schedule that has them."""


def as_increasing(value: Any, name: str) -> tuple[int, ...]:
    """Return steps of at least 1, each greater than the one before; raises ArgumentError for others."""
    try:
        steps = tuple(as_integer(step, name, 1) for step in value)
    except (TypeError, ArgumentError):
        steps = (0, 0)
    if any(step >= following for step, following in pairwise(steps)):
        raise ArgumentError(f"expected {name} to be steps of at least 1, each greater than the last, got {value!r}")
    return steps


def between(start: float, end: float, share: float) -> float:
    """Return the number that divides the way from start to end; with a share of 0 or 1 exactly one of them."""
    return start * (1.0 - share) + end * share


def share_of(step: int, steps: int) -> float:
    """Return how much of so many steps are done, from 0 to 1."""
    return min(step, steps) / steps


def power(base: float, exponent: float) -> float:
    """Return a power of a number > 0, infinity if it is too large for a float."""
    try:
        return base ** min(exponent, 2.0**64)  # by then all but 1 have become 0 or infinite
    except OverflowError:
        return math.inf


def half_cosine(share: float) -> float:
    """Return a share that grows from 0 to 1 along half a period of the cosine: slowly at both ends."""
    return (1.0 - math.cos(math.pi * share)) / 2.0
