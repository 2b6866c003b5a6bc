"""Where a step of nnx spends its time, by function."""

import cProfile
import pstats
import time

from benchmarks.contestants.of_nnx import EAGER, in_tier
from benchmarks.workload import Workload


def profile(workload: Workload, seconds: float = 2.0, lines: int = 12) -> None:
    """Print the functions that take longest in themselves, in a step of the best eager tier."""
    makers = workload.build(**workload.sizes)
    contestant = next(name for name in reversed(EAGER) if name in makers)
    step = makers[contestant]()
    with in_tier(contestant):
        step()
        steps, end = 0, time.perf_counter() + seconds
        with cProfile.Profile() as found:
            while time.perf_counter() < end:
                step()
                steps += 1
    print(f"\n{workload.name}, {contestant}, {steps} steps")
    pstats.Stats(found).strip_dirs().sort_stats("tottime").print_stats(lines)
