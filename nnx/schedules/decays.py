"""Schedules that go one way: constant, in steps, exponential, linear, polynomial, cosine, inverse square root."""

import math
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass

from nnx.schedules.base import Schedule, as_increasing, between, half_cosine, power, share_of


@dataclass(frozen=True)
class Constant(Schedule):
    r"""The same number at every step, for :class:`Join` and :class:`WarmUp`.

    .. math:: \gamma_t = \text{value}

    Examples
    --------
    >>> import nnx
    >>> nnx.schedules.Constant(0.1)(1_000_000)
    0.1
    """

    value: float

    def at(self, step: int) -> float:
        """Return the number."""
        return self.value


@dataclass(frozen=True)
class Step(Schedule):
    r"""Times ``factor`` every so many steps.

    .. math:: \gamma_t = \text{start} \cdot \text{factor}^{\lfloor t / \text{every} \rfloor}

    Parameters
    ----------
    start : float
        The number at step 0, at least 0.
    every : int
        For how many steps it stays the same.
    factor : float
        Greater than 0; usually less than 1.

    Notes
    -----
    Steps are those of the optimizer: for a change every 30 epochs, ``every=30 * len(loader)``. ``StepLR`` of PyTorch.

    Examples
    --------
    >>> import nnx
    >>> schedule = nnx.schedules.Step(1.0, every=10, factor=0.5)
    >>> [schedule(step) for step in (0, 9, 10, 20)]
    [1.0, 1.0, 0.5, 0.25]
    """

    start: float
    every: int
    factor: float = 0.1

    def at(self, step: int) -> float:
        """Return the number for a step."""
        return self.start * power(self.factor, step // self.every)


@dataclass(frozen=True)
class MultiStep(Schedule):
    r"""Times ``factor`` at each of some steps.

    .. math:: \gamma_t = \text{start} \cdot \text{factor}^{|\{m \in \text{milestones} : m \le t\}|}

    Parameters
    ----------
    start : float
        The number before the first milestone, at least 0.
    milestones : sequence of int
        The first steps of the next number, each greater than the one before.
    factor : float
        Greater than 0; usually less than 1.

    Notes
    -----
    ``MultiStepLR`` of PyTorch.

    Examples
    --------
    >>> import nnx
    >>> schedule = nnx.schedules.MultiStep(1.0, milestones=[10, 15], factor=0.5)
    >>> [schedule(step) for step in (9, 10, 15)]
    [1.0, 0.5, 0.25]
    """

    start: float
    milestones: Sequence[int]
    factor: float = 0.1

    def __post_init__(self) -> None:
        super().__post_init__()
        object.__setattr__(self, "milestones", as_increasing(self.milestones, "milestones"))

    def at(self, step: int) -> float:
        """Return the number for a step."""
        return self.start * power(self.factor, bisect_right(self.milestones, step))


@dataclass(frozen=True)
class Exponential(Schedule):
    r"""Times ``factor`` at every step, or within ``steps`` steps.

    .. math:: \gamma_t = \text{start} \cdot \text{factor}^{t / \text{steps}}

    Parameters
    ----------
    start : float
        The number at step 0, at least 0.
    factor : float
        Greater than 0. With more than 1 the number grows, and is infinite when no float can hold it.
    steps : int
        In how many steps it changes by the factor.

    Notes
    -----
    With one step, ``ExponentialLR`` of PyTorch.

    Examples
    --------
    >>> import nnx
    >>> schedule = nnx.schedules.Exponential(1.0, 0.25, steps=100)
    >>> [schedule(step) for step in (0, 50, 100)]
    [1.0, 0.5, 0.25]
    """

    start: float
    factor: float
    steps: int = 1

    def at(self, step: int) -> float:
        """Return the number for a step."""
        # An integer exponent where it is one: step / steps would round large steps, and overflow for huge ones.
        whole, rest = divmod(step, self.steps)
        return self.start * power(self.factor, whole) * power(self.factor, rest / self.steps)


@dataclass(frozen=True)
class Polynomial(Schedule):
    r"""From start to end along a power of the steps that are left.

    .. math::
        \gamma_t = \text{end} + (\text{start} - \text{end}) \left(1 - \frac{\min(t, \text{steps})}{\text{steps}}
        \right)^{\text{power}}

    Parameters
    ----------
    start : float
        The number at step 0, at least 0.
    steps : int
        The first step that has ``end``, and so have all later ones.
    end : float
        At least 0.
    power : float
        At least 0; with 1 it is :class:`Linear`.

    Notes
    -----
    With end 0, ``PolynomialLR`` of PyTorch.

    Examples
    --------
    >>> import nnx
    >>> schedule = nnx.schedules.Polynomial(1.0, 10, power=2.0)
    >>> [schedule(step) for step in (0, 5, 10, 11)]
    [1.0, 0.25, 0.0, 0.0]
    """

    start: float
    steps: int
    end: float = 0.0
    power: float = 2.0

    def at(self, step: int) -> float:
        """Return the number for a step."""
        if step >= self.steps:
            return self.end  # also with a power of 0
        return between(self.end, self.start, (1.0 - share_of(step, self.steps)) ** self.power)


@dataclass(frozen=True)
class Linear(Schedule):
    r"""From start to end in equal steps.

    .. math:: \gamma_t = \text{start} + (\text{end} - \text{start}) \frac{\min(t, \text{steps})}{\text{steps}}

    Parameters
    ----------
    start : float
        The number at step 0, at least 0.
    steps : int
        The first step that has ``end``, and so have all later ones.
    end : float
        At least 0; it may be greater than ``start``.

    Notes
    -----
    ``LinearLR`` of PyTorch, which has factors of the learning rate for start and end.

    Examples
    --------
    >>> import nnx
    >>> schedule = nnx.schedules.Linear(1.0, 10)
    >>> [schedule(step) for step in (0, 5, 10, 11)]
    [1.0, 0.5, 0.0, 0.0]
    """

    start: float
    steps: int
    end: float = 0.0

    def at(self, step: int) -> float:
        """Return the number for a step."""
        return between(self.start, self.end, share_of(step, self.steps))


@dataclass(frozen=True)
class Cosine(Schedule):
    r"""From start to end along half a period of the cosine: slowly, then faster, then slowly again.

    .. math::
        \gamma_t = \text{end} + \frac{\text{start} - \text{end}}{2} \left(1 + \cos \pi \frac{\min(t, \text{steps})}
        {\text{steps}}\right)

    Parameters
    ----------
    start : float
        The number at step 0, at least 0.
    steps : int
        The first step that has ``end``, and so have all later ones.
    end : float
        At least 0.

    Notes
    -----
    Source: I. Loshchilov and F. Hutter, "SGDR: stochastic gradient descent with warm restarts", ICLR 2017.
    ``CosineAnnealingLR`` of PyTorch rises again after its last step.

    Examples
    --------
    >>> import nnx
    >>> schedule = nnx.schedules.Cosine(1.0, 10)
    >>> [round(schedule(step), 3) for step in (0, 1, 5, 9, 10, 11)]
    [1.0, 0.976, 0.5, 0.024, 0.0, 0.0]
    """

    start: float
    steps: int
    end: float = 0.0

    def at(self, step: int) -> float:
        """Return the number for a step."""
        return between(self.start, self.end, half_cosine(share_of(step, self.steps)))


@dataclass(frozen=True)
class InverseSquareRoot(Schedule):
    r"""Falls with the root of the step.

    .. math:: \gamma_t = \text{start} \sqrt{\frac{\text{steps}}{\text{steps} + t}}

    Parameters
    ----------
    start : float
        The number at step 0, at least 0.
    steps : int
        After so many steps it is ``start`` divided by the root of 2.

    Notes
    -----
    After a warm-up of as many steps, as in ``WarmUp(InverseSquareRoot(start, 4000), 4000)``, it is the schedule of
    A. Vaswani et al., "Attention is all you need", NeurIPS 2017, :math:`\text{start} \sqrt{4000 / t}`.

    Examples
    --------
    >>> import nnx
    >>> schedule = nnx.schedules.InverseSquareRoot(1.0, 10)
    >>> [schedule(step) for step in (0, 30, 150)]
    [1.0, 0.5, 0.25]
    """

    start: float
    steps: int

    def at(self, step: int) -> float:
        """Return the number for a step."""
        return self.start * math.sqrt(self.steps / (self.steps + step))
