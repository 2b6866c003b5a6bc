"""What can be done with gradients before a step: measure, clip, add noise. All are pure; no gradient is written."""

from collections.abc import Callable, Mapping
from typing import Any

from nnx.backend import dtype_name, is_array, is_floating, is_real_floating, multiply_into, namespace, normal
from nnx.backend.blocks import widened
from nnx.backend.links import OWNERS, gradient_of
from nnx.errors import ArgumentError, DTypeError
from nnx.functional.checks import as_nonnegative, as_positive
from nnx.functional.precision import cast
from nnx.optimizers.per_array import norm_of
from nnx.types import Array

Gradients = dict[str, Array]
"""Arrays by dotted path, as :func:`nnx.grad` of a function of a model returns them."""


def global_norm(gradients: Mapping[str, Array]) -> Array:
    r"""Return the Euclidean norm of all gradients together.

    .. math:: \|g\| = \sqrt{\sum_i |g_i|^2}

    Parameters
    ----------
    gradients : mapping from path to array

    Returns
    -------
    norm : array, shape ()
        At least in float32. NaN if an element is NaN, else infinite if one is; nothing is read.

    Raises
    ------
    ArgumentError
        If there are no gradients.
    DTypeError
        If something is no floating-point array.

    Notes
    -----
    Half precision is added up in float32. Each array is divided by its largest element before it is squared, so that
    the norm is finite, and not 0, whenever a number of its dtype can hold it: the square of 1e20 is no float32.

    Examples
    --------
    >>> import numpy as np, nnx
    >>> nnx.global_norm({"weight": np.asarray([[3.0, 0.0]]), "bias": np.asarray([4.0])})
    np.float64(5.0)
    """
    arrays = _checked(gradients)
    if not arrays:
        raise ArgumentError("expected at least one gradient, got none; is everything in the model frozen?")
    norms = [norm_of(widened(array)) for array in arrays.values()]
    xp = namespace(*norms)
    dtype = xp.result_type(*norms)
    return norm_of(xp.stack([xp.astype(norm, dtype, copy=False) for norm in norms]))


def clip_by_global_norm(gradients: Mapping[str, Array], limit: float) -> Gradients:
    r"""Scale all gradients by one factor, so that their norm is at most a limit; their direction stays.

    .. math:: g \leftarrow g \cdot \min\left(1, \frac{\text{limit}}{\|g\|}\right)

    Parameters
    ----------
    gradients : mapping from path to array
    limit : float
        Of :func:`global_norm`, greater than 0.

    Returns
    -------
    gradients : dict from path to array
        New arrays. Gradients whose norm is NaN or infinite are returned as they are, for a check that comes later.

    Raises
    ------
    ArgumentError
        If the limit is not a finite number > 0.
    DTypeError
        If something is no floating-point array.

    Notes
    -----
    Source: R. Pascanu et al., "On the difficulty of training recurrent neural networks", ICML 2013. PyTorch's
    ``clip_grad_norm_`` divides by the norm plus 1e-6, and makes zeros of gradients whose norm is infinite, or only too
    large for float32.

    Examples
    --------
    >>> import numpy as np, nnx
    >>> nnx.clip_by_global_norm({"weight": np.asarray([[3.0, 0.0]]), "bias": np.asarray([4.0])}, limit=1.0)
    {'weight': array([[0.6, 0. ]]), 'bias': array([0.8])}
    """
    limit = as_positive(limit, "limit")
    if not _checked(gradients):
        return {}
    norm = global_norm(gradients)
    xp = namespace(norm)
    is_clipped = (norm > limit) & xp.isfinite(norm)
    factor = xp.where(is_clipped, limit / xp.where(is_clipped, norm, 1.0), 1.0)
    return _each(gradients, lambda path, g: g * _like(factor, g))


def clip_by_value(gradients: Mapping[str, Array], limit: float) -> Gradients:
    r"""Limit each element of the gradients.

    .. math:: g_i \leftarrow \max(-\text{limit}, \min(\text{limit}, g_i))

    Parameters
    ----------
    gradients : mapping from path to array
    limit : float
        Greater than 0.

    Returns
    -------
    gradients : dict from path to array
        New arrays. What is NaN or infinite stays so, for a check that comes later.

    Raises
    ------
    ArgumentError
        If the limit is not a finite number > 0.
    DTypeError
        If something is no array of real floating-point numbers.

    Notes
    -----
    PyTorch's ``clip_grad_value_`` makes the limit of what is infinite.

    Examples
    --------
    >>> import numpy as np, nnx
    >>> nnx.clip_by_value({"weight": np.asarray([3.0, -0.5, -4.0])}, limit=1.0)
    {'weight': array([ 1. , -0.5, -1. ])}
    """
    limit = as_positive(limit, "limit")

    def clipped(path: str, g: Array) -> Array:
        _expect_real(g, path, "a complex one has no order; use clip_by_global_norm")
        xp = namespace(g)
        is_finite = xp.isfinite(g)
        return xp.where((g > limit) & is_finite, limit, xp.where((g < -limit) & is_finite, -limit, g))

    return _each(gradients, clipped)


def add_noise(gradients: Mapping[str, Array], std: float, *, seed: int, step: int) -> Gradients:
    r"""Add normal noise to each element of the gradients.

    .. math:: g_i \leftarrow g_i + \epsilon_i, \quad \epsilon_i \sim \mathcal{N}(0, \text{std}^2)

    Parameters
    ----------
    gradients : mapping from path to array
    std : float
        The standard deviation, at least 0.
    seed : int
        The run's seed.
    step : int
        The number of the step. The noise is a function of seed, step, path and position, and the same on all backends
        up to rounding.

    Returns
    -------
    gradients : dict from path to array
        New arrays.

    Raises
    ------
    ArgumentError
        If ``std`` is not a finite number >= 0, or seed or step are no integers.
    DTypeError
        If something is no array of real floating-point numbers.

    Notes
    -----
    Source: A. Neelakantan et al., "Adding gradient noise improves learning for very deep networks", 2015, with a
    variance that falls as :math:`\eta / (1 + t)^{0.55}`.

    Examples
    --------
    >>> import numpy as np, nnx
    >>> nnx.add_noise({"weight": np.zeros(3)}, 0.1, seed=0, step=0)["weight"].round(3)
    array([-0.083, -0.028,  0.196])
    """
    std = as_nonnegative(std, "std")

    def noisy(path: str, g: Array) -> Array:
        _expect_real(g, path, "take real and imaginary part as two parameters")
        noise = normal(tuple(g.shape), like=g, seed=seed, stream=f"gradients/{path}", step=step)
        return g + multiply_into(noise, std)

    return _each(gradients, noisy)


def all_finite(gradients: Mapping[str, Array]) -> Array:
    """Return whether no element is NaN or infinite.

    Parameters
    ----------
    gradients : mapping from path to array

    Returns
    -------
    finite : array of bool, shape ()
        On the device of the gradients; nothing is read.

    Raises
    ------
    ArgumentError
        If there are no gradients.
    DTypeError
        If something is no floating-point array.

    Examples
    --------
    >>> import numpy as np, nnx
    >>> bool(nnx.all_finite({"weight": np.ones(2), "bias": np.asarray([np.nan])}))
    False
    """
    arrays = _checked(gradients)
    if not arrays:
        raise ArgumentError("expected at least one gradient, got none; is everything in the model frozen?")
    xp = namespace(*arrays.values())
    return xp.all(xp.stack([xp.all(xp.isfinite(array)) for array in arrays.values()]))


def _each(gradients: Mapping[str, Array], change: Callable[[str, Array], Array]) -> Gradients:
    """Return changed gradients, in the dtype of each, that still know the model that they are of."""
    arrays = _checked(gradients)
    changed = {path: cast(change(path, widened(g)), g.dtype) for path, g in arrays.items()}
    owner = OWNERS.get(next(iter(arrays.values()))) if arrays else None
    return changed if owner is None else gradient_of(owner, changed)


def _checked(gradients: Any) -> Gradients:
    if not isinstance(gradients, Mapping):
        raise ArgumentError(
            f"expected gradients as a dict from path to array, as nnx.grad(...)(model) returns, got "
            f"{type(gradients).__name__}"
        )
    for path, array in gradients.items():
        if not is_array(array) or not is_floating(array):
            got = dtype_name(array.dtype) if is_array(array) else type(array).__name__
            raise DTypeError(f"the gradient of {path!r}: expected an array of a floating-point dtype, got {got}")
    return dict(gradients)


def _expect_real(g: Array, path: str, advice: str) -> None:
    if not is_real_floating(g):
        raise DTypeError(f"the gradient of {path!r}: expected a real dtype, got {dtype_name(g.dtype)}; {advice}")


def _like(factor: Array, g: Array) -> Array:
    """Return a factor that does not promote an array: neither float64 beside float32, nor beside complex64."""
    xp = namespace(g)
    return xp.astype(factor, g.dtype, copy=False)
