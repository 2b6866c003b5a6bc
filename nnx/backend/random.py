"""Random numbers: host generators for initial values and shuffles, a counter-based one for noise and masks.

Initial values and the order of the data are drawn on the host with NumPy and then moved, so they are the same numbers
on every backend. Noise and masks come from Philox 4x32-10 (:mod:`nnx.backend.philox`), a function of key and counter
that runs on the device of the data: the bits are the same on every backend, and a run resumes from its counter alone.

**Layout.** The key is the first eight bytes of the SHA-256 of ``f"{seed}/{stream}"``, as two little-endian words.
Block ``b`` of a draw is the output for the counter ``(b, 0, step mod 2**32, step // 2**32)``. Element ``i`` of a draw
in C order is word ``i % 4`` of block ``i // 4``. An element of a mask takes 16 bits: half ``i % 2`` (0 is the low
half) of word ``i // 2 % 4`` of block ``i // 8``. A longer draw therefore begins with the shorter one.
"""

from __future__ import annotations  # naming np.random in a signature would import it with nnx

import math
from typing import Any

import numpy as np

from nnx.backend.in_place import multiply_into
from nnx.backend.inspection import is_real_floating
from nnx.backend.namespaces import is_array, library_name, namespace
from nnx.backend.philox import philox, signed, stream_key
from nnx.backend.transfer import device_of, dtype_name
from nnx.errors import ArgumentError, DTypeError, ShapeError
from nnx.types import Array, Device, Namespace, Shape


def generator(rng: int | np.random.Generator | None = None) -> np.random.Generator:
    """Return a NumPy generator: a new one from a seed or, for ``None``, from the system's entropy, or the given one.

    Layers that draw initial values take the same argument as ``rng=``. Pass one generator to all layers of a model: the
    same seed in each would give them the same numbers.

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


def keep_mask(
    shape: Shape,
    probability: float,
    *,
    like: Array,
    seed: int,
    stream: str,
    step: int | Array,
    first_row: int | range | None = None,
) -> Array:
    """Return booleans that are true with a given probability, in the library and on the device of ``like``.

    Each element takes 16 random bits, so the probability is rounded to a multiple of ``2**-16``; below ``2**-17`` no
    element is true. The bits are the same on every backend; the docstring of the module defines them.

    Parameters
    ----------
    shape : tuple of int
    probability : float
        That an element is true, in [0, 1].
    like : array
        An array of the wanted library and device; its dtype and values do not matter.
    seed : int
        The run's seed.
    stream : str
        Distinguishes the users of one seed; a layer passes its dotted path.
    step : int or integer array of shape ()
        The number of earlier draws from the stream. An array, in the library and on the device of ``like``, is never
        read on the host, so that the step can be counted on the device.
    first_row : int or range, optional
        Draw by rows: the mask is a block of a larger one along the first axis, and begins at this row of it. A row
        depends on its number and not on the block, so a mask can be drawn piece by piece, and in any order. A range
        has the first row of each of several blocks, which are (blocks, rows, ...) then.

    Raises
    ------
    ArgumentError
        If the probability is outside [0, 1], the seed is not an integer, or the step or the row is negative or not an
        integer.

    Examples
    --------
    >>> import numpy as np
    >>> keep_mask((2, 3), 0.5, like=np.zeros(1), seed=0, stream="dropout", step=0)
    array([[ True, False, False],
           [False,  True, False]])
    """
    threshold = _threshold(probability)
    xp, _ = _target(like)
    rows = None if first_row is None else _rows(first_row, shape, like)
    count = math.prod(shape) // (1 if rows is None else max(rows.shape[0], 1))
    words = _words(-(-count // 2), like, seed, stream, step, rows)
    if library_name(xp) == "numpy":
        halves = words.astype("<i4", copy=False).view("<u2")
    else:
        halves = xp.reshape(xp.stack([words & 0xFFFF, (words >> 16) & 0xFFFF], axis=-1), (-1,))
    if rows is None:
        return xp.reshape(halves[:count] < threshold, shape)
    halves = xp.reshape(halves, (rows.shape[0], 8 * -(-count // 8)))  # whole blocks a row
    return xp.reshape(halves[:, :count] < threshold, shape)


def scaled_mask(
    shape: Shape,
    probability: float,
    *,
    like: Array,
    seed: int,
    stream: str,
    step: int | Array,
    first_row: int | range | None = None,
) -> Array:
    """Return :func:`keep_mask` as numbers with the dtype of ``like``: 1 / probability where it is true, else 0.

    The expected value is exactly 1, since the divisor is the rounded probability. With probability 0 all are 0. The
    other arguments are those of :func:`keep_mask`.

    Raises
    ------
    ArgumentError
        As :func:`keep_mask`.
    DTypeError
        If ``like`` holds no real floating-point numbers.

    Examples
    --------
    >>> import numpy as np
    >>> scaled_mask((4,), 0.5, like=np.zeros(1, "float32"), seed=0, stream="dropout", step=0)
    array([2., 0., 0., 0.], dtype=float32)
    """
    _expect_real(like)
    keep = keep_mask(shape, probability, like=like, seed=seed, stream=stream, step=step, first_row=first_row)
    return multiply_into(_target(like)[0].astype(keep, like.dtype), 1.0 / (rounded_probability(probability) or 1.0))


def rounded_probability(probability: float) -> float:
    """Return the probability with which an element of :func:`keep_mask` is true: a multiple of ``2**-16``.

    Raises
    ------
    ArgumentError
        If the probability is outside [0, 1].
    """
    return _threshold(probability) / 65536


def random_bits(shape: Shape, *, seed: int, stream: str, step: int | Array, like: Array | None = None) -> Array:
    """Return random bits as uint32, in the library and on the device of ``like``; by default a NumPy array.

    The other arguments are those of :func:`keep_mask`.
    """
    like = np.empty(0) if like is None else like
    xp, _ = _target(like)
    count = math.prod(shape)
    words = _words(count, like, seed, stream, step)[:count]
    words = words.view(np.uint32) if library_name(xp) == "numpy" else xp.astype(words, xp.uint32)
    return xp.reshape(words, shape)


def uniform(shape: Shape, *, like: Array, seed: int, stream: str, step: int | Array) -> Array:
    """Return numbers in [0, 1) with the dtype, library and device of ``like``.

    They are multiples of ``2**-24``, or of the resolution of a dtype with fewer bits, taken from the high bits of
    :func:`random_bits`. The other arguments are those of :func:`keep_mask`.

    Raises
    ------
    DTypeError
        If ``like`` holds no real floating-point numbers.
    """
    _expect_real(like)
    xp, _ = _target(like)
    count = math.prod(shape)
    words = _words(count, like, seed, stream, step)[:count]
    return xp.reshape(_unit(words, like.dtype, xp), shape)


def normal(shape: Shape, *, like: Array, seed: int, stream: str, step: int | Array) -> Array:
    """Return standard normal numbers with the dtype, library and device of ``like``.

    They are made by the method of Box and Muller (1958) from the two halves of a draw of :func:`random_bits`, in
    float64 and then rounded, so that backends agree to rounding. A library without float64 computes in float32, and
    differs by a few units in the last place. The other arguments are those of :func:`keep_mask`.

    Raises
    ------
    DTypeError
        If ``like`` holds no real floating-point numbers.
    """
    _expect_real(like)
    xp, device = _target(like)
    count = math.prod(shape)
    available = xp.__array_namespace_info__().dtypes(device=device, kind="real floating")
    dtype = available.get("float64", xp.float32)
    words = _words(2 * count, like, seed, stream, step)
    # A number far below the resolution is added, so that the logarithm never sees 0.
    radius = xp.sqrt(-2.0 * xp.log(_unit(words[:count], dtype, xp) + 2.0**-33))
    angle = multiply_into(_unit(words[count : 2 * count], dtype, xp), 2.0 * math.pi)
    return xp.reshape(xp.astype(multiply_into(radius, xp.cos(angle)), like.dtype, copy=False), shape)


def _words(count: int, like: Array, seed: int, stream: str, step: int | Array, rows: Array | None = None) -> Array:
    """Return at least ``count`` words, as bit patterns in int32, along one axis; so many for each of ``rows``."""
    blocks = -(-count // 4)
    if not _is_integer(seed):
        raise ArgumentError(
            f"expected seed to be an integer of Python, got {type(seed).__name__}; a layer keeps it in "
            "nnx.Buffer(seed, constant=True), which stays one where jax.jit compiles"
        )
    if blocks > 2**31:
        raise ArgumentError(f"expected at most 2**33 random words in one draw, got {count}")
    xp, device = _target(like)
    index = xp.arange(blocks, dtype=xp.int32, device=device)
    if rows is None:
        row = xp.zeros((blocks,), dtype=xp.int32, device=device)
    else:
        both = (rows.shape[0], blocks)
        index, row = (xp.reshape(xp.broadcast_to(x, both), (-1,)) for x in (index, rows[:, None]))
    low, high = (xp.broadcast_to(half, index.shape) for half in _step_words(step, like))
    return philox((index, row, low, high), stream_key(seed, stream), xp=xp, device=device)


def _rows(first: int | range, shape: Shape, like: Array) -> Array:
    """Return the numbers of the rows of a mask, as int32."""
    blocks = first if isinstance(first, range) else range(int(first), int(first) + 1) if _is_integer(first) else None
    if blocks is None or (blocks and blocks[0] < 0):
        raise ArgumentError(f"expected first_row to be an integer >= 0, got {first!r}")
    if len(shape) <= (axis := int(isinstance(first, range))):
        raise ShapeError(f"expected a mask with at least one axis to draw by rows, got shape {shape}")
    xp, device = _target(like)
    starts = xp.arange(blocks.start, blocks.stop, blocks.step, dtype=xp.int32, device=device)
    return xp.reshape(starts[:, None] + xp.arange(shape[axis], dtype=xp.int32, device=device)[None, :], (-1,))


def _is_integer(value: Any) -> bool:
    return isinstance(value, (int, np.integer)) and not isinstance(value, bool)


def _step_words(step: int | Array, like: Array) -> tuple[Array, Array]:
    """Return the low and high word of a step as arrays of int32; a step that is an array is not read."""
    xp, device = _target(like)
    if isinstance(step, (int, np.integer)):
        if step < 0:
            raise ArgumentError(f"expected step >= 0, got {step}")
        words = (int(step) & 0xFFFFFFFF, int(step) >> 32 & 0xFFFFFFFF)
        low, high = (xp.full((1,), signed(word), dtype=xp.int32, device=device) for word in words)
        return low, high
    if not is_array(step) or not namespace(step, like).isdtype(step.dtype, "integral"):
        raise ArgumentError(f"expected step to be an integer, or an integer array of shape (), got {step!r}")
    if step.ndim:
        raise ShapeError(f"expected step of shape (), got {tuple(step.shape)}")
    step = xp.reshape(step, (1,))
    if xp.iinfo(step.dtype).bits < 64:
        low = xp.astype(step, xp.int32)
        return low, xp.zeros_like(low)
    step = xp.astype(step, xp.int64)
    low = (step & 0x7FFFFFFF) - (step & 0x80000000)  # the bit pattern as a number that fits into int32
    return xp.astype(low, xp.int32), xp.astype(step >> 32, xp.int32)


def _unit(words: Array, dtype: Any, xp: Namespace) -> Array:
    # No more high bits than the dtype can hold, and at most 24: so no rounding, which could reach 1.
    bits = min(24, 1 - round(math.log2(float(xp.finfo(dtype).eps))))
    high = words >> (32 - bits)
    high &= 2**bits - 1
    return multiply_into(xp.astype(high, dtype), 2.0**-bits)


def _threshold(probability: float) -> int:
    if not 0 <= probability <= 1:
        raise ArgumentError(f"expected a probability in [0, 1], got {probability!r}")
    return round(probability * 65536)


def _target(like: Array) -> tuple[Namespace, Device]:
    """Return the plain namespace and the device of an array: random numbers are constants to a transform."""
    xp = namespace(like)
    return getattr(xp, "untraced", xp), device_of(like)


def _expect_real(like: Array) -> None:
    if not is_real_floating(like):
        raise DTypeError(f"expected like of a real floating-point dtype, got {dtype_name(like.dtype)}")
