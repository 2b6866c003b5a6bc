"""What the allocator of the C library does with memory that is freed."""

import numpy as np

_LARGEST = 2**25 - 2**16  # bytes: glibc looks at freed blocks below 32 MB, and adds a little to each


def keep_freed_memory() -> None:
    """Let this process keep memory that arrays have freed, for the next arrays, instead of giving it back at once.

    A training step makes and frees arrays of megabytes all the time, and memory that comes anew from the system has to
    be cleared page by page: a step of a small convolutional network takes twice as long. glibc stops giving memory back
    for blocks below the size of the largest one that it has seen freed, up to 32 MB. This frees such a block, which
    nobody has touched. The command ``nnx train`` does it; the library never does by itself, since it concerns the whole
    process.

    Notes
    -----
    The process keeps up to 64 MB that nobody uses at the end of its heap. A small array that lives long also keeps what
    was freed below it. Limits that the environment sets (``MALLOC_MMAP_THRESHOLD_`` and others) stay as they are. With
    another allocator than glibc's nothing happens. Source: the manual page of ``mallopt``, on ``M_MMAP_THRESHOLD``.

    Examples
    --------
    >>> import nnx
    >>> nnx.backend.keep_freed_memory()
    """
    np.empty(_LARGEST, np.uint8)
