"""Negative log-likelihoods of targets under a predicted distribution."""

import math
from collections.abc import Sequence
from typing import Any

from nnx.autodiff import Pullback, primitive, stop_gradient
from nnx.autodiff.rules.parts import Spec
from nnx.autodiff.rules.shapes import match
from nnx.backend import namespace
from nnx.errors import ArgumentError
from nnx.functional.checks import first_where
from nnx.functional.loss_terms import (
    expect_pair,
    expect_weight,
    of_difference,
    reduce_loss,
    traced_pullback,
    unreduce,
)
from nnx.functional.precision import in_float32, rule_in_float32
from nnx.types import Array


@primitive
@in_float32
def gaussian_nll(
    input: Array,
    target: Array,
    variance: Array,
    *,
    full: bool = False,
    eps: float = 1e-6,
    reduction: str = "mean",
) -> Array:
    r"""Negative log-likelihood of a normal distribution: :math:`\tfrac{1}{2} (\log v + (x - t)^2 / v)`.

    Parameters
    ----------
    input, target : arrays of one shape, real floating-point
        Predicted means, and what was observed.
    variance : array
        Of a shape that broadcasts to that of ``input``; not negative.
    full : bool
        Whether to add the constant :math:`\tfrac{1}{2} \log 2 \pi`.
    eps : float
        A smaller variance counts as this one. Its derivative is still passed on, so that it can grow, as in PyTorch.
    reduction : {"mean", "sum", "none"}

    Returns
    -------
    loss : array, shape ()
        For ``"none"`` the shape of ``input``.

    Raises
    ------
    ShapeError
        If the shapes do not fit, or there is no element.
    DTypeError
        If an array holds integers or complex numbers, or the dtypes differ.
    ArgumentError
        If a variance is negative, which is not checked on a device whose memory cannot be read without waiting; or if
        ``eps`` is not positive.

    Notes
    -----
    Source: D. A. Nix and A. S. Weigend, "Estimating the mean and variance of the target probability distribution",
    ICNN 1994.

    Examples
    --------
    >>> import numpy as np, nnx
    >>> mean, target, variance = np.asarray([1.0]), np.asarray([3.0]), np.asarray([4.0])
    >>> round(float(nnx.functional.gaussian_nll(mean, target, variance)), 4)
    1.1931
    """
    _check_gaussian(input, target, variance, eps)
    difference, bounded = input - target, _at_least(variance, eps)
    values = 0.5 * (namespace(bounded).log(bounded) + difference * difference / bounded)
    return reduce_loss(values + 0.5 * math.log(2.0 * math.pi) if full else values, reduction)


@gaussian_nll.with_pullback(fresh=True)
@rule_in_float32
def _(
    wanted: Sequence[Any],
    input: Array,
    target: Array,
    variance: Array,
    *,
    full: bool = False,
    eps: float = 1e-6,
    reduction: str = "mean",
) -> tuple[Array, Pullback]:
    loss = gaussian_nll(input, target, variance, full=full, eps=eps, reduction=reduction)
    difference, bounded = input - target, _at_least(variance, eps)

    def pullback(cotangent: Array) -> tuple[Array | None, Array | None, Array | None]:
        scale = unreduce(cotangent, reduction, difference.shape)
        error = difference / bounded
        to_variance = None
        if wanted[2]:
            by_element = scale * (0.5 / bounded - 0.5 * (error * error))
            to_variance = match(by_element, Spec(tuple(variance.shape), variance.dtype))
        return *of_difference(wanted, scale * error), to_variance

    return loss, pullback


@primitive
@in_float32
def poisson_nll(
    input: Array,
    target: Array,
    *,
    log_input: bool = True,
    full: bool = False,
    eps: float = 1e-8,
    reduction: str = "mean",
) -> Array:
    r"""Negative log-likelihood of a Poisson distribution: :math:`e^x - t x`, or :math:`x - t \log(x + \epsilon)`.

    Parameters
    ----------
    input, target : arrays of one shape, real floating-point
        Predicted rates or their logarithms, and the counts that were observed.
    log_input : bool
        Whether the input is the logarithm of the rate: the first formula, which is the default.
    full : bool
        Whether to add Stirling's approximation of :math:`\log t!`, which is
        :math:`t \log t - t + \tfrac{1}{2} \log(2 \pi t)`, for targets greater than 1.
    eps : float
        Keeps the logarithm of a rate of 0 finite.
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
    >>> nnx.functional.poisson_nll(np.asarray([0.0, 1.0]), np.asarray([2.0, 1.0]), reduction="none").round(4)
    array([1.    , 1.7183])
    """
    expect_pair(input, target)
    xp = namespace(input, target)
    values = xp.exp(input) - target * input if log_input else input - target * xp.log(input + eps)
    if full:
        many = xp.where(target > 1, target, 1.0)
        values = values + xp.where(target > 1, (many + 0.5) * xp.log(many) - many + 0.5 * math.log(2.0 * math.pi), 0.0)
    return reduce_loss(values, reduction)


@poisson_nll.with_pullback(fresh=True)
@rule_in_float32
def _(
    wanted: Sequence[Any],
    input: Array,
    target: Array,
    *,
    log_input: bool = True,
    full: bool = False,
    eps: float = 1e-8,
    reduction: str = "mean",
) -> tuple[Array, Pullback]:
    options: dict[str, Any] = {"log_input": log_input, "full": full, "eps": eps, "reduction": reduction}
    by_target = traced_pullback(poisson_nll, wanted, (input, target), 1, **options)

    def pullback(cotangent: Array) -> tuple[Array | None, Array | None]:
        to_input = None
        if wanted[0]:
            xp = namespace(cotangent, input, target)
            slope = xp.exp(input) - target if log_input else 1.0 - target / (input + eps)
            to_input = slope * unreduce(cotangent, reduction, input.shape)
        return to_input, by_target(cotangent)

    return poisson_nll(input, target, **options), pullback


def _at_least(variance: Array, eps: float) -> Array:
    """Return the variance, replaced where it is small, but with its derivative."""
    plain = stop_gradient(variance)
    return variance + namespace(plain).where(plain < eps, eps - plain, 0.0)


def _check_gaussian(input: Array, target: Array, variance: Array, eps: float) -> None:
    expect_pair(input, target)
    if not eps > 0:
        raise ArgumentError(f"expected eps > 0, got {eps}")
    expect_weight(input, variance, "variance")
    if (wrong := first_where(variance, lambda v: v < 0)) is not None:
        raise ArgumentError(f"expected variances of at least 0, got {wrong}; for logarithms, use exp")
