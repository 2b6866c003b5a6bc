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


def seconds(function, clock=time.perf_counter):
    """Time one call."""
    start = clock()
    function()
    return clock() - start


def ratio(ours, theirs, rounds=31, clock=time.perf_counter):
    """Return the median ratio of interleaved runs, and the two median times.

    ``time.process_time`` as the clock suits long runs in one thread on a machine that does other things too.
    """
    ours(), theirs()
    repeat = max(1, int(0.005 / max(seconds(theirs), 1e-6)))
    pairs = []
    for _ in range(rounds):
        a = min(seconds(ours, clock) for _ in range(repeat))
        b = min(seconds(theirs, clock) for _ in range(repeat))
        pairs.append((a, b))
    return statistics.median(a / b for a, b in pairs), *(
        statistics.median(column) for column in zip(*pairs, strict=True)
    )
