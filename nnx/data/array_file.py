"""Arrays that stay on disk and are read row by row."""

import functools
import math
import os
import threading
import weakref
from typing import Any

import numpy as np

from nnx.data.base import Source
from nnx.data.files import Path, bytes_of, in_native_order, open_file, raise_unreadable
from nnx.data.npy_header import numeric, read_header
from nnx.errors import ArgumentError, DataError
from nnx.types import Array


class ArrayFile(Source):
    """An array in an NPY file or a raw file that stays on disk: what is asked for is read, and nothing else is held.

    So a data set may be larger than memory, in shuffled order too. The file is read with ``pread``, not mapped: pages
    of a mapping count as memory of the process, and a mapped file that gets shorter kills it. Several threads read at
    once. Join it with others by ``as_dataset((images, labels))``.

    Parameters
    ----------
    path : str or path
    dtype : dtype, optional
        Of a raw file, such as ``"<f4"``; then ``shape`` is needed. An NPY file has both in its header.
    shape : tuple of int, optional
        With -1 as its first length, the file has as many rows as fit.
    offset : int
        The number of bytes in front of the elements of a raw file.

    Attributes
    ----------
    shape : tuple of int
    dtype : NumPy dtype
        In native byte order.

    Raises
    ------
    DataError
        If the file cannot be read, is damaged, has another size than header or arguments say, holds Python objects or
        text, or an NPY file is in Fortran order.
    ArgumentError
        If only one of ``dtype`` and ``shape`` is given.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     np.save(f"{folder}/x.npy", np.arange(12.0).reshape(4, 3))
    ...     x = ArrayFile(f"{folder}/x.npy")
    ...     x.shape, x[[3, 0]]
    ((4, 3), array([[ 9., 10., 11.],
           [ 0.,  1.,  2.]]))
    """

    def __init__(self, path: Path, *, dtype: Any = None, shape: tuple[int, ...] | None = None, offset: int = 0) -> None:
        if (dtype is None) != (shape is None):
            raise ArgumentError("expected both dtype and shape for a raw file, or none of them for an NPY file")
        self.path = os.path.abspath(path) if os.fspath(path) else ""
        self._raw = {} if dtype is None else {"dtype": dtype, "shape": shape, "offset": offset}
        with open_file(self.path, "file of an array") as file:
            if dtype is None or shape is None:
                self._stored, shape, is_fortran = read_header(file, path)
                if is_fortran:
                    raise DataError(
                        f"{path}: expected an array in C order, whose rows are contiguous, got Fortran order; "
                        "save it again with numpy.ascontiguousarray"
                    )
                offset = file.tell()
            else:
                self._stored = numeric(np.dtype(dtype), path)
            size = os.fstat(file.fileno()).st_size - offset
            self._file = os.dup(file.fileno())
        weakref.finalize(self, os.close, self._file)
        self._lock = threading.Lock()
        self._offset = offset
        self.dtype = self._stored.newbyteorder("=")
        self._row = self._stored.itemsize * math.prod(shape[1:])
        self.shape = (size // max(self._row, 1), *shape[1:]) if shape[:1] == (-1,) else shape
        if not self.shape or size != (wanted := self._row * self.shape[0]):
            raise DataError(
                f"{path}: expected {wanted if self.shape else 'at least one axis and its'} bytes of elements for shape "
                f"{tuple(shape)} of {self._stored.name}, got {size}; check that the file is whole"
            )

    def __len__(self) -> int:
        return self.shape[0]

    def sample(self, row: int) -> Array:
        """Read a row."""
        return self.span(row, row + 1)[0, ...]

    def batch(self, rows: Any) -> Array:
        """Read rows, in the order in which they are on disk."""
        found = np.empty((len(rows), *self.shape[1:]), self._stored)
        for place in np.argsort(rows).tolist():
            self._read(found[place : place + 1], int(rows[place]))
        return in_native_order(found)

    def span(self, start: int, stop: int, step: int = 1) -> Array:
        """Read consecutive rows at once."""
        if step != 1:
            return super().span(start, stop, step)
        found = np.empty((stop - start, *self.shape[1:]), self._stored)
        self._read(found, start)
        return in_native_order(found)

    def _read(self, into: Any, row: int) -> None:
        view, done = bytes_of(into), 0
        try:
            while done < len(view):
                got = self._read_at(view[done:], self._offset + row * self._row + done)
                if not got:
                    raise DataError(f"{self.path}: expected row {row}, got the end of the file; it became shorter")
                done += got
        except OSError as error:
            raise_unreadable(self.path, "file of an array", error)

    def _read_at(self, view: memoryview, offset: int) -> int:
        if hasattr(os, "preadv"):
            return os.preadv(self._file, [view], offset)
        with self._lock:  # where the position of the file is shared by all threads, as on Windows
            os.lseek(self._file, offset, os.SEEK_SET)
            content = os.read(self._file, min(len(view), 2**20))
            view[: len(content)] = content
            return len(content)

    def __reduce__(self) -> Any:
        return functools.partial(ArrayFile, **self._raw), (self.path,)

    def __repr__(self) -> str:
        return f"ArrayFile({self.path!r}, shape={self.shape}, dtype={self.dtype.name})"
