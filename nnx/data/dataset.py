"""A data set: arrays whose first axis is that of the samples."""

from collections.abc import Callable
from typing import Any

import numpy as np

from nnx.backend import asarray, device_of, is_array, namespace
from nnx.data.base import Source, packed
from nnx.errors import ArgumentError, DataError, DeviceError
from nnx.functional.checks import counted
from nnx.types import Array

Sample = tuple[Array, ...] | dict[str, Array]
"""Rows of every array: a tuple, or a dict if the arrays have names."""


class Dataset(Source):
    """Arrays of one library and device that belong together, sample by sample.

    Parameters
    ----------
    *arrays : array, shape (samples, ...)
        Such as images and their labels. They are kept, not copied.
    **named : array, shape (samples, ...)
        Arrays with names instead; samples are then dicts.

    Attributes
    ----------
    arrays : tuple of array
    names : tuple of str or None

    Raises
    ------
    DataError
        If there is no array, one is not an array or has no axes, or their first axes differ in length.
    ArgumentError
        If only some of the arrays have names.
    BackendError, DeviceError
        If the arrays belong to different libraries or devices.

    Examples
    --------
    >>> dataset = Dataset(np.ones((4, 2)), np.asarray([3, 1, 4, 1]))
    >>> len(dataset)
    4
    >>> x, y = dataset[1:3]
    >>> x.shape, y
    ((2, 2), array([1, 4]))
    >>> Dataset(height=np.asarray([1.7, 1.8]), age=np.asarray([30, 40]))[0]["age"]
    array(30)
    """

    def __init__(self, *arrays: Array, **named: Array) -> None:
        if arrays and named:
            raise ArgumentError(
                f"expected arrays that all have names or none, got {len(arrays)} without and {', '.join(named)}"
            )
        self.names = tuple(named) if named else None
        self.arrays = arrays or tuple(named.values())
        if not self.arrays:
            raise DataError("expected at least one array, got none; write Dataset(x) or Dataset(x, y)")
        for number, array in enumerate(self.arrays):
            _check_array(f"array {number}" if self.names is None else f"the array {self.names[number]!r}", array)
        namespace(*self.arrays)
        devices = [device_of(array) for array in self.arrays]
        if any(device != devices[0] for device in devices):
            raise DeviceError(
                f"expected arrays on one device, got {', '.join(map(str, devices))}; "
                "move them together, for example with nnx.to_device((x, y), ...)"
            )
        lengths = [array.shape[0] if array.ndim else None for array in self.arrays]
        if None in lengths or len(set(lengths)) > 1:
            shapes = ", ".join(str(tuple(array.shape)) for array in self.arrays)
            raise DataError(
                f"expected first axes of one length, the number of samples, got shapes {shapes}; "
                "check that the arrays belong together"
            )

    def __len__(self) -> int:
        return int(self.arrays[0].shape[0])

    def sample(self, row: int) -> Sample:
        """Return a row of each array."""
        return packed(self.names, (array[row, ...] for array in self.arrays))

    def batch(self, rows: Any) -> Sample:
        """Return copies of the chosen rows of each array; ``rows`` are on the host, and within range."""
        return self.take(rows_like(rows, self.arrays[0]))

    def span(self, start: int, stop: int, step: int = 1) -> Sample:
        """Return a slice of each array: views, if the library has them."""
        return packed(self.names, (array[start:stop:step, ...] for array in self.arrays))

    def reader(self, order: Any) -> Callable[[slice], Sample]:
        """Return a function that reads a part of an order, which is moved to the device of the arrays once."""
        if order is None:
            return super().reader(order)
        rows = rows_like(order, self.arrays[0])
        return lambda part: self.take(rows[part])

    def take(self, rows: Array) -> Sample:
        """Return samples by their row numbers, which must be on the device of the arrays and are not checked."""
        xp = namespace(*self.arrays)
        return packed(self.names, (xp.take(array, rows, axis=0) for array in self.arrays))

    def __repr__(self) -> str:
        labels = [f"{name}: " for name in self.names] if self.names else [""] * len(self.arrays)
        kinds = (f"{tuple(array.shape[1:])} {array.dtype}" for array in self.arrays)
        return f"Dataset({counted(len(self), 'sample')}: {', '.join(map(str.__add__, labels, kinds))})"


def rows_like(rows: Any, array: Array) -> Array:
    """Move row numbers from the host to the library and device of ``array``."""
    # int32 if it is wide enough, since JAX outside its 64-bit mode has no int64.
    return asarray(rows, dtype="int32" if array.shape[0] < 2**31 else "int64", like=array)


def _check_array(where: str, array: Any) -> None:
    if not is_array(array):
        raise DataError(
            f"expected arrays, got {type(array).__name__} for {where}; convert it, for example with np.asarray"
        )
    if isinstance(array, np.ma.MaskedArray):
        raise DataError(f"expected no masked arrays, got one for {where}: the mask would be ignored; use filled(...)")
    if getattr(array.dtype, "hasobject", False):
        raise DataError(
            f"expected numbers, got Python objects for {where}; give all rows one length and np.asarray a dtype"
        )
