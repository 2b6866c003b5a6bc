"""Schedules that rise and fall: one cycle, and the cosine with restarts."""

from dataclasses import dataclass
from typing import Literal

from nnx.errors import ArgumentError
from nnx.functional.checks import as_probability, expect_choice
from nnx.schedules.base import Schedule, between, half_cosine, share_of


@dataclass(frozen=True)
class CosineRestarts(Schedule):
    r"""The :class:`Cosine` again and again, each time over ``growth`` times as many steps.

    .. math::
        \gamma_t = \text{end} + \frac{\text{start} - \text{end}}{2} \left(1 + \cos \pi \frac{t - t_i}{T_i}\right),
        \quad T_i = \text{steps} \cdot \text{growth}^i, \quad t_{i+1} = t_i + T_i

    Parameters
    ----------
    start : float
        The number at the first step of a cycle, at least 0.
    steps : int
        The length of the first cycle.
    growth : int
        How many times as long the next cycle is.
    end : float
        What a cycle goes down to, without reaching it: its last step is followed by ``start``.

    Notes
    -----
    Source: I. Loshchilov and F. Hutter, "SGDR: stochastic gradient descent with warm restarts", ICLR 2017.
    ``CosineAnnealingWarmRestarts`` of PyTorch.

    Examples
    --------
    >>> import nnx
    >>> schedule = nnx.schedules.CosineRestarts(1.0, 2, growth=2)
    >>> [round(schedule(step), 3) for step in range(7)]
    [1.0, 0.5, 1.0, 0.854, 0.5, 0.146, 1.0]
    """

    start: float
    steps: int
    growth: int = 1
    end: float = 0.0

    def at(self, step: int) -> float:
        """Return the number for a step."""
        steps = self.steps
        if self.growth == 1:
            step %= steps
        while step >= steps:  # integers, since a logarithm would round at the first step of a cycle
            step, steps = step - steps, steps * self.growth
        return between(self.start, self.end, half_cosine(share_of(step, steps)))


@dataclass(frozen=True)
class OneCycle(Schedule):
    r"""Up to the peak and down again, to far below the start.

    From ``start`` to ``peak`` until step :math:`\text{rise} \cdot \text{steps} - 1`, then to ``end`` until the last
    step, :math:`\text{steps} - 1`, and ``end`` from there on. With ``three_phases`` it falls to ``start`` as fast as it
    has risen, and then to ``end``. Each phase from :math:`a` to :math:`b` has, with the share :math:`s` of it that is
    past,

    .. math:: \gamma = a + (b - a) \frac{1 - \cos \pi s}{2} \quad \text{or, linear,} \quad \gamma = a + (b - a) s

    Parameters
    ----------
    peak : float
        The highest number, at least 0.
    steps : int
        The number of steps of the whole run.
    rise : float
        The share of the steps in which it rises, in [0, 1]; below 0.5 with three phases.
    start : float, optional
        The number at step 0, by default ``peak / 25``.
    end : float, optional
        The number of the last step, by default ``start / 10_000``.
    curve : {"cosine", "linear"}
    three_phases : bool

    Notes
    -----
    Source: L. N. Smith and N. Topin, "Super-convergence: very fast training of neural networks using large learning
    rates", 2018. ``OneCycleLR`` of PyTorch, without its momentum.

    Examples
    --------
    >>> import nnx
    >>> schedule = nnx.schedules.OneCycle(1.0, 10, start=0.1, end=0.0)
    >>> [round(schedule(step), 3) for step in (0, 1, 2, 5, 9, 10)]
    [0.1, 0.55, 1.0, 0.611, 0.0, 0.0]
    """

    peak: float
    steps: int
    rise: float = 0.3
    start: float | None = None
    end: float | None = None
    curve: Literal["cosine", "linear"] = "cosine"
    three_phases: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        object.__setattr__(self, "rise", as_probability(self.rise, "rise"))
        expect_choice(self.curve, ("cosine", "linear"), "curve")
        if self.three_phases and not self.rise < 0.5:
            raise ArgumentError(f"expected rise < 0.5 with three phases, as it falls as long, got {self.rise}")

    def at(self, step: int) -> float:
        """Return the number for a step."""
        start = self.peak / 25.0 if self.start is None else self.start
        end = start / 10_000.0 if self.end is None else self.end
        top, last = self.rise * self.steps - 1.0, self.steps - 1.0
        phases = [(top, start, self.peak), (last, self.peak, end)]
        if self.three_phases:
            phases[1:] = [(2.0 * top, self.peak, start), (last, start, end)]
        before = 0.0
        for until, first, then in phases:
            if step < until:
                share = (step - before) / (until - before)
                return between(first, then, half_cosine(share) if self.curve == "cosine" else share)
            before = max(until, 0.0)
        return end
