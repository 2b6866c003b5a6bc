"""Gated linear units: activations that split an axis, and multiply one half by a gate made of the other."""

from nnx.autodiff import primitive
from nnx.backend import namespace
from nnx.errors import ShapeError
from nnx.functional.checks import expect_real, normalize_axis
from nnx.functional.elementwise import with_transpose
from nnx.functional.gates import silu, silu_slope
from nnx.functional.precision import in_float32
from nnx.functional.sigmoids import sigmoid
from nnx.types import Array


@primitive
@in_float32
def glu(x: Array, *, axis: int = -1) -> Array:
    r"""Gated linear unit: :math:`a\,\sigma(b)`, where :math:`a` and :math:`b` are the halves of the input.

    Parameters
    ----------
    x : array, shape (..., 2 * features) or any other with an axis of even length
        Real floating-point.
    axis : int
        The axis that is split, default -1.

    Returns
    -------
    y : array, shape (..., features)
        Half as long as ``x`` along the axis.

    Raises
    ------
    DTypeError
        If ``x`` holds integers or complex numbers.
    ShapeError
        If ``x`` has no such axis, or its length is odd.

    Notes
    -----
    The second half is the gate. Source: Y. N. Dauphin et al., "Language modeling with gated convolutional networks",
    ICML 2017.

    Examples
    --------
    >>> import numpy as np, nnx
    >>> nnx.functional.glu(np.asarray([[3.0, 4.0, 0.0, 1000.0]]))
    array([[1.5, 4. ]])
    """
    a, b = _halves(x, axis)
    return a * sigmoid(b)


def _through_glu(x: Array, cotangent: Array, axis: int = -1) -> Array:
    a, b = _halves(x, axis)
    gate = sigmoid(b)
    for_a = cotangent * gate
    return namespace(cotangent, x).concat([for_a, for_a * (a * (1.0 - gate))], axis=axis)


with_transpose(glu, _through_glu)


@primitive
@in_float32
def swiglu(x: Array, *, axis: int = -1) -> Array:
    r"""Gated linear unit with swish: :math:`\operatorname{silu}(a)\,b`, where :math:`a` and :math:`b` are the halves.

    Parameters
    ----------
    x : array, shape (..., 2 * features) or any other with an axis of even length
        Real floating-point.
    axis : int
        The axis that is split, default -1.

    Returns
    -------
    y : array, shape (..., features)
        Half as long as ``x`` along the axis.

    Raises
    ------
    DTypeError
        If ``x`` holds integers or complex numbers.
    ShapeError
        If ``x`` has no such axis, or its length is odd.

    Notes
    -----
    The first half is the gate, other than in :func:`glu`; a linear map before it makes both halves, so that
    ``swiglu(linear(x, weight))`` is the layer of the source.
    Source: N. Shazeer, "GLU variants improve Transformer", arXiv:2002.05202, 2020.

    Examples
    --------
    >>> import numpy as np, nnx
    >>> nnx.functional.swiglu(np.asarray([[0.0, 1000.0, 3.0, 4.0]]))
    array([[   0., 4000.]])
    """
    a, b = _halves(x, axis)
    return silu(a) * b


def _through_swiglu(x: Array, cotangent: Array, axis: int = -1) -> Array:
    a, b = _halves(x, axis)
    return namespace(cotangent, x).concat([cotangent * (b * silu_slope(a)), cotangent * silu(a)], axis=axis)


with_transpose(swiglu, _through_swiglu)


def _halves(x: Array, axis: int) -> tuple[Array, Array]:
    """Check the argument, and return the two halves along an axis."""
    expect_real(x)
    before = normalize_axis(axis, x.ndim)
    length = x.shape[before]
    if length % 2:
        raise ShapeError(f"expected an even length of axis {axis}, which is split in two, got {length}")
    start = (slice(None),) * before
    return x[(*start, slice(0, length // 2), ...)], x[(*start, slice(length // 2, length), ...)]
