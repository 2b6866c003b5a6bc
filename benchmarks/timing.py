"""Times of interleaved runs, so that a machine whose speed drifts favors nobody."""

import itertools
import statistics
import time
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from typing import Any, NamedTuple

Around = Callable[[], AbstractContextManager[Any]]


class Spread(NamedTuple):
    """The median of many numbers, and their quartiles."""

    median: float
    lower: float
    upper: float

    @classmethod
    def of(cls, numbers: list[float]) -> "Spread":
        """Return that of a list; one number is its own quartiles."""
        lower, median, upper = statistics.quantiles(numbers, n=4) if len(numbers) > 1 else numbers * 3
        return cls(median, lower, upper)


def seconds(function, clock=time.perf_counter):
    """Time one call."""
    start = clock()
    function()
    return clock() - start


def turn(function, repeat, clock=time.perf_counter):
    """Return the time of a call, the mean of some that follow each other without a look at the clock.

    One goes before that is not timed: it finds the caches as somebody else left them.
    """
    function()
    numbers = itertools.repeat(None, repeat)
    start = clock()
    for _ in numbers:
        function()
    return (clock() - start) / repeat


def interleaved(
    functions: Mapping[str, Callable[[], Any]],
    *,
    rounds: int = 101,
    budget: float = float("inf"),
    shortest: float = 0.005,
    around: Mapping[str, Around] | None = None,
    clock: Callable[[], float] = time.perf_counter,
) -> dict[str, list[float]]:
    """Return the seconds of a call of each function, one number for each round.

    In a round each function has one turn of about ``shortest`` seconds, at least one call, and each round starts with
    another function. There are fewer rounds if they would take longer than ``budget`` seconds, but 7 at least.

    Parameters
    ----------
    functions
        By name.
    rounds
        At most so many.
    budget
        Seconds for all rounds.
    shortest
        Seconds of a turn.
    around
        What a turn of some function is run in, such as ``nnx.use_kernels``; entered once a turn.
    clock
        ``time.process_time`` suits one thread on a machine that does other things too.
    """
    around = around or {}
    repeats, cost = {}, 0.0
    for name, function in functions.items():
        with around.get(name, nullcontext)():
            function()
            once = max(min(seconds(function, clock) for _ in range(2)), 1e-7)
        repeats[name] = max(1, round(shortest / once))
        cost += (1 + repeats[name]) * once
    times: dict[str, list[float]] = {name: [] for name in functions}
    names = list(functions)
    for number in range(int(min(rounds, max(7, budget / cost)))):
        shift = number % len(names)
        for name in names[shift:] + names[:shift]:
            with around.get(name, nullcontext)():
                times[name].append(turn(functions[name], repeats[name], clock))
    return times


def ratio(ours, theirs, rounds=31, clock=time.perf_counter):
    """Return the median ratio of interleaved runs of two functions, and the two median times."""
    times = interleaved({"ours": ours, "theirs": theirs}, rounds=rounds, clock=clock)
    a, b = times["ours"], times["theirs"]
    return statistics.median(x / y for x, y in zip(a, b, strict=True)), statistics.median(a), statistics.median(b)
