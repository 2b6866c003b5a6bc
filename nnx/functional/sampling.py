"""Samples of a distribution as functions of its parameters."""

from collections.abc import Sequence
from typing import Any

from nnx.autodiff import Pullback, primitive
from nnx.backend import namespace
from nnx.functional.checks import expect_real, expect_same_dtype, expect_shape
from nnx.types import Array


@primitive
def reparameterize(mean: Array, variance: Array, noise: Array) -> Array:
    r"""Sample a normal distribution as a differentiable function of its parameters: :math:`\mu + \sqrt{v}\,z`.

    Parameters
    ----------
    mean : array, shape (batch, latent)
    variance : array, shape (batch, latent)
        Positive.
    noise : array, shape (batch, latent)
        Standard normal numbers :math:`z`.

    Returns
    -------
    sample : array, shape (batch, latent)

    Raises
    ------
    ShapeError, DTypeError
        If the arrays differ in shape or dtype, or the dtype is not floating-point.

    Notes
    -----
    The derivatives are :math:`1`, :math:`z / (2 \sqrt{v})` and :math:`\sqrt{v}`.
    Source: D. P. Kingma and M. Welling, "Auto-encoding variational Bayes", ICLR 2014.

    Examples
    --------
    >>> import numpy as np, nnx
    >>> mean, variance, noise = np.asarray([1.0]), np.asarray([4.0]), np.asarray([-1.0])
    >>> nnx.functional.reparameterize(mean, variance, noise)
    array([-1.])
    """
    _check_alike(mean, variance, noise)
    return mean + namespace(mean, variance, noise).sqrt(variance) * noise


@reparameterize.with_pullback
def _(wanted: Sequence[Any], mean: Array, variance: Array, noise: Array) -> tuple[Array, Pullback]:
    _check_alike(mean, variance, noise)
    deviation = namespace(mean, variance, noise).sqrt(variance)
    kept_noise = noise if wanted[1] else None

    def pullback(cotangent: Array) -> tuple[Array | None, Array | None, Array | None]:
        to_variance = None if kept_noise is None else cotangent * (0.5 * kept_noise / deviation)
        return (
            cotangent if wanted[0] else None,
            to_variance,
            cotangent * deviation if wanted[2] else None,
        )

    return mean + deviation * noise, pullback


def _check_alike(mean: Array, variance: Array, noise: Array) -> None:
    namespace(mean, variance, noise)
    expect_real(mean, "mean")
    for array, name in ((variance, "variance"), (noise, "noise")):
        expect_shape(array, mean.shape, name, "as the mean")
        expect_same_dtype(mean, array, name, "mean")
