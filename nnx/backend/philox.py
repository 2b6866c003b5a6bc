"""Philox 4x32-10, the counter-based generator behind noise and masks: a pure function of key and counter.

A round multiplies two of the four 32-bit words of the counter by constants, and mixes the high halves of the products
with the other two words and the key. Neither torch nor JAX outside its 64-bit mode can compute with uint64. So the
portable body keeps the words as bit patterns in int32, which every library has, and which wraps around in all of them.

Source: J. K. Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", SC'11 (Random123).
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

from nnx.backend.namespaces import library_name
from nnx.types import Array, Device, Namespace

_MULTIPLIERS = (0xD2511F53, 0xCD9E8D57)
_WEYL = (0x9E3779B9, 0xBB67AE85)
_ROUNDS = 10
_BLOCK = 8192  # counters per pass, so that its working memory stays in the processor's cache


def philox(counter: Sequence[Array], key: tuple[int, int], *, xp: Namespace, device: Device) -> Array:
    """Return the four output words of Philox 4x32-10 for each counter.

    Parameters
    ----------
    counter : four arrays of int32, each of shape (count,)
        The words of the counters, as bit patterns.
    key : pair of int, each in [0, 2**32)
    xp : namespace
        That of the arrays.
    device : device

    Returns
    -------
    words : array of int32, shape (4 * count,)
        Bit patterns: words 0 to 3 of the first counter, then those of the second, and so on.
    """
    if library_name(xp) == "numpy":
        return _numpy(counter, key)
    return _portable(counter, key, xp, device)


def stream_key(seed: int, stream: str) -> tuple[int, int]:
    """Return the key of a stream: the first eight bytes of the SHA-256 of ``f"{seed}/{stream}"``, as two words."""
    import hashlib  # slow to import, and only noise needs it

    digest = hashlib.sha256(f"{seed}/{stream}".encode()).digest()
    return int.from_bytes(digest[:4], "little"), int.from_bytes(digest[4:8], "little")


def _portable(counter: Sequence[Array], key: tuple[int, int], xp: Namespace, device: Device) -> Array:
    def pair(first: int, second: int) -> Array:
        # Filled on the device: xp.asarray of a list would be a transfer from the host.
        rows = [xp.full((1, 1), signed(value), dtype=xp.int32, device=device) for value in (first, second)]
        return xp.concat(rows)

    # Even words are multiplied, odd ones mixed in. The product of word 2 replaces word 0 and the other way round, hence
    # the flips and the reversed constants.
    factor = pair(*_MULTIPLIERS[::-1])
    factor_low, factor_high = _halves(factor)
    step, keys = pair(*_WEYL), pair(*key)
    even, odd = xp.stack([counter[0], counter[2]]), xp.stack([counter[1], counter[3]])
    for _ in range(_ROUNDS):
        multiplied = xp.flip(even, axis=0)
        low, high = _halves(multiplied)
        # The high word of a 64-bit product from 16-bit halves, as in long multiplication. Each sum stays below 2**32,
        # so that no carry is lost; the int32 that holds it may be negative, which & and _high_half undo.
        middle = high * factor_low + _high_half(low * factor_low)
        other = low * factor_high + (middle & 0xFFFF)
        even = (high * factor_high + _high_half(middle) + _high_half(other)) ^ odd ^ keys
        odd = multiplied * factor
        keys = keys + step
    return xp.reshape(xp.stack([even[0, :], odd[0, :], even[1, :], odd[1, :]], axis=-1), (-1,))


def _halves(words: Array) -> tuple[Array, Array]:
    return words & 0xFFFF, _high_half(words)


def _high_half(words: Array) -> Array:
    return (words >> 16) & 0xFFFF  # shifting a signed integer copies its sign, which the mask removes


def signed(word: int) -> int:
    """Return the int32 that has the bit pattern of a word in [0, 2**32)."""
    return word - 2**32 if word >= 2**31 else word


def _numpy(counter: Sequence[Any], key: tuple[int, int]) -> Any:
    # The same rounds in uint64, which holds a whole product, in memory that every pass reuses.
    count = counter[0].shape[0]
    words = np.empty((count, 4), np.uint32)
    memory = np.empty((3, 2, min(count, _BLOCK)), np.uint64)
    for start in range(0, count, _BLOCK):
        block = words[start : start + _BLOCK]
        even, odd, product = memory[:, :, : block.shape[0]]
        for i in range(4):
            (even, odd)[i % 2][i // 2] = counter[i][start : start + _BLOCK].view(np.uint32)
        _numpy_rounds(even, odd, product, key)
        for i in range(4):
            block[:, i] = (even, odd)[i % 2][i // 2]
    return words.reshape(-1).view(np.int32)


def _numpy_rounds(even: Any, odd: Any, product: Any, key: tuple[int, int]) -> None:
    factor = np.asarray(_MULTIPLIERS[::-1], np.uint64)[:, None]
    keys = np.asarray(key, np.uint64)[:, None]
    step, low = np.asarray(_WEYL, np.uint64)[:, None], np.uint64(0xFFFFFFFF)
    for _ in range(_ROUNDS):
        np.multiply(even[::-1], factor, out=product)
        np.right_shift(product, 32, out=even)
        even ^= odd
        even ^= keys
        np.bitwise_and(product, low, out=odd)  # only now, as the old odd words were still needed
        keys = (keys + step) & low
