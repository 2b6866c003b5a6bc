"""How the allocator of the C library treats large arrays."""

import numpy as np

_LARGEST = 2**25 - 2**16  # bytes: what glibc counts with at most, less what it adds


def keep_freed_memory() -> None:
    """Let memory that was freed be used again, instead of being given back to the system at once.

    A step of training frees and makes arrays of megabytes all the time. Memory that comes anew from the system has to
    be cleared, page by page, which takes longer than many an operation that fills it. glibc keeps what is freed up to
    twice the size of the largest block of its own that it has ever seen freed, within limits; so here is one, which
    nobody touches. Where the environment or the program has set limits, these stay; other allocators do not care.
    """
    np.empty(_LARGEST, np.uint8)
