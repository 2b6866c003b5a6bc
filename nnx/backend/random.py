"""Random numbers: host generators for first values and shuffles, a counter-based one for noise and masks.

First values and the order of the data are drawn on the host by NumPy and then moved, so they are the same numbers
on every backend. Noise and masks come from Philox 4x32-10, a function of (key, counter): the same bits
everywhere, and a run resumes from its counter alone.

Source: J. K. Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", SC'11 (Random123).
"""

from __future__ import annotations  # naming np.random in a signature would import it with nnx

import math
from typing import Any

import numpy as np

from nnx.backend.transfer import asarray
from nnx.errors import ArgumentError
from nnx.types import Array, Shape

_MULTIPLIERS = (np.uint64(0xD2511F53), np.uint64(0xCD9E8D57))
_WEYL = (0x9E3779B9, 0xBB67AE85)
_LOW = np.uint64(0xFFFFFFFF)
_BLOCK = 8192  # counters a pass: the four words of a pass stay in the processor's cache


def generator(rng: int | np.random.Generator | None = None) -> np.random.Generator:
    """Return a NumPy generator: from a seed, the one given, or for ``None`` a fresh one from the system's entropy.

    Layers that draw first values take the same argument as ``rng=``. Hand one generator to all layers of a
    model: a seed repeated in each would give them the same numbers.

    Raises
    ------
    ArgumentError
        If the seed is negative or not an integer.

    Examples
    --------
    >>> rng = generator(0)
    >>> generator(rng) is rng
    True
    """
    if isinstance(rng, np.random.Generator):
        return rng
    if rng is not None and (not isinstance(rng, (int, np.integer)) or isinstance(rng, bool) or rng < 0):
        raise ArgumentError(f"expected rng to be None, a NumPy Generator or an integer seed >= 0, got {rng!r}")
    return np.random.default_rng(rng)


def philox(counter: Any, key: tuple[int, int]) -> Any:
    """Return the four output words of Philox 4x32-10 for each counter.

    Parameters
    ----------
    counter : NumPy array of uint32, shape (count, 4)
    key : pair of int, each below 2**32

    Returns
    -------
    words : NumPy array of uint32, shape (count, 4)
    """
    words = np.empty(counter.shape, np.uint32)
    for start in range(0, counter.shape[0], _BLOCK):
        c0, c1, c2, c3 = (counter[start : start + _BLOCK, i].astype(np.uint64) for i in range(4))
        k0, k1 = key
        for _ in range(10):
            p0, p1 = _MULTIPLIERS[0] * c0, _MULTIPLIERS[1] * c2
            c0, c1 = (p1 >> np.uint64(32)) ^ c1 ^ np.uint64(k0), p1 & _LOW
            c2, c3 = (p0 >> np.uint64(32)) ^ c3 ^ np.uint64(k1), p0 & _LOW
            k0, k1 = (k0 + _WEYL[0]) & 0xFFFFFFFF, (k1 + _WEYL[1]) & 0xFFFFFFFF
        for i, word in enumerate((c0, c1, c2, c3)):
            words[start : start + _BLOCK, i] = word
    return words


def random_bits(shape: Shape, *, seed: int, stream: str, step: int) -> Any:
    """Return uint32 random bits as a NumPy array, a function of the arguments alone.

    Parameters
    ----------
    shape : tuple of int
    seed : int
        The run's seed.
    stream : str
        Tells the users of one seed apart; a layer gives its dotted path.
    step : int
        How often the stream was drawn from before.
    """
    import hashlib  # slow to import, and only noise needs it

    count = math.prod(shape)
    digest = hashlib.sha256(f"{seed}/{stream}".encode()).digest()
    key = (int.from_bytes(digest[:4], "little"), int.from_bytes(digest[4:8], "little"))
    blocks = -(-count // 4)
    counter = np.empty((blocks, 4), np.uint32)
    index = np.arange(blocks, dtype=np.uint64)
    counter[:, 0], counter[:, 1] = index & _LOW, index >> np.uint64(32)
    counter[:, 2], counter[:, 3] = step & 0xFFFFFFFF, (step >> 32) & 0xFFFFFFFF
    return philox(counter, key).reshape(-1)[:count].reshape(shape)


def uniform(shape: Shape, *, like: Array, seed: int, stream: str, step: int) -> Array:
    """Return numbers in [0, 1) with the dtype, library and device of ``like``; see :func:`random_bits`."""
    return asarray(_unit(random_bits(shape, seed=seed, stream=stream, step=step)), dtype=like.dtype, like=like)


def normal(shape: Shape, *, like: Array, seed: int, stream: str, step: int) -> Array:
    """Return standard normal numbers with the dtype, library and device of ``like``; see :func:`random_bits`.

    Drawn in float64 by the method of Box and Muller (1958) and rounded, so that all backends agree.
    """
    bits = random_bits((2, *shape), seed=seed, stream=stream, step=step)
    radius = np.sqrt(-2.0 * np.log(_unit(bits[0]) + 2.0**-33))
    return asarray(radius * np.cos(2.0 * np.pi * _unit(bits[1])), dtype=like.dtype, like=like)


def _unit(bits: Any) -> Any:
    # The 24 high bits alone: rounding to float32 can then never reach 1.
    return (bits >> np.uint32(8)) * 2.0**-24
