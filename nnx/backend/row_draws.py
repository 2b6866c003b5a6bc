"""Random words for the rows of a data set, on the host: what augments a sample depends on its number alone."""

from typing import Any

import numpy as np

from nnx.backend.philox import philox, stream_key
from nnx.types import Array


def words_by_row(rows: Any, count: int, *, seed: int, stream: str, step: int) -> Array:
    """Return random words for each of some rows, as a NumPy array on the host.

    The words of a row are a pure function of ``(seed, stream, step)`` and its number: the same in every batch, on every
    backend, and in any number of threads. They follow the layout of :func:`nnx.backend.keep_mask` by rows: word ``j``
    is word ``j % 4`` of the output of Philox for the counter
    ``(j // 4, row mod 2**32, step mod 2**32, (step // 2**32) xor (row // 2**32))``.

    Parameters
    ----------
    rows : integers, shape (rows,)
        Zero or more, below ``2**63``.
    count : int
        Words for each row.
    seed : int
    stream : str
        Distinguishes the users of one seed.
    step : int
        Zero or more, such as the number of the epoch.

    Returns
    -------
    words : NumPy array of uint32, shape (rows, count)

    Examples
    --------
    >>> words_by_row([7, 3], 2, seed=0, stream="crop", step=1).shape
    (2, 2)
    >>> words_by_row([3], 2, seed=0, stream="crop", step=1) == words_by_row([7, 3], 2, seed=0, stream="crop", step=1)[1]
    array([[ True,  True]])
    """
    numbers = np.asarray(rows, np.int64).reshape(-1, 1)
    blocks = np.arange(-(-count // 4), dtype=np.int32).reshape(1, -1)
    shape = (numbers.shape[0], blocks.shape[1])
    low, high = np.asarray(step & 0xFFFFFFFF), (step >> 32 & 0xFFFFFFFF) ^ (numbers >> 32)
    counters = (x.astype(np.uint32).view(np.int32) for x in (numbers, low, high))
    block, row, low, high = (np.broadcast_to(x, shape).reshape(-1) for x in (blocks, *counters))
    words = philox((block, row, low, high), stream_key(seed, stream), xp=np, device="cpu").view(np.uint32)
    return words.reshape(shape[0], 4 * shape[1])[:, :count]
