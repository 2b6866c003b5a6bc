"""Read and write IDX files, the format of MNIST: a magic number, the length of each axis, the elements.

Source: Y. LeCun, C. Cortes, C. Burges, "The MNIST database", section "File formats".
"""

import gzip
import os
import struct
import zlib
from typing import Any

import numpy as np

from nnx.data.files import open_file, raise_unreadable, read_elements
from nnx.errors import ArgumentError, DataError, DTypeError
from nnx.functional.checks import counted
from nnx.types import Array

# The third byte of the magic number is the element type; all numbers are big-endian.
_DTYPES: dict[int, np.dtype[Any]] = {
    0x08: np.dtype(">u1"),
    0x09: np.dtype(">i1"),
    0x0B: np.dtype(">i2"),
    0x0C: np.dtype(">i4"),
    0x0D: np.dtype(">f4"),
    0x0E: np.dtype(">f8"),
}
_CODES = {dtype.newbyteorder("="): code for code, dtype in _DTYPES.items()}
_MAX_AXES = 64  # NumPy's own limit


def read_idx(path: str | os.PathLike[str], max_bytes: int = 2**30) -> Array:
    """Read an IDX file, plain or compressed with gzip, whatever its name is.

    Parameters
    ----------
    path : str or path
    max_bytes : int
        A file whose header promises more than this is refused before its elements are read. A compressed file is
        unpacked only as far as the header promises, apart from the last read buffer.

    Returns
    -------
    array : NumPy array
        Writable, in native byte order; its shape and dtype (uint8, int8, int16, int32, float32 or float64)
        are the file's.

    Raises
    ------
    DataError
        If the file is missing, unreadable, truncated, damaged, longer than its header says, larger than ``max_bytes``,
        or not an IDX file.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     write_idx(f"{folder}/labels.gz", np.array([7, 2, 1], np.uint8))
    ...     read_idx(f"{folder}/labels.gz")
    array([7, 2, 1], dtype=uint8)
    """
    with open_file(path, "IDX file") as file:
        try:
            compressed = file.read(2) == b"\x1f\x8b"
            file.seek(0)
            stream = gzip.GzipFile(fileobj=file) if compressed else file
            dtype, shape = _read_header(stream, path)
            return read_elements(stream, shape, dtype, path, max_bytes)
        except (EOFError, gzip.BadGzipFile, zlib.error) as error:
            raise DataError(
                f"{path}: expected a whole gzip file, got a damaged one ({error}); fetch it again"
            ) from error
        except OSError as error:
            raise_unreadable(path, "IDX file", error)


def write_idx(path: str | os.PathLike[str], array: Array) -> None:
    """Write a NumPy array as an IDX file, compressed with gzip if the name ends with ``.gz``.

    The same array always gives the same bytes: the compressed file holds neither a time nor a name.

    Parameters
    ----------
    path : str or path
    array : NumPy array of uint8, int8, int16, int32, float32 or float64

    Raises
    ------
    DTypeError
        If the format does not have the dtype.
    ArgumentError
        If an axis is longer than the format allows.

    Examples
    --------
    See :func:`read_idx`.
    """
    array = np.asarray(array)
    code = _CODES.get(array.dtype.newbyteorder("="))
    if code is None:
        known = ", ".join(str(dtype) for dtype in _CODES)
        raise DTypeError(f"{path}: expected one of the IDX dtypes {known}, got {array.dtype}; cast it with astype")
    if max(array.shape, default=0) >= 2**32:
        raise ArgumentError(f"{path}: expected axes shorter than 2**32, got shape {array.shape}; write several files")
    header = struct.pack(f">HBB{array.ndim}I", 0, code, array.ndim, *array.shape)
    content = header + array.astype(_DTYPES[code]).tobytes()
    if os.fspath(path).endswith(".gz"):
        content = gzip.compress(content, mtime=0)
    with open(path, "wb") as file:
        file.write(content)


def _read_header(stream: Any, path: str | os.PathLike[str]) -> tuple[np.dtype[Any], tuple[int, ...]]:
    magic = stream.read(4)
    if len(magic) < 4 or magic[:2] != b"\0\0" or magic[2] not in _DTYPES or magic[3] > _MAX_AXES:
        raise DataError(
            f"{path}: expected an IDX magic number (00 00, a type from 08 to 0e, the number of axes), "
            f"got {magic.hex(' ') or 'an empty file'}; check that this is an IDX file"
        )
    axes = magic[3]
    lengths = stream.read(4 * axes)
    if len(lengths) < 4 * axes:
        raise DataError(
            f"{path}: expected a header of {4 + 4 * axes} bytes for {counted(axes, 'axis')}, got {4 + len(lengths)}; "
            "fetch the file again"
        )
    return _DTYPES[magic[2]], struct.unpack(f">{axes}I", lengths)
