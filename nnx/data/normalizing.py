"""Inputs of mean 0 and standard deviation 1."""

import functools
import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from nnx.backend import asarray, device_of, is_array, namespace, to_numpy
from nnx.data.base import Source
from nnx.data.composing import Transform, as_tuples
from nnx.data.dataset import Dataset
from nnx.errors import ArgumentError, DataError, DTypeError, NonFiniteError, ShapeError
from nnx.types import Array

_BLOCK = 2**20  # elements that are measured at once, so that data larger than memory can be
_SAMPLES = 256  # of a data set, likewise


@dataclass(frozen=True, repr=False)
class Normalize(Transform):
    """Return ``(x - mean) / std``, with the statistics of the training set.

    They are numbers, so they are part of :meth:`config` and can be saved with a model. :meth:`fit` measures them.

    Parameters
    ----------
    mean, std : float or nested sequence of float
        Numbers, or sequences that lie along axis 1 of the input and those after it: ``(0.5, 0.4, 0.3)`` has one number
        for each channel of images (batch, channels, height, width), or for each feature of (batch, features).
    dtype : str, optional
        To which the input is converted first, such as ``"float32"`` for images of uint8. By default it must be of a
        floating-point dtype, and keeps it.
    parts : int, str or tuple of them
        See :class:`Transform`.

    Raises
    ------
    ArgumentError
        If ``mean`` or ``std`` is not made of finite numbers, or a deviation is negative.
    DTypeError
        If the input is not of a floating-point dtype, and ``dtype`` is not given.
    ShapeError
        If the statistics do not fit the input.

    Notes
    -----
    The result is 0 where the standard deviation is 0, as in :func:`normalize`.

    Examples
    --------
    >>> x_train, x_validation = np.asarray([[1.0, 0.0], [3.0, 4.0]]), np.asarray([[2.0, 6.0]])
    >>> normalize_features = Normalize.fit(x_train, axis=0)
    >>> normalize_features.mean, normalize_features.std
    ((2.0, 2.0), (1.0, 2.0))
    >>> normalize_features(x_validation)
    array([[0., 2.]])
    >>> Normalize(127.5, 127.5, dtype="float32")(np.asarray([[0, 255]], np.uint8))
    array([[-1.,  1.]], dtype=float32)
    """

    mean: Any = 0.0
    std: Any = 1.0
    dtype: str | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        for name, value in (("mean", self.mean), ("std", self.std)):
            value = as_tuples(value.tolist() if hasattr(value, "tolist") else value)
            object.__setattr__(self, name, value)
            numbers = _as_numbers(value)
            if numbers is None or not np.isfinite(numbers).all() or (name == "std" and numbers.min(initial=0) < 0):
                what = "finite numbers" if name == "mean" else "finite numbers of at least 0"
                raise ArgumentError(f"expected {name} to be made of {what}, got {value!r}")

    def apply(self, x: Array) -> Array:
        """Return one part, normalized."""
        xp = namespace(x)
        if self.dtype is not None:
            x = xp.astype(x, _dtype(x, self.dtype), copy=False)
        return normalize(x, *(_along_features(value, x) for value in (self.mean, self.std)))

    @classmethod
    def fit(cls, data: Any, axis: int | tuple[int, ...] | None = None, **options: Any) -> "Normalize":
        """Measure a training set.

        Parameters
        ----------
        data : array, Source, or iterable of batches
            Of tuples and dicts the first part is measured. A data set, and an array that is mapped from a file, need
            never be in memory as a whole. A DataLoader is moved to its next epoch, so hand over its data set instead
            if it is the one to train with.
        axis : int or tuple of int, optional
            The axes to average over; by default all, so that there is one mean and one standard deviation. The first,
            that of the samples, must be among them: ``axis=0`` measures each feature, ``axis=(0, 2, 3)`` each channel
            of images.
        **options
            The other arguments of the class.

        Raises
        ------
        ArgumentError
            If axis 0 is not among the axes.
        DataError
            If there are no elements to measure.
        NonFiniteError
            If an element is NaN or infinite.

        Notes
        -----
        Computed in float64 on the host, and with the population's standard deviation. Blocks are pooled as in T. F.
        Chan et al., "Updating formulae and a pairwise algorithm for computing sample variances", 1979.
        """
        blocks = (_moments(block, axis) for block in _blocks(data))
        count, mean, squares = functools.reduce(_pooled, blocks, (0, 0.0, 0.0))
        if not count:
            raise DataError("expected at least one element to measure, got none; check what was loaded or selected")
        std = np.sqrt(squares / count)
        return cls(*(np.asarray(value).tolist() for value in (mean, std)), **options)


def normalize(
    x: Array,
    mean: Array | float | None = None,
    std: Array | float | None = None,
    axis: int | tuple[int, ...] | None = None,
) -> Array:
    """Return ``(x - mean) / std``, which has mean 0 and standard deviation 1 if these are those of ``x``.

    Parameters
    ----------
    x : array of a floating-point dtype, any shape
    mean, std : array or number, optional
        Must broadcast to the shape of ``x``. By default those of ``x`` over ``axis``, with the population's standard
        deviation. For validation data, pass those of the training set, as in the example.
    axis : int or tuple of int, optional
        The axes to average over; by default all. For ``x`` of shape (batch, features), ``axis=1`` normalizes each row,
        ``axis=0`` each feature.

    Returns
    -------
    normalized : array
        Of the shape, dtype, library and device of ``x``. 0 where the standard deviation is 0, as in a constant row.

    Raises
    ------
    DTypeError
        If ``x`` does not hold floating-point numbers.
    ShapeError
        If ``mean`` or ``std`` does not broadcast to ``x``.
    DataError
        If a mean or deviation would be that of no elements.

    Examples
    --------
    >>> x_train, x_validation = np.asarray([1.0, 3.0]), np.asarray([2.0, 5.0])
    >>> normalize(x_train)
    array([-1.,  1.])
    >>> normalize(x_validation, mean=np.mean(x_train), std=np.std(x_train))
    array([0., 3.])
    """
    xp = namespace(x, *(value for value in (mean, std) if not _is_number(value)))
    if not xp.isdtype(x.dtype, "real floating"):
        raise DTypeError(f"expected x of a floating-point dtype, got {x.dtype}; cast it with xp.astype(x, xp.float32)")
    if (mean is None or std is None) and 0 in x.shape:
        raise DataError(f"expected at least one element to normalize, got shape {tuple(x.shape)}; pass mean and std")
    center = xp.mean(x, axis=axis, keepdims=True) if mean is None else _statistic(mean, "mean", x)
    if std is None:
        scale = xp.std(x, axis=axis, keepdims=True)
        # Because of rounding, the standard deviation of equal numbers need not be exactly 0.
        constant = xp.max(x, axis=axis, keepdims=True) == xp.min(x, axis=axis, keepdims=True)
    else:
        scale = _statistic(std, "std", x)
        constant = scale == 0
    return xp.where(constant, xp.zeros_like(x), (x - center) / xp.where(constant, xp.ones_like(scale), scale))


def _is_number(value: Any) -> bool:
    return value is None or isinstance(value, (int, float, np.generic))


def _statistic(value: Any, name: str, x: Array) -> Array:
    """Return a given mean or standard deviation as an array of the dtype of ``x``, which it must not promote."""
    xp = namespace(x)
    if _is_number(value):
        return xp.asarray(float(value), dtype=x.dtype, device=device_of(x))
    if not _broadcasts(tuple(value.shape), tuple(x.shape)):
        raise ShapeError(
            f"expected {name} to broadcast to the shape {tuple(x.shape)} of x, got {tuple(value.shape)}; "
            "take it with keepdims=True"
        )
    return xp.astype(value, x.dtype)


def _broadcasts(shape: tuple[int, ...], target: tuple[int, ...]) -> bool:
    try:
        return np.broadcast_shapes(shape, target) == target
    except ValueError:
        return False


def _as_numbers(value: Any) -> Any:
    """Return a nested sequence of numbers as an array of float64, or None if it is not one."""
    try:
        host = np.asarray(value)
    except ValueError:  # rows of different lengths
        return None
    return host.astype(np.float64) if host.dtype.kind in "iuf" else None


def _along_features(value: Any, x: Array) -> Any:
    """Return a statistic that lies along axis 1 and those after it as an array that broadcasts to ``x``."""
    if isinstance(value, (int, float)):
        return value
    host = np.asarray(value, np.float64)
    shape = (1, *host.shape, *(1,) * (x.ndim - 1 - host.ndim))
    if not _broadcasts(shape, tuple(x.shape)):
        raise ShapeError(
            f"expected statistics that lie along axis 1 of x and those after it, of shape {tuple(x.shape)}, "
            f"got {host.shape}; fit them to such data"
        )
    return asarray(host.reshape(shape), like=x, dtype=x.dtype)


def _dtype(x: Array, name: str) -> Any:
    known = namespace(x).__array_namespace_info__().dtypes(kind="real floating", device=device_of(x))
    if name not in known:
        raise ArgumentError(f"expected dtype to be one of {', '.join(map(repr, sorted(known)))}, got {name!r}")
    return known[name]


def _blocks(data: Any) -> Iterator[Array]:
    """Iterate over the first part of batches, as NumPy arrays of a bounded size."""
    rows, batches = _SAMPLES, data
    if is_array(data):
        rows = max(1, _BLOCK // max(1, math.prod(data.shape[1:])))
        data = Dataset(data)
    if isinstance(data, Source):
        batches = (data.span(start, min(start + rows, len(data))) for start in range(0, len(data), rows))
    if not isinstance(batches, Iterable):
        raise DataError(f"expected an array, a data set or batches to measure, got {type(data).__name__}")
    for batch in batches:
        part = batch if is_array(batch) else next(iter(batch.values() if isinstance(batch, dict) else batch))
        yield to_numpy(part)


def _moments(block: Any, axis: int | tuple[int, ...] | None) -> tuple[int, Any, Any]:
    """Return the number of elements, their mean, and the sum of the squares of what they differ from it by."""
    axes = range(block.ndim) if axis is None else axis if isinstance(axis, tuple) else (axis,)
    axes = tuple(sorted({each % block.ndim if -block.ndim <= each < block.ndim else each for each in axes}))
    if not axes or axes[0] != 0 or axes[-1] >= block.ndim:
        raise ArgumentError(
            f"expected axes of the data, of shape {block.shape}, with axis 0, that of the samples, got {axis}"
        )
    count = math.prod(block.shape[each] for each in axes)
    last = max((each for each in range(block.ndim) if each not in axes), default=0)
    shape = tuple(1 if each in axes else block.shape[each] for each in range(1, last + 1))
    if not count:
        return 0, np.zeros(shape), np.zeros(shape)
    mean = np.mean(block, axis=axes, dtype=np.float64, keepdims=True)
    squares = np.sum((block - mean) ** 2, axis=axes, keepdims=True)
    if not np.isfinite(squares).all():
        raise NonFiniteError("expected finite numbers to measure, got NaN or infinity; look for it with np.isfinite")
    return count, mean.reshape(shape), squares.reshape(shape)


def _pooled(one: tuple[int, Any, Any], other: tuple[int, Any, Any]) -> tuple[int, Any, Any]:
    (n, mean, squares), (m, other_mean, other_squares) = one, other
    if not n or not m:
        return one if n else other
    difference = other_mean - mean
    return (
        n + m,
        mean + difference * (m / (n + m)),
        squares + other_squares + difference**2 * (n * m / (n + m)),
    )
