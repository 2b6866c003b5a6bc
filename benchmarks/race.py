"""Run the contestants of a workload: all from the same start, compared first, then timed in turns."""

from collections.abc import Collection
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np

from benchmarks.contestants.of_nnx import EAGER, REPLAYED, in_tier
from benchmarks.timing import Spread, interleaved
from benchmarks.workload import Step, Workload
from nnx.errors import NnxError

PEERS = ("torch", "jax", "sklearn", "autograd", "advect", "post")
STEPS = 5


class DisagreementError(Exception):
    """Contestants of a workload compute different things."""


@dataclass(frozen=True)
class Result:
    """What came of a workload.

    Attributes
    ----------
    name : str
        Of the workload.
    times : dict
        Seconds of a step of each contestant, one number a round.
    left_out : dict
        Why a contestant did not run.
    differences : dict
        By how much at most what a contestant returned in its first steps differs from the first one's, relatively.
    peaks : dict
        By how many bytes a step raises the memory of a process, where that was measured.
    """

    name: str
    times: dict[str, list[float]]
    left_out: dict[str, str] = field(default_factory=dict)
    differences: dict[str, float] = field(default_factory=dict)
    peaks: dict[str, int] = field(default_factory=dict)

    def spread(self, name: str) -> Spread:
        """Return the median time of a contestant with its quartiles."""
        return Spread.of(self.times[name])

    def relative(self, ours: str, theirs: str) -> Spread:
        """Return the ratio of the median times of two contestants, with the quartiles of the ratios of the rounds."""
        of_rounds = Spread.of([a / b for a, b in zip(self.times[ours], self.times[theirs], strict=True)])
        return of_rounds._replace(median=self.spread(ours).median / self.spread(theirs).median)

    def way_of(self, ours: str) -> str:
        """Return which contestant stands for nnx eager, replayed, or the faster one; eager where nothing replays."""
        eager = next(name for name in reversed(EAGER) if name in self.times)
        if ours == "eager" or REPLAYED not in self.times:
            return eager
        return REPLAYED if ours == "replayed" else min(eager, REPLAYED, key=lambda name: self.spread(name).median)


def race(workload: Workload, *, peers: Collection[str] = PEERS, **timing: Any) -> Result:
    """Build, compare and time the contestants of a workload; the options are those of ``interleaved``.

    A contestant is left out if its library is not installed, or if nnx says that it cannot do this.

    Raises
    ------
    DisagreementError
        If one of them computes something else, or the steps change nothing.
    """
    steps: dict[str, Step] = {}
    values: dict[str, list[np.ndarray]] = {}
    left_out = {}
    for name, make in workload.build(**workload.sizes).items():
        if name in PEERS and name not in peers:
            continue
        try:
            step = make()
            if name != "floor":
                values[name] = _first_values(name, step)
            steps[name] = step
        except (ImportError, NnxError) as error:
            left_out[name] = str(error)
    differences = check_agreement(workload, values)
    around = {name: partial(in_tier, name) for name in steps}
    return Result(workload.name, interleaved(steps, around=around, **timing), left_out, differences)


def _first_values(name: str, step: Step) -> list[np.ndarray]:
    with in_tier(name):
        return [np.array(step(), np.float64) for _ in range(STEPS)]


def check_agreement(workload: Workload, values: dict[str, list[np.ndarray]]) -> dict[str, float]:
    """Return by how much each contestant differs from the first, relative to the largest element."""
    (first, expected), *others = values.items()
    scale = max(np.max(np.abs(value)) for value in expected)
    moved = np.max(np.abs(expected[-1] - expected[0])) / scale
    if workload.is_training and not moved > workload.tolerance / 10:
        raise DisagreementError(f"{workload.name}: {STEPS} steps of {first} change the values by {moved:.1e} only")
    differences = {}
    for name, found in others:
        differences[name] = max(np.max(np.abs(a - b)) / scale for a, b in zip(found, expected, strict=True))
        if not differences[name] <= workload.tolerance:
            raise DisagreementError(
                f"{workload.name}: in {STEPS} steps {name} differs from {first} by {differences[name]:.1e} of the "
                f"largest value, and {workload.tolerance:.0e} is allowed"
            )
    return differences
