"""A data set: arrays whose first axis counts the samples."""

from collections.abc import Iterator
from typing import Any

import numpy as np

from nnx.backend import asarray, device_of, namespace, to_numpy
from nnx.errors import ArgumentError, DataError, DeviceError
from nnx.types import Array


class Dataset:
    """Arrays of one library and device that belong together, sample by sample.

    Parameters
    ----------
    *arrays : array, shape (samples, ...)
        Such as images and their labels. They are kept as they are, not copied.

    Attributes
    ----------
    arrays : tuple of array

    Raises
    ------
    DataError
        If there is no array, one has no axes, or their first axes differ in length.
    BackendError, DeviceError
        If the arrays belong to two libraries or lie on two devices.

    Examples
    --------
    >>> dataset = Dataset(np.ones((4, 2)), np.asarray([3, 1, 4, 1]))
    >>> len(dataset)
    4
    >>> x, y = dataset[1:3]
    >>> x.shape, y
    ((2, 2), array([1, 4]))
    """

    def __init__(self, *arrays: Array) -> None:
        if not arrays:
            raise DataError("expected at least one array, got none; write Dataset(x) or Dataset(x, y)")
        namespace(*arrays)
        devices = [device_of(array) for array in arrays]
        if any(device != devices[0] for device in devices):
            raise DeviceError(
                f"expected arrays on one device, got {', '.join(map(str, devices))}; "
                "move them together, for example with nnx.to_device((x, y), ...)"
            )
        lengths = [array.shape[0] if array.ndim else None for array in arrays]
        if None in lengths or len(set(lengths)) > 1:
            shapes = ", ".join(str(tuple(array.shape)) for array in arrays)
            raise DataError(
                f"expected first axes of one length, the number of samples, got shapes {shapes}; "
                "check that the arrays belong together"
            )
        self.arrays = arrays

    def __len__(self) -> int:
        return int(self.arrays[0].shape[0])

    def __iter__(self) -> Iterator[tuple[Array, ...]]:
        return (self[row] for row in range(len(self)))

    def __getitem__(self, index: Any) -> tuple[Array, ...]:
        """Return the chosen samples of each array.

        Parameters
        ----------
        index : int, slice, or integers of shape (rows,)
            An int drops the first axis. A slice with a positive step gives views where the library has them.
            Integers may repeat and come from any library; negative ones count from the end.

        Raises
        ------
        DataError
            If an index is out of range. Checked on the host: on a GPU it would wrap round in silence.
        ArgumentError
            If the index is of another kind.
        """
        if isinstance(index, slice):
            rows = range(len(self))[index]
            if rows.step > 0:
                bounds = slice(rows.start, max(rows.start, rows.stop), rows.step)
                return tuple(array[bounds, ...] for array in self.arrays)
            index = np.asarray(rows, dtype=np.int64)
        if isinstance(index, (int, np.integer)):
            row = int(self._check(np.asarray([index]))[0])
            return tuple(array[row, ...] for array in self.arrays)
        return take_rows(self.arrays, rows_like(self._check(np.asarray(to_numpy(index))), self.arrays[0]))

    def __repr__(self) -> str:
        kinds = ", ".join(f"{tuple(array.shape[1:])} {array.dtype}" for array in self.arrays)
        return f"Dataset({len(self)} samples: {kinds})"

    def _check(self, rows: Any) -> Any:
        if rows.ndim != 1 or rows.dtype.kind not in "iu":
            raise ArgumentError(
                f"expected an int, a slice or integers of shape (rows,) as index, "
                f"got {rows.dtype} of shape {rows.shape}"
            )
        wrong = rows[(rows < -len(self)) | (rows >= len(self))]
        if wrong.size:
            raise DataError(
                f"expected rows from {-len(self)} to {len(self) - 1} of {len(self)} samples, got {wrong[0]}"
            )
        return np.where(rows < 0, rows + len(self), rows)


def take_rows(arrays: tuple[Array, ...], rows: Array) -> tuple[Array, ...]:
    """Return the rows of each array; ``rows`` lies on the arrays' device and is not checked."""
    xp = namespace(*arrays)
    return tuple(xp.take(array, rows, axis=0) for array in arrays)


def rows_like(rows: Any, array: Array) -> Array:
    """Move row numbers from the host to the library and device of ``array``."""
    # int32 where it is enough: JAX has no int64 unless its 64-bit mode is on.
    return asarray(rows, dtype="int32" if array.shape[0] < 2**31 else "int64", like=array)
