"""Open data files and read their elements: what every reader of a format here starts with."""

import math
import os
import stat
import sys
from typing import Any, BinaryIO, NoReturn

import numpy as np

from nnx.errors import DataError

Path = str | os.PathLike[str]
_PIECE = 2**20  # bytes


def open_file(path: Path, what: str) -> BinaryIO:
    """Open a regular file for reading.

    Parameters
    ----------
    path : str or path
    what : str
        What it should be, for the error: ``"CSV file"``.

    Raises
    ------
    DataError
        If there is no such file, it cannot be read, it is a directory, a pipe or a device, or the name cannot be
        expressed in the encoding of the locale.
    """
    try:
        mode = os.stat(path).st_mode
        if not stat.S_ISREG(mode) and not stat.S_ISDIR(mode):  # to open a FIFO would wait for whoever writes to it
            raise DataError(
                f"{path}: expected a plain {what}, got a {_kind(mode)}, which cannot be read twice; "
                "write its content to a file first"
            )
        return open(path, "rb")
    except DataError:  # which is a ValueError
        raise
    except OSError as error:
        raise_unreadable(path, what, error)
    except UnicodeEncodeError as error:
        raise DataError(
            f"{str(path)!a}: expected a path in the encoding {sys.getfilesystemencoding()}, got other characters; "
            "set PYTHONUTF8=1 or a locale with UTF-8"
        ) from error
    except ValueError as error:
        raise DataError(f"{str(path)!r}: expected the path of a plain {what}, got an {error}") from error


def raise_unreadable(path: Path, what: str, error: OSError) -> NoReturn:
    """Raise the DataError for a file that the system does not open or read."""
    where = os.fspath(path) or "''"
    raise DataError(f"{where}: expected a readable {what}, got {error.strerror or error}; check the path") from error


def read_elements(stream: Any, shape: tuple[int, ...], dtype: np.dtype[Any], path: Path, max_bytes: int) -> Any:
    """Read the elements of an array, and make sure that nothing follows.

    Memory and, in a compressed file, unpacking are limited by what the header of the file claims.

    Parameters
    ----------
    stream : binary file
    shape, dtype
        As the file claims them.
    path : path
        For errors.
    max_bytes : int

    Returns
    -------
    array : NumPy array
        Writable, in native byte order.

    Raises
    ------
    DataError
        If the claim is larger than ``max_bytes`` or the memory, or the file has fewer or more bytes.
    """
    # An axis of length 0 counts as 1: the other axes could be too long even for an array without elements.
    if (promised := dtype.itemsize * math.prod(max(length, 1) for length in shape)) > max_bytes:
        raise DataError(
            f"{path}: expected at most {max_bytes} bytes of elements, got a header that promises {promised} "
            f"(shape {shape}, {dtype.name}); pass a larger max_bytes if the file is to be trusted"
        )
    try:
        array = np.empty(shape, dtype)
        done, view = 0, bytes_of(array)
        while done < len(view) and (piece := stream.read(min(_PIECE, len(view) - done))):
            view[done : done + len(piece)] = piece
            done += len(piece)
    except MemoryError as error:
        raise DataError(
            f"{path}: expected {promised} bytes of free memory for the elements that its header promises "
            f"(shape {shape}, {dtype.name}), got less; use a smaller file"
        ) from error
    more = done == len(view) and stream.read(1)
    if more or done < len(view):
        raise DataError(
            f"{path}: expected {len(view)} bytes of elements for shape {shape} of {dtype.name}, "
            f"got {'more, which were not read' if more else f'only {done}'}; fetch the file again"
        )
    return in_native_order(array)


def bytes_of(array: Any) -> memoryview:
    """Return the memory of a contiguous array, to be written."""
    return memoryview(array.reshape(-1).view(np.uint8))


def in_native_order(array: Any) -> Any:
    """Return an array in the byte order of this machine; the given one may be overwritten."""
    native = array.dtype.newbyteorder("=")
    return array if array.dtype == native else array.byteswap(inplace=True).view(native)


def _kind(mode: int) -> str:
    kinds = {stat.S_ISFIFO: "pipe (FIFO)", stat.S_ISSOCK: "socket", stat.S_ISCHR: "device", stat.S_ISBLK: "device"}
    return next((name for test, name in kinds.items() if test(mode)), "special file")
