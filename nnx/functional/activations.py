"""Activation functions: elementwise ones, and softmax."""

from collections.abc import Sequence
from typing import Any

from nnx.autodiff import Pullback, primitive, stop_gradient
from nnx.backend import namespace
from nnx.functional.checks import expect_floating, expect_real, expect_same_dtype, expect_shape, normalize_axis
from nnx.types import Array


@primitive
def relu(x: Array) -> Array:
    r"""Rectified linear unit: :math:`\max(x, 0)`, with derivative 0 at 0.

    Parameters
    ----------
    x : array of any shape, real floating-point

    Returns
    -------
    y : array of the same shape and dtype

    Raises
    ------
    DTypeError
        If ``x`` holds integers or complex numbers.

    Notes
    -----
    Source: V. Nair and G. E. Hinton, "Rectified linear units improve restricted Boltzmann machines", ICML 2010.

    Examples
    --------
    >>> import numpy as np, nnx
    >>> nnx.functional.relu(np.asarray([-1.0, 2.0]))
    array([0., 2.])
    """
    expect_real(x)
    xp = namespace(x)
    return xp.where(x <= 0, 0.0, x)  # NaN stays NaN


@relu.with_pullback(fresh=True)
def _(wanted: Sequence[Any], x: Array) -> tuple[Array, Pullback]:
    y = relu(x)  # first, for its error message: of a wrong x, the comparison raises the library's own
    cut = x <= 0

    def pullback(cotangent: Array) -> tuple[Array]:
        xp = namespace(cotangent)
        return (xp.where(cut, 0.0, cotangent),)

    return y, pullback


@primitive
def sigmoid(x: Array) -> Array:
    r"""Logistic function: :math:`\sigma(x) = 1 / (1 + e^{-x})`.

    Parameters
    ----------
    x : array of any shape, real floating-point

    Returns
    -------
    y : array of the same shape and dtype, in [0, 1]

    Raises
    ------
    DTypeError
        If ``x`` holds integers or complex numbers.

    Notes
    -----
    Computed as :math:`(1 + \tanh(x / 2)) / 2`, which neither overflows nor warns for any finite input.

    Examples
    --------
    >>> import numpy as np, nnx
    >>> nnx.functional.sigmoid(np.asarray([0.0, 1000.0]))
    array([0.5, 1. ])
    """
    expect_real(x)
    return 0.5 * namespace(x).tanh(0.5 * x) + 0.5


@sigmoid.with_pullback(fresh=True)
def _(wanted: Sequence[Any], x: Array) -> tuple[Array, Pullback]:
    y = sigmoid(x)
    return y, lambda cotangent: (cotangent * (y * (1.0 - y)),)


@primitive
def softmax(x: Array, *, axis: int = -1) -> Array:
    r"""Softmax: :math:`s_i = e^{x_i} / \sum_k e^{x_k}` along an axis.

    Parameters
    ----------
    x : array, shape (..., classes) or any other with the classes at ``axis``
        Real floating-point.
    axis : int
        Default -1.

    Returns
    -------
    y : array of the same shape and dtype
        Along the axis positive, with sum 1.

    Raises
    ------
    DTypeError
        If ``x`` holds integers or complex numbers.
    ShapeError
        If ``x`` has no such axis.

    Examples
    --------
    >>> import numpy as np, nnx
    >>> nnx.functional.softmax(np.asarray([1000.0, 1000.0]))
    array([0.5, 0.5])
    """
    expect_real(x)
    xp = namespace(x)
    axis = normalize_axis(axis, x.ndim)
    # Subtracting the maximum changes neither value nor derivative, and keeps exp from overflowing.
    powers = xp.exp(x - xp.max(stop_gradient(x), axis=axis, keepdims=True))
    return powers / xp.sum(powers, axis=axis, keepdims=True)


@softmax.with_pullback(fresh=True)
def _(wanted: Sequence[Any], x: Array, *, axis: int = -1) -> tuple[Array, Pullback]:
    y = softmax(x, axis=axis)

    def pullback(cotangent: Array) -> tuple[Array]:
        xp = namespace(cotangent, y)
        weighted = cotangent * y  # y * (g - sum(g * y)): the Jacobian diag(y) - y y^T is never built
        return (weighted - y * xp.sum(weighted, axis=axis, keepdims=True),)

    return y, pullback


@primitive
def log_softmax(x: Array, *, axis: int = -1) -> Array:
    r"""Logarithm of the softmax: :math:`x_i - \log \sum_k e^{x_k}` along an axis, finite for any finite input.

    Parameters
    ----------
    x : array, shape (..., classes) or any other with the classes at ``axis``
        Real floating-point.
    axis : int
        Default -1.

    Returns
    -------
    y : array of the same shape and dtype

    Raises
    ------
    DTypeError
        If ``x`` holds integers or complex numbers.
    ShapeError
        If ``x`` has no such axis.

    Examples
    --------
    >>> import numpy as np, nnx
    >>> nnx.functional.log_softmax(np.asarray([0.0, 10000.0]))
    array([-10000.,      0.])
    """
    expect_real(x)
    xp = namespace(x)
    axis = normalize_axis(axis, x.ndim)
    centered = x - xp.max(stop_gradient(x), axis=axis, keepdims=True)
    return centered - xp.log(xp.sum(xp.exp(centered), axis=axis, keepdims=True))


@log_softmax.with_pullback(fresh=True)
def _(wanted: Sequence[Any], x: Array, *, axis: int = -1) -> tuple[Array, Pullback]:
    y = log_softmax(x, axis=axis)

    def pullback(cotangent: Array) -> tuple[Array]:
        xp = namespace(cotangent, y)
        return (cotangent - xp.exp(y) * xp.sum(cotangent, axis=axis, keepdims=True),)

    return y, pullback


@primitive
def exponential(x: Array) -> Array:
    r"""Exponential function: :math:`e^x`.

    Parameters
    ----------
    x : array of any shape, floating-point

    Returns
    -------
    y : array of the same shape and dtype

    Raises
    ------
    DTypeError
        If ``x`` holds integers.

    Examples
    --------
    >>> import numpy as np, nnx
    >>> nnx.functional.exponential(np.asarray([0.0]))
    array([1.])
    """
    expect_floating(x)
    return namespace(x).exp(x)


@exponential.with_pullback(fresh=True)
def _(wanted: Sequence[Any], x: Array) -> tuple[Array, Pullback]:
    y = exponential(x)
    return y, lambda cotangent: (cotangent * y,)


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
