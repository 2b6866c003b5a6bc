"""Schedules made of others: a warm-up before one, and several in a row."""

from bisect import bisect_right
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from nnx.errors import ArgumentError
from nnx.schedules.base import Schedule, as_increasing, between


@dataclass(frozen=True)
class WarmUp(Schedule):
    r"""Rise to the first number of a schedule, which then follows from its own step 0.

    .. math::
        \gamma_t = \begin{cases}
            \text{start} + (\gamma'_0 - \text{start})\, t / \text{steps} & t < \text{steps} \\
            \gamma'_{t - \text{steps}} & \text{else}
        \end{cases}

    Parameters
    ----------
    schedule : schedule
        :math:`\gamma'`, any function of the step.
    steps : int
        The length of the warm-up, which is added to that of the schedule.
    start : float
        The number at step 0, at least 0. With 0, the default, the first step changes nothing.

    Notes
    -----
    Source: P. Goyal et al., "Accurate, large minibatch SGD: training ImageNet in 1 hour", 2017.

    Examples
    --------
    >>> import nnx
    >>> schedule = nnx.schedules.WarmUp(nnx.schedules.Cosine(1.0, 10), 4)
    >>> [schedule(step) for step in (0, 1, 4, 9, 14)]
    [0.0, 0.25, 1.0, 0.5, 0.0]
    """

    schedule: Callable[[int], float]
    steps: int
    start: float = 0.0

    def __post_init__(self) -> None:
        super().__post_init__()
        as_schedule(self.schedule, "schedule")

    def at(self, step: int) -> float:
        """Return the number for a step."""
        if step >= self.steps:
            return self.schedule(step - self.steps)
        return between(self.start, self.schedule(0), step / self.steps)


@dataclass(frozen=True)
class Join(Schedule):
    r"""One schedule after another, each from its own step 0.

    .. math:: \gamma_t = \gamma^{(i)}_{t - b_i} \quad \text{for } b_i \le t < b_{i+1}, \quad b_0 = 0

    Parameters
    ----------
    schedules : sequence of schedules
    boundaries : sequence of int
        The first step of each schedule but the first, each greater than the one before.

    Notes
    -----
    ``SequentialLR`` of PyTorch.

    Examples
    --------
    >>> import nnx
    >>> parts = [nnx.schedules.Constant(1.0), nnx.schedules.Linear(0.5, 10)]
    >>> schedule = nnx.schedules.Join(parts, boundaries=[100])
    >>> [schedule(step) for step in (0, 99, 100, 105, 110)]
    [1.0, 1.0, 0.5, 0.25, 0.0]
    """

    schedules: Sequence[Callable[[int], float]]
    boundaries: Sequence[int]

    def __post_init__(self) -> None:
        if not isinstance(self.schedules, (list, tuple)) or not self.schedules:
            raise ArgumentError(f"expected schedules to be a list of at least one schedule, got {self.schedules!r}")
        found = tuple(as_schedule(schedule, f"schedules[{i}]") for i, schedule in enumerate(self.schedules))
        object.__setattr__(self, "schedules", found)
        object.__setattr__(self, "boundaries", as_increasing(self.boundaries, "boundaries"))
        if len(self.boundaries) != len(found) - 1:
            raise ArgumentError(
                f"expected {len(found) - 1} boundaries between {len(found)} schedules, got {len(self.boundaries)}"
            )

    def at(self, step: int) -> float:
        """Return the number for a step."""
        i = bisect_right(self.boundaries, step)
        return self.schedules[i](step - self.boundaries[i - 1] if i else step)


def as_schedule(value: Any, name: str) -> Callable[[int], float]:
    """Return a schedule; raises ArgumentError for a number or a class, with advice."""
    if callable(value) and not isinstance(value, type):
        return value
    raise ArgumentError(
        f"expected {name} to be a schedule, such as nnx.schedules.Constant(0.1), got "
        + (f"the class {value.__name__}" if isinstance(value, type) else repr(value))
    )
