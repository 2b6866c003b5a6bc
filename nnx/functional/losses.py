"""Losses as functions of a prediction and a target: a 0-d array, or one value per example."""

import math
from collections.abc import Sequence
from typing import Any

from nnx.autodiff import Pullback, primitive
from nnx.backend import namespace
from nnx.errors import ShapeError
from nnx.functional.activations import softmax
from nnx.functional.checks import expect_choice, expect_real, expect_same_dtype, expect_shape
from nnx.types import Array

REDUCTIONS = ("mean", "sum", "none")


def reduce_loss(values: Array, reduction: str) -> Array:
    """Apply a loss's reduction, one of ``"mean"``, ``"sum"`` and ``"none"``."""
    expect_choice(reduction, REDUCTIONS, "reduction")
    if reduction == "none":
        return values
    xp = namespace(values)
    return xp.mean(values) if reduction == "mean" else xp.sum(values)


@primitive
def mse(input: Array, target: Array, *, reduction: str = "mean") -> Array:
    r"""Mean squared error: the mean over all elements of :math:`(x - t)^2`.

    Parameters
    ----------
    input, target : arrays of one shape, real floating-point
    reduction : {"mean", "sum", "none"}

    Returns
    -------
    loss : array, shape ()
        For ``"none"`` the shape of ``input``.

    Raises
    ------
    ShapeError
        If the shapes differ, or there is no element.
    DTypeError
        If an array holds integers or complex numbers.

    Examples
    --------
    >>> import numpy as np, nnx
    >>> float(nnx.functional.mse(np.asarray([1.0, 2.0]), np.asarray([1.0, 4.0])))
    2.0
    """
    _check_pair(input, target)
    difference = input - target
    return reduce_loss(difference * difference, reduction)


@mse.with_pullback(fresh=True)
def _(wanted: Sequence[Any], input: Array, target: Array, *, reduction: str = "mean") -> tuple[Array, Pullback]:
    loss = mse(input, target, reduction=reduction)
    difference = input - target

    def pullback(cotangent: Array) -> tuple[Array | None, Array | None]:
        scale = 2.0 / math.prod(difference.shape) if reduction == "mean" else 2.0
        to_input = (scale * cotangent) * difference
        return to_input if wanted[0] else None, -to_input if wanted[1] else None

    return loss, pullback


@primitive
def mses(input: Array, target: Array, *, axis: int = 1, reduction: str = "mean") -> Array:
    r"""Mean squared error of the softmax: the mean over all elements of :math:`(s(x) - t)^2`.

    Parameters
    ----------
    input : array, shape (batch, classes, ...)
        Logits, real floating-point.
    target : array of the same shape
        One-hot vectors or probabilities.
    axis : int
        The axis of the classes.
    reduction : {"mean", "sum", "none"}

    Returns
    -------
    loss : array, shape ()
        For ``"none"`` the shape of ``input``.

    Raises
    ------
    ShapeError
        If the shapes differ, or there is no element.
    DTypeError
        If an array holds integers or complex numbers.

    Notes
    -----
    The gradient is :math:`s \odot (u - \langle s, u \rangle)` with :math:`u = 2 (s - t) / n`, for which no array larger
    than ``input`` is needed.

    Examples
    --------
    >>> import numpy as np, nnx
    >>> float(nnx.functional.mses(np.asarray([[0.0, 0.0]]), np.asarray([[1.0, 0.0]])))
    0.25
    """
    _check_pair(input, target)
    return mse(softmax(input, axis=axis), target, reduction=reduction)


@mses.with_pullback(fresh=True)
def _(
    wanted: Sequence[Any], input: Array, target: Array, *, axis: int = 1, reduction: str = "mean"
) -> tuple[Array, Pullback]:
    _check_pair(input, target)
    probabilities = softmax(input, axis=axis)
    difference = probabilities - target
    loss = reduce_loss(difference * difference, reduction)

    def pullback(cotangent: Array) -> tuple[Array | None, Array | None]:
        scale = 2.0 / math.prod(difference.shape) if reduction == "mean" else 2.0
        u = (scale * cotangent) * difference
        to_input = None
        if wanted[0]:
            xp = namespace(u)
            weighted = u * probabilities
            to_input = weighted - probabilities * xp.sum(weighted, axis=axis, keepdims=True)
        return to_input, -u if wanted[1] else None

    return loss, pullback


@primitive
def kl_divergence_standard_normal(mean: Array, variance: Array, *, reduction: str = "mean") -> Array:
    r"""Kullback-Leibler divergence of :math:`N(\mu, v)` from the standard normal distribution.

    .. math:: \tfrac{1}{2} \sum_j \left( \mu_j^2 + v_j - \log v_j - 1 \right)

    Parameters
    ----------
    mean : array, shape (batch, latent)
    variance : array, shape (batch, latent)
        Positive.
    reduction : {"mean", "sum", "none"}
        Over the batch; the latent axis is always summed. So weight it accordingly when adding it to a mean over all
        elements, such as that of :func:`mse`: the loss of an autoencoder sums over the pixels too.

    Returns
    -------
    loss : array, shape ()
        For ``"none"`` the shape (batch,).

    Raises
    ------
    ShapeError
        If the shapes differ, or are not (batch, latent).
    DTypeError
        If an array holds integers or complex numbers.

    Notes
    -----
    Source: D. P. Kingma and M. Welling, "Auto-encoding variational Bayes", ICLR 2014, appendix B.

    Examples
    --------
    >>> import numpy as np, nnx
    >>> mean, variance = np.asarray([[2.0]]), np.asarray([[1.0]])
    >>> float(nnx.functional.kl_divergence_standard_normal(mean, variance))
    2.0
    """
    _check_pair(mean, variance, "variance", "mean")
    if mean.ndim != 2:
        raise ShapeError(f"expected mean of shape (batch, latent), got {tuple(mean.shape)}")
    xp = namespace(mean, variance)
    terms = mean * mean + variance - xp.log(variance) - 1.0
    return reduce_loss(0.5 * xp.sum(terms, axis=1), reduction)


@kl_divergence_standard_normal.with_pullback(fresh=True)
def _(wanted: Sequence[Any], mean: Array, variance: Array, *, reduction: str = "mean") -> tuple[Array, Pullback]:
    loss = kl_divergence_standard_normal(mean, variance, reduction=reduction)
    kept_mean = mean if wanted[0] else None
    kept_variance = variance if wanted[1] else None
    batch = mean.shape[0]

    def pullback(cotangent: Array) -> tuple[Array | None, Array | None]:
        scale = cotangent / batch if reduction == "mean" else cotangent
        if reduction == "none":
            scale = scale[:, None]
        return (
            None if kept_mean is None else scale * kept_mean,
            None if kept_variance is None else scale * (0.5 - 0.5 / kept_variance),
        )

    return loss, pullback


def _check_pair(input: Array, target: Array, target_name: str = "target", input_name: str = "input") -> None:
    namespace(input, target)
    expect_real(input, input_name)
    expect_real(target, target_name)
    expect_shape(target, input.shape, target_name, f"as the {input_name}")
    expect_same_dtype(input, target, target_name, input_name)
    if math.prod(input.shape) == 0:
        raise ShapeError(f"expected at least one element, got {input_name} of shape {tuple(input.shape)}")
