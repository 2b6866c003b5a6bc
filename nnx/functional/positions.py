"""Positions in a sequence: sinusoidal and rotary ones, and the bias that ALiBi adds to the scores of attention."""

import math
from collections.abc import Sequence
from typing import Any

from nnx.autodiff import Pullback, primitive
from nnx.backend import device_of, dtype_name, namespace, widest_dtype
from nnx.errors import ArgumentError, DTypeError, ShapeError
from nnx.functional.checks import as_integer, expect_broadcast, expect_real
from nnx.types import Array


@primitive
def rotary(x: Array, positions: Array | None = None, *, offset: int = 0, base: float = 10_000.0) -> Array:
    r"""Rotate pairs of features by angles proportional to the position: rotary positions.

    Feature :math:`i` of the first half and feature :math:`i` of the second half are a point of a plane, which position
    :math:`t` turns by the angle :math:`t\,b^{-2i/d}`:

    .. math:: (x_i, x_{i + d/2}) \mapsto
        (x_i \cos\theta - x_{i + d/2} \sin\theta,\; x_{i + d/2} \cos\theta + x_i \sin\theta)

    Applied to queries and keys, so that their products depend on the distance of their positions alone.

    Parameters
    ----------
    x : array, shape (..., time, features)
        Real floating-point; the number of features :math:`d` is even.
    positions : array, broadcastable to (..., time), optional
        The positions :math:`t`, which are not differentiated; by default offset, offset + 1, ...
    offset : int
        The first position, such as the number of keys in a cache.
    base : float
        The base :math:`b` of the wavelengths.

    Returns
    -------
    y : array of the same shape and dtype

    Raises
    ------
    DTypeError
        If ``x`` does not hold real floating-point numbers.
    ShapeError
        If the number of features is odd, or the positions do not broadcast.
    ArgumentError
        If the offset is not an integer >= 0.

    Notes
    -----
    The pairs are those of GPT-NeoX and of Llama's weights in the format of Hugging Face: the two halves. The paper and
    Llama's own files pair neighbors, 2i and 2i + 1; the columns of their projections have to be permuted.
    Source: J. Su et al., "RoFormer: enhanced transformer with rotary position embedding", 2021.

    Examples
    --------
    >>> import numpy as np, nnx
    >>> nnx.functional.rotary(np.asarray([[1.0, 0.0], [1.0, 0.0]])).round(4)
    array([[1.    , 0.    ],
           [0.5403, 0.8415]])
    """
    return _rotated(x, *_turn(x, positions, offset, base))


@rotary.with_pullback(fresh=True)
def _(
    wanted: Sequence[Any], x: Array, positions: Array | None = None, *, offset: int = 0, base: float = 10_000.0
) -> tuple[Array, Pullback]:
    cosine, sine = _turn(x, positions, offset, base)
    return _rotated(x, cosine, sine), lambda cotangent: (_rotated(cotangent, cosine, -sine), None)


def _turn(x: Array, positions: Array | None, offset: int, base: float) -> tuple[Array, Array]:
    """Return cosine and sine of each position's angles, (..., time, features / 2)."""
    xp = namespace(x, positions)
    expect_real(x)
    if x.ndim < 2 or x.shape[-1] % 2:
        raise ShapeError(f"expected input of shape (..., time, features) with even features, got {tuple(x.shape)}")
    if positions is None:
        positions = _count(x, x.shape[-2], as_integer(offset, "offset", 0))
    else:
        if not xp.isdtype(positions.dtype, "integral"):
            raise DTypeError(f"expected positions of an integer dtype, got {dtype_name(positions.dtype)}")
        expect_broadcast(positions, tuple(x.shape[:-1]), "positions", "(..., time)")
        positions = xp.astype(positions, widest_dtype(x, "real floating"))
    angles = positions[..., None] * _frequencies(x, x.shape[-1], base)
    return xp.astype(xp.cos(angles), x.dtype, copy=False), xp.astype(xp.sin(angles), x.dtype, copy=False)


def _rotated(x: Array, cosine: Array, sine: Array) -> Array:
    xp = namespace(x)
    half = x.shape[-1] // 2
    first, second = x[..., :half], x[..., half:]
    return xp.concat([first * cosine - second * sine, second * cosine + first * sine], axis=-1)


def sinusoidal_positions(time: int, features: int, *, like: Array, offset: int = 0, base: float = 10_000.0) -> Array:
    r"""Return sines and cosines of the position, of geometrically spaced wavelengths.

    .. math:: p_{t, 2i} = \sin(t\,b^{-2i/d}), \quad p_{t, 2i + 1} = \cos(t\,b^{-2i/d})

    Parameters
    ----------
    time : int
        The number of positions.
    features : int
        Their number :math:`d`, which is even.
    like : array
        Of the dtype, library and device that are wanted; its values do not matter.
    offset : int
        The first position :math:`t`.
    base : float
        The base :math:`b` of the wavelengths.

    Returns
    -------
    positions : array, shape (time, features)
        To be added to embeddings of shape (..., time, features).

    Raises
    ------
    ArgumentError
        If a size is not an integer of at least 1, the number of features is odd, or the offset is negative.
    DTypeError
        If ``like`` does not hold real floating-point numbers.

    Notes
    -----
    Source: A. Vaswani et al., "Attention is all you need", NeurIPS 2017.

    Examples
    --------
    >>> import numpy as np, nnx
    >>> nnx.functional.sinusoidal_positions(2, 4, like=np.zeros(1)).round(4)
    array([[0.    , 1.    , 0.    , 1.    ],
           [0.8415, 0.5403, 0.01  , 1.    ]])
    """
    expect_real(like, "like")
    if as_integer(features, "features", 1) % 2:
        raise ArgumentError(f"expected an even number of features, got {features}")
    xp = namespace(like)
    positions = _count(like, as_integer(time, "time", 1), as_integer(offset, "offset", 0))
    angles = positions[:, None] * _frequencies(like, features, base)
    return xp.astype(xp.reshape(xp.stack([xp.sin(angles), xp.cos(angles)], axis=-1), (time, features)), like.dtype)


def alibi_bias(heads: int, time: int, *, like: Array) -> Array:
    r"""Return the bias of ALiBi, a penalty for the distance from query to key: attention with linear biases.

    .. math:: B_{h, t} = -2^{-8 h / H} (T - 1 - t), \quad h = 1 \dots H

    Parameters
    ----------
    heads : int
        Their number :math:`H`.
    time : int
        The number of keys :math:`T`.
    like : array
        Of the dtype, library and device that are wanted; its values do not matter.

    Returns
    -------
    bias : array, shape (heads, 1, time)
        The ``bias`` of causal :func:`attention`. The paper subtracts the distance of each query from each key; this is
        the distance from the last query, the same for all. They differ by a number a query, which softmax does not
        see, and this one takes memory that is linear in the time.

    Raises
    ------
    ArgumentError
        If a size is not an integer of at least 1.
    DTypeError
        If ``like`` does not hold real floating-point numbers.

    Notes
    -----
    The slopes for a number of heads that is not a power of two are those of the nearest lower power, followed by every
    second of those of twice that power.
    Source: O. Press, N. A. Smith and M. Lewis, "Train short, test long: attention with linear biases enables input
    length extrapolation", ICLR 2022.

    Examples
    --------
    >>> import numpy as np, nnx
    >>> nnx.functional.alibi_bias(2, 3, like=np.zeros(1))[:, 0]
    array([[-0.125     , -0.0625    , -0.        ],
           [-0.0078125 , -0.00390625, -0.        ]])
    """
    expect_real(like, "like")
    xp = namespace(like)
    time = as_integer(time, "time", 1)
    ages = xp.flip(_count(like, time, 0))
    rows = [xp.reshape(-slope * ages, (1, 1, time)) for slope in _slopes(as_integer(heads, "heads", 1))]
    return xp.astype(xp.concat(rows), like.dtype, copy=False)


def _slopes(heads: int) -> list[float]:
    power = 1 << (heads.bit_length() - 1)  # the largest power of two that is not above
    slopes = [2.0 ** (-8.0 * h / power) for h in range(1, power + 1)]
    return slopes + [2.0 ** (-4.0 * h / power) for h in range(1, 2 * (heads - power), 2)]


def _count(like: Array, length: int, first: int) -> Array:
    """Return first, first + 1, ... in the widest floating-point dtype: float32 cannot hold the angle of a long text."""
    dtype = widest_dtype(like, "real floating")
    return namespace(like).arange(first, first + length, dtype=dtype, device=device_of(like))


def _frequencies(like: Array, features: int, base: float) -> Array:
    return namespace(like).exp(_count(like, features // 2, 0) * (-2.0 * math.log(base) / features))
