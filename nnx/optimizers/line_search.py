"""A line search for the strong Wolfe conditions, in numbers of Python: it knows no arrays and no model."""

import math
from collections.abc import Callable
from typing import Any, NamedTuple

DECREASE, CURVATURE = 1e-4, 0.9
"""The constants of the two conditions, as Nocedal and Wright propose for quasi-Newton methods."""


class Trial(NamedTuple):
    """A point of the line: the length of the step there, the value, the slope along the line, and the gradient.

    The search looks at the first three; a value that is not finite is greater than any other.
    """

    length: float
    value: float
    slope: float
    gradient: Any


def strong_wolfe(
    evaluate: Callable[[float], Trial],
    start: Trial,
    length: float,
    *,
    limit: int,
    direction_size: float,
    tolerance: float = 1e-9,
) -> tuple[Trial, int]:
    r"""Find a step that lowers the value enough, at a slope that is flat enough.

    With :math:`\phi(t)`, the value after a step of length :math:`t`, these are the strong Wolfe conditions

    .. math::
        \phi(t) \le \phi(0) + 10^{-4}\, t\, \phi'(0), \qquad |\phi'(t)| \le 0.9\, |\phi'(0)|

    Parameters
    ----------
    evaluate : callable
        ``evaluate(length)`` returns the trial there.
    start : Trial
        At length 0; its slope is negative.
    length : float
        The first one to try.
    limit : int
        How often to try again after the first trial.
    direction_size : float
        The largest element of the direction.
    tolerance : float
        The search ends when no parameter would change by so much between the two ends of the interval.

    Returns
    -------
    found : Trial
        The best one. It does not fulfill the conditions if the search has run out of trials or of precision, and then
        it may be the start.
    count : int
        How many were evaluated.

    Notes
    -----
    Algorithms 3.5 and 3.6 with the cubic interpolation of equation 3.59 of J. Nocedal and S. J. Wright, "Numerical
    optimization", 2nd edition, 2006. When a step is extended, how far the interpolation may go, and when a trial is
    moved away from an end of the interval, is as in PyTorch, which follows minFunc of M. Schmidt. So the same points
    are tried. Also as there, a first step that is far too long may be taken for the better end of the interval, if its
    value is only below that of the start; the step is then a decrease, if a small one.
    """
    ends, is_found, count = _bracket(evaluate, start, length, limit)
    if not is_found:
        ends, more = _zoom(evaluate, start, ends, limit + 1 - count, direction_size, tolerance)
        count += more
    return min(ends, key=_value), count


def _bracket(
    evaluate: Callable[[float], Trial], start: Trial, length: float, limit: int
) -> tuple[list[Trial], bool, int]:
    """Make the step longer until an acceptable one lies between two trials; return them, or the acceptable one."""
    before, trial = start, evaluate(length)
    for tried in range(limit):
        # Nocedal and Wright compare with the trial before from the second one on; PyTorch does from the third.
        if _is_too_high(trial, start) or (tried > 1 and trial.value >= before.value):
            return [before, trial], False, 1 + tried
        if abs(trial.slope) <= -CURVATURE * start.slope:
            return [trial], True, 1 + tried
        if trial.slope >= 0.0:
            return [before, trial], False, 1 + tried
        bounds = trial.length + 0.01 * (trial.length - before.length), 10.0 * trial.length
        before, trial = trial, evaluate(_minimum_of_cubic(before, trial, *bounds))
    return [start, trial], False, 1 + limit


def _zoom(
    evaluate: Callable[[float], Trial],
    start: Trial,
    ends: list[Trial],
    limit: int,
    direction_size: float,
    tolerance: float,
) -> tuple[list[Trial], int]:
    """Make the interval between two trials smaller; return its ends, of which the lower one is the best so far."""
    low = 0 if _value(ends[0]) <= _value(ends[1]) else 1
    was_near_an_end = False
    for tried in range(limit):
        left, right = sorted(end.length for end in ends)
        if (right - left) * direction_size < tolerance:
            return ends, tried
        length = _minimum_of_cubic(ends[0], ends[1], left, right)
        margin = 0.1 * (right - left)
        is_near_an_end = min(right - length, length - left) < margin
        if is_near_an_end and (was_near_an_end or not left < length < right):
            length = right - margin if right - length < length - left else left + margin
            is_near_an_end = False
        was_near_an_end = is_near_an_end
        trial = evaluate(length)
        if _is_too_high(trial, start) or trial.value >= ends[low].value:
            ends[1 - low] = trial
            low = 0 if _value(ends[0]) <= _value(ends[1]) else 1
            continue
        if abs(trial.slope) <= -CURVATURE * start.slope:
            return [trial], 1 + tried
        if trial.slope * (ends[1 - low].length - ends[low].length) >= 0.0:
            ends[1 - low] = ends[low]
        ends[low] = trial
    return ends, limit


def _is_too_high(trial: Trial, start: Trial) -> bool:
    return not trial.value <= start.value + DECREASE * trial.length * start.slope  # true for NaN


def _value(trial: Trial) -> float:
    return trial.value if math.isfinite(trial.value) else math.inf


def _minimum_of_cubic(first: Trial, second: Trial, least: float, most: float) -> float:
    """Return where the cubic through two trials, with their slopes, has its minimum, kept between two bounds."""
    middle = (least + most) / 2.0
    if not math.isfinite(first.value + second.value + first.slope + second.slope):
        return middle
    a, b = sorted((first, second), key=lambda trial: trial.length)
    mean = a.slope + b.slope - 3.0 * (a.value - b.value) / (a.length - b.length)
    square = mean * mean - a.slope * b.slope
    if not square >= 0.0:  # there is none
        return middle
    root = math.sqrt(square)
    divisor = b.slope - a.slope + 2.0 * root
    place = b.length - (b.length - a.length) * ((b.slope + root - mean) / divisor) if divisor else middle
    return min(max(place, least), most) if math.isfinite(place) else middle
