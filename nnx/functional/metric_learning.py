"""Losses of pairs and triplets of vectors that are to be near each other, or far."""

from collections.abc import Sequence
from typing import Any

from nnx.autodiff import Pullback, primitive, vjp
from nnx.backend import namespace
from nnx.errors import ArgumentError, ShapeError
from nnx.functional.checks import expect_array, expect_shape
from nnx.functional.loss_terms import as_signs, expect_like, expect_pair, reduce_loss, unreduce
from nnx.functional.precision import in_float32, rule_in_float32
from nnx.types import Array

_TINY = 1e-12


@primitive
@in_float32
def cosine_embedding(x1: Array, x2: Array, target: Array, *, margin: float = 0.0, reduction: str = "mean") -> Array:
    r"""Pull pairs of vectors together, or push them apart: :math:`1 - \cos`, or :math:`\max(0, \cos - m)`.

    Parameters
    ----------
    x1, x2 : arrays of one shape (..., features), real floating-point
    target : array, shape (...)
        1 for pairs that belong together, -1 for others; signed integers, or of the dtype of the vectors.
    margin : float, in [-1, 1]
        Pairs that do not belong together may have this cosine.
    reduction : {"mean", "sum", "none"}
        Over the pairs.

    Returns
    -------
    loss : array, shape ()
        For ``"none"`` the shape (...).

    Raises
    ------
    ShapeError
        If the shapes do not fit, or there is no element.
    DTypeError
        If the vectors hold integers or complex numbers, or the dtypes do not fit.
    ArgumentError
        If the target has other values. On a device whose memory cannot be read without waiting, that is not checked.

    Notes
    -----
    As in PyTorch, 1e-12 is added to the squares of the lengths. At the kink, :math:`\cos = m`, the derivative is that
    of the side above.

    Examples
    --------
    >>> import numpy as np, nnx
    >>> x1, x2 = np.asarray([[1.0, 0.0], [1.0, 0.0]]), np.asarray([[0.0, 2.0], [2.0, 0.0]])
    >>> nnx.functional.cosine_embedding(x1, x2, np.asarray([1, -1]), reduction="none").round(4)
    array([1., 1.])
    """
    target = _check_cosine(x1, x2, target)
    cosine = _cosine(x1, x2)[0][..., 0]
    return reduce_loss(_of_cosine(cosine, target, margin), reduction)


@cosine_embedding.with_pullback(fresh=True)
@rule_in_float32
def _(
    wanted: Sequence[Any], x1: Array, x2: Array, target: Array, *, margin: float = 0.0, reduction: str = "mean"
) -> tuple[Array, Pullback]:
    target = _check_cosine(x1, x2, target)
    cosine, length1, length2 = _cosine(x1, x2)
    value = reduce_loss(_of_cosine(cosine[..., 0], target, margin), reduction)

    def pullback(cotangent: Array) -> tuple[Array | None, Array | None, None]:
        xp = namespace(cotangent, cosine, target)
        scale = unreduce(cotangent, reduction, target.shape)
        share = xp.where(target > 0, -scale, xp.where(cosine[..., 0] < margin, 0.0, scale))[..., None]
        across = share / (length1 * length2)
        to_x1 = across * x2 - (share * cosine / (length1 * length1)) * x1 if wanted[0] else None
        to_x2 = across * x1 - (share * cosine / (length2 * length2)) * x2 if wanted[1] else None
        return to_x1, to_x2, None

    return value, pullback


@primitive
@in_float32
def triplet_margin(
    anchor: Array,
    positive: Array,
    negative: Array,
    *,
    margin: float = 1.0,
    p: float = 2.0,
    eps: float = 1e-6,
    swap: bool = False,
    reduction: str = "mean",
) -> Array:
    r"""Keep an anchor nearer to a positive than to a negative example: :math:`\max(0, m + d(a, p) - d(a, n))`.

    Parameters
    ----------
    anchor, positive, negative : arrays of one shape (..., features), real floating-point
    margin : float
        :math:`m`, positive.
    p : float
        The order of the norm that is the distance, at least 1; ``math.inf`` is one too.
    eps : float
        Added to each difference, as in PyTorch, so that a distance is not 0.
    swap : bool
        Whether the distance of the positive from the negative example counts instead of that of the anchor, where it
        is smaller.
    reduction : {"mean", "sum", "none"}
        Over the triplets.

    Returns
    -------
    loss : array, shape ()
        For ``"none"`` the shape (...).

    Raises
    ------
    ShapeError
        If the shapes differ, or there is no element.
    DTypeError
        If an array holds integers or complex numbers, or the dtypes differ.
    ArgumentError
        If ``margin`` is not positive, or ``p`` is less than 1.

    Notes
    -----
    At the kink the derivative is that of the side inside the margin; with ``swap``, at a tie, that of both distances in
    equal shares. Source: V. Balntas et al., "Learning local feature descriptors with triplets and shallow convolutional
    neural networks", BMVC 2016.

    Examples
    --------
    >>> import numpy as np, nnx
    >>> anchor, positive, negative = np.zeros((1, 2)), np.asarray([[1.0, 0.0]]), np.asarray([[0.0, 1.5]])
    >>> round(float(nnx.functional.triplet_margin(anchor, positive, negative)), 4)
    0.5
    """
    _check_triplet(anchor, positive, negative, margin, p)
    far = _length(anchor - negative + eps, p)
    xp = namespace(anchor, positive, negative)
    if swap:
        far = xp.minimum(far, _length(positive - negative + eps, p))
    gap = margin + _length(anchor - positive + eps, p) - far
    return reduce_loss(xp.where(gap < 0, 0.0, gap), reduction)


@triplet_margin.with_pullback(fresh=True)
@rule_in_float32
def _(
    wanted: Sequence[Any],
    anchor: Array,
    positive: Array,
    negative: Array,
    *,
    margin: float = 1.0,
    p: float = 2.0,
    eps: float = 1e-6,
    swap: bool = False,
    reduction: str = "mean",
) -> tuple[Array, Pullback]:
    _check_triplet(anchor, positive, negative, margin, p)
    xp = namespace(anchor, positive, negative)
    near, by_near = vjp(lambda x: _length(x, p), anchor - positive + eps)
    far, by_far = vjp(lambda x: _length(x, p), anchor - negative + eps)
    share = None
    if swap:
        other, by_other = vjp(lambda x: _length(x, p), positive - negative + eps)
        share = 0.5 * xp.astype(far <= other, far.dtype) + 0.5 * xp.astype(far < other, far.dtype)
        far = xp.minimum(far, other)
    gap = margin + near - far

    def pullback(cotangent: Array) -> tuple[Array | None, Array | None, Array | None]:
        xp = namespace(cotangent, gap)
        scale = xp.where(gap < 0, 0.0, unreduce(cotangent, reduction, gap.shape))
        to_near = by_near(scale)[0]
        to_far = by_far(-scale if share is None else -share * scale)[0]
        to_other = 0.0 if share is None else by_other((share - 1.0) * scale)[0]
        return (
            to_near + to_far if wanted[0] else None,
            to_other - to_near if wanted[1] else None,
            -to_far - to_other if wanted[2] else None,
        )

    return reduce_loss(xp.where(gap < 0, 0.0, gap), reduction), pullback


def _cosine(x1: Array, x2: Array) -> tuple[Array, Array, Array]:
    """Return the cosine of pairs of vectors, and the lengths of both, all of shape (..., 1)."""
    xp = namespace(x1, x2)
    length1, length2 = (xp.sqrt(xp.sum(x * x, axis=-1, keepdims=True) + _TINY) for x in (x1, x2))
    return xp.sum(x1 * x2, axis=-1, keepdims=True) / (length1 * length2), length1, length2


def _of_cosine(cosine: Array, target: Array, margin: float) -> Array:
    xp = namespace(cosine, target)
    return xp.where(target > 0, 1.0 - cosine, xp.where(cosine < margin, 0.0, cosine - margin))


def _length(x: Array, p: float) -> Array:
    return namespace(x).linalg.vector_norm(x, axis=-1, ord=p)


def _check_cosine(x1: Array, x2: Array, target: Array) -> Array:
    expect_pair(x1, x2, "x2", "x1")
    if x1.ndim == 0:
        raise ShapeError("expected x1 of shape (..., features), got ()")
    namespace(x1, target)
    expect_array(target, "target")
    expect_shape(target, x1.shape[:-1], "target", "one for each pair")
    return as_signs(target, x1)


def _check_triplet(anchor: Array, positive: Array, negative: Array, margin: float, p: float) -> None:
    expect_pair(anchor, positive, "positive", "anchor")
    expect_like(anchor, negative, "negative", "anchor")
    if anchor.ndim == 0:
        raise ShapeError("expected anchor of shape (..., features), got ()")
    if not margin > 0:
        raise ArgumentError(f"expected margin > 0, got {margin}")
    if not p >= 1:
        raise ArgumentError(f"expected p >= 1, got {p}")
