"""Regularization by random masks: dropout of elements, channels or examples, and the form that suits SELU."""

import math
from collections.abc import Sequence
from typing import Any

from nnx.autodiff import Pullback, primitive, stop_gradient
from nnx.backend import keep_mask, multiply_into, namespace, rounded_probability
from nnx.functional.checks import as_probability, expect_real, normalize_axis
from nnx.types import Array

_SELU_LIMIT = -1.7580993408473766  # of SELU for x -> -infinity: minus its scale times its alpha


@primitive
def dropout(
    x: Array,
    *,
    probability: float = 0.5,
    seed: int,
    stream: str = "dropout",
    step: int | Array = 0,
    axes: Sequence[int] | None = None,
) -> Array:
    r"""Set random elements to zero and scale the others, so that the expected value stays: :math:`y = x m / (1 - p)`.

    Parameters
    ----------
    x : array of any shape, real floating-point
    probability : float
        That an element is dropped, :math:`p` in [0, 1], rounded to a multiple of ``2**-16``; :math:`1 - p` is rounded
        with it.
    seed : int
    stream : str
    step : int or integer array of shape ()
        These three determine the mask :math:`m`, which is the same on every backend; see
        :func:`nnx.backend.keep_mask`.
    axes : sequence of int, optional
        The axes along which the mask varies, by default all: ``(0, 1)`` drops whole channels of
        (batch, channels, ...), and ``(0,)`` whole examples.

    Returns
    -------
    y : array of the same shape and dtype
        What is dropped is exactly 0, even where ``x`` is infinite or NaN. With probability 0 it is ``x`` itself.

    Raises
    ------
    DTypeError
        If ``x`` holds integers or complex numbers.
    ShapeError
        If ``x`` lacks one of the axes.
    ArgumentError
        If the probability is not in [0, 1].

    Notes
    -----
    The pullback keeps the mask alone, as booleans.
    Source: N. Srivastava et al., "Dropout: a simple way to prevent neural networks from overfitting", JMLR 2014.

    Examples
    --------
    >>> import numpy as np, nnx
    >>> nnx.functional.dropout(np.ones(4, np.float32), probability=0.5, seed=0)
    array([2., 0., 0., 0.], dtype=float32)
    """
    keep, scale = drawn(x, probability, seed, stream, step, axes)
    return x if keep is None else masked(x, keep, scale)


@dropout.with_pullback(fresh=True)
def _(
    wanted: Sequence[Any],
    x: Array,
    *,
    probability: float = 0.5,
    seed: int,
    stream: str = "dropout",
    step: int | Array = 0,
    axes: Sequence[int] | None = None,
) -> tuple[Array, Pullback]:
    keep, scale = drawn(x, probability, seed, stream, step, axes)
    if keep is None:
        return x, lambda cotangent: (1.0 * cotangent,)
    return masked(x, keep, scale), lambda cotangent: (masked(cotangent, keep, scale),)


@primitive
def alpha_dropout(
    x: Array, *, probability: float = 0.5, seed: int, stream: str = "dropout", step: int | Array = 0
) -> Array:
    r"""Set random elements to SELU's lower limit, such that mean 0 and variance 1 are kept: :math:`y = a\,x' + b`.

    With :math:`q = 1 - p` and SELU's limit :math:`l = -1.7581`, :math:`x'` is :math:`x` or, with probability
    :math:`p`, :math:`l`, and :math:`a = (q + l^2 q p)^{-1/2}`, :math:`b = -a p l`.

    Parameters
    ----------
    x : array of any shape, real floating-point
        The output of SELU, for example.
    probability : float
        That an element is dropped, :math:`p` in [0, 1], rounded to a multiple of ``2**-16``. With 1, where nothing is
        left to keep a variance of, all are 0.
    seed, stream, step
        As in :func:`dropout`.

    Returns
    -------
    y : array of the same shape and dtype

    Raises
    ------
    DTypeError
        If ``x`` holds integers or complex numbers.
    ArgumentError
        If the probability is not in [0, 1].

    Notes
    -----
    Source: G. Klambauer et al., "Self-normalizing neural networks", NeurIPS 2017.

    Examples
    --------
    >>> import numpy as np, nnx
    >>> nnx.functional.alpha_dropout(np.zeros(4, np.float32), probability=0.5, seed=0).round(2)
    array([ 0.78, -0.78, -0.78, -0.78], dtype=float32)
    """
    keep, scale = drawn(x, probability, seed, stream, step)
    return x if keep is None else _limited(x, keep, *_affine(scale))


@alpha_dropout.with_pullback(fresh=True)
def _(
    wanted: Sequence[Any],
    x: Array,
    *,
    probability: float = 0.5,
    seed: int,
    stream: str = "dropout",
    step: int | Array = 0,
) -> tuple[Array, Pullback]:
    keep, scale = drawn(x, probability, seed, stream, step)
    if keep is None:
        return x, lambda cotangent: (1.0 * cotangent,)
    slope, shift = _affine(scale)
    return _limited(x, keep, slope, shift), lambda cotangent: (masked(cotangent, keep, slope),)


def drawn(
    x: Array, probability: float, seed: int, stream: str, step: int | Array, axes: Sequence[int] | None = None
) -> tuple[Array | None, float]:
    """Return which elements are kept, ``None`` for all, and the factor for them: 1 / (1 - p), or 0 for p = 1."""
    expect_real(x)
    kept = rounded_probability(1.0 - as_probability(probability, "probability"))
    if kept == 1.0:
        return None, 1.0
    varying = range(x.ndim) if axes is None else {normalize_axis(axis, x.ndim) for axis in axes}
    shape = tuple(n if axis in varying else 1 for axis, n in enumerate(x.shape))
    keep = keep_mask(shape, kept, like=stop_gradient(x), seed=seed, stream=stream, step=step)
    return keep, 1.0 / kept if kept else 0.0


def masked(x: Array, keep: Array, factor: float) -> Array:
    """Return zeros, and where the mask is True the elements times a factor."""
    return multiply_into(namespace(x).where(keep, x, 0.0), factor)


def _limited(x: Array, keep: Array, slope: float, shift: float) -> Array:
    return multiply_into(namespace(x).where(keep, x, _SELU_LIMIT), slope) + shift


def _affine(factor: float) -> tuple[float, float]:
    """Return a and b of :func:`alpha_dropout`."""
    if factor == 0.0:
        return 0.0, 0.0
    kept = 1.0 / factor
    dropped = 1.0 - kept
    slope = 1.0 / math.sqrt(kept * (1.0 + dropped * _SELU_LIMIT**2))
    return slope, -slope * dropped * _SELU_LIMIT
