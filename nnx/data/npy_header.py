"""The header of NumPy's files: dtype, shape and order of an array."""

from typing import Any

import numpy as np

from nnx.data.files import Path
from nnx.errors import DataError

_READERS = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}


def read_header(stream: Any, path: Path) -> tuple[np.dtype[Any], tuple[int, ...], bool]:
    """Read the header of an NPY file: dtype, shape, and whether the elements are in Fortran order.

    Raises
    ------
    DataError
        If it is damaged, of another version, or that of Python objects, records or text.
    """
    try:
        shape, is_fortran, dtype = _READERS[np.lib.format.read_magic(stream)](stream)
        lengths = tuple(int(length) for length in shape)
    except OSError:
        raise
    except Exception as error:  # NumPy reads it as a literal of Python, which can be damaged in any way
        raise DataError(
            f"{path}: expected the header of an NPY file of version 1 or 2, got another ({error}); "
            "check that this is such a file"
        ) from error
    if min(lengths, default=0) < 0:
        raise DataError(f"{path}: expected a shape of lengths >= 0, got {lengths}; fetch the file again")
    return numeric(dtype, path), lengths, bool(is_fortran)


def numeric(dtype: np.dtype[Any], path: Path) -> np.dtype[Any]:
    """Return a dtype of bool, integers or floating point; raises DataError for any other."""
    if dtype.kind not in "biufc":
        raise DataError(f"{path}: expected numbers, got {dtype}; save the array with a dtype of numbers")
    return dtype
