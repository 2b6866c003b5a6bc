"""Ratios of interleaved runs, so that a machine whose speed drifts favors neither side."""

import statistics
import time

import numpy as np


def settle_allocator():
    """Free one large array, after which the C library holds on to the memory of smaller ones, as in any longer program.

    At the start of a process glibc returns arrays of 128 KB or more to the system at once, and each new one is then
    paid for in page faults, which on some virtual machines cost several times the computation itself.
    """
    np.ones(3_900_000)


def seconds(function):
    """Time one call."""
    start = time.perf_counter()
    function()
    return time.perf_counter() - start


def ratio(ours, theirs, rounds=31):
    """Return the median ratio of interleaved runs, and the two median times."""
    ours(), theirs()
    repeat = max(1, int(0.005 / max(seconds(theirs), 1e-6)))
    pairs = []
    for _ in range(rounds):
        a = min(seconds(ours) for _ in range(repeat))
        b = min(seconds(theirs) for _ in range(repeat))
        pairs.append((a, b))
    return statistics.median(a / b for a, b in pairs), *(
        statistics.median(column) for column in zip(*pairs, strict=True)
    )
