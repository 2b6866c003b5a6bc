"""Prepare raw data for training: one-hot targets, normalized inputs, a split for validation."""

from __future__ import annotations  # naming np.random in a signature would import it with nnx

from typing import Any

import numpy as np

from nnx.backend import asarray, device_of, generator, namespace, to_numpy
from nnx.data.dataset import Dataset
from nnx.errors import ArgumentError, DataError, DTypeError, ShapeError
from nnx.types import Array, DType


def index_to_one_hot(index: Array, classes: int | None = None, dtype: DType | None = None) -> Array:
    """Return a vector for each class index, which is 1 at the index and 0 elsewhere.

    Parameters
    ----------
    index : array of integers, any shape, usually (batch,)
    classes : int, optional
        The length of the vectors. By default the largest index + 1, which is too small if the last classes do not occur
        in ``index``.
    dtype : dtype, optional
        Default float32.

    Returns
    -------
    one_hot : array, shape (..., classes)
        In the library and on the device of ``index``.

    Raises
    ------
    DTypeError
        If ``index`` does not hold integers.
    DataError
        If an index is negative or not below ``classes``, or if ``index`` is empty and ``classes`` is not given.
    ArgumentError
        If ``classes`` is not at least 1.

    Examples
    --------
    >>> index_to_one_hot(np.asarray([2, 0]), classes=3)
    array([[0., 0., 1.],
           [1., 0., 0.]], dtype=float32)
    """
    xp = namespace(index)
    if not xp.isdtype(index.dtype, "integral"):
        raise DTypeError(f"expected class indices of an integer dtype, got {index.dtype}; cast them with xp.astype")
    classes = _check_classes(to_numpy(index), classes)
    columns = asarray(np.arange(classes, dtype=np.int32), like=index)
    # int32 is wide enough, as every index is below classes by now. The standard cannot compare uint64 with int32.
    same = xp.expand_dims(xp.astype(index, xp.int32), axis=-1) == columns
    return xp.astype(same, xp.float32 if dtype is None else dtype)


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


def train_validation_split(
    x: Array, y: Array, fraction: float = 0.2, rng: int | np.random.Generator | None = 0
) -> tuple[Array, Array, Array, Array]:
    """Shuffle samples and split them into a training and a validation set.

    Parameters
    ----------
    x, y : array, shape (samples, ...)
    fraction : float
        Of ``n`` samples, ``round(fraction * n)`` are for validation.
    rng : int, numpy.random.Generator or None
        A seed gives the same split each time and on every backend; ``None`` gives a new one.

    Returns
    -------
    x_train, y_train, x_validation, y_validation : array
        Copies, in the library and on the device of ``x`` and ``y``.

    Raises
    ------
    ArgumentError
        If ``fraction`` is not between 0 and 1.
    DataError
        If ``x`` and ``y`` differ in length, or one part would be empty.

    Examples
    --------
    >>> x_train, y_train, x_validation, y_validation = train_validation_split(np.ones((10, 2)), np.arange(10))
    >>> x_train.shape, x_validation.shape
    ((8, 2), (2, 2))
    """
    if not 0 < fraction < 1:
        raise ArgumentError(f"expected a fraction between 0 and 1, got {fraction}")
    dataset = Dataset(x, y)
    validation = round(fraction * len(dataset))
    if not 0 < validation < len(dataset):
        raise DataError(
            f"expected samples on both sides, got {validation} of {len(dataset)} to validate; "
            f"change the fraction {fraction} or use more samples"
        )
    order = generator(rng).permutation(len(dataset))
    x_train, y_train = dataset[order[validation:]]
    x_validation, y_validation = dataset[order[:validation]]
    return x_train, y_train, x_validation, y_validation


def _check_classes(index: Any, classes: int | None) -> int:
    # On the host: a GPU would silently wrap or drop indices that are out of range.
    if classes is None and not index.size:
        raise DataError(f"expected at least one class index, got shape {index.shape}; pass classes for an empty array")
    least, most = (int(index.min()), int(index.max())) if index.size else (0, 0)
    if classes is None:
        classes = max(most + 1, 1)
    if not isinstance(classes, (int, np.integer)) or classes < 1:
        raise ArgumentError(f"expected classes to be an integer of at least 1, got {classes!r}")
    if least < 0 or most >= classes:
        wrong = least if least < 0 else most
        raise DataError(f"expected class indices from 0 to {classes - 1}, got {wrong}; check the labels or classes")
    return int(classes)


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
