"""Read NPZ files: archives of NumPy's arrays."""

import lzma
import struct
import zipfile
import zlib

import numpy as np

from nnx.data.dataset import Dataset
from nnx.data.files import Path, open_file, raise_unreadable, read_elements
from nnx.data.npy_header import read_header
from nnx.errors import DataError
from nnx.types import Array

_DAMAGED = (zipfile.BadZipFile, zlib.error, lzma.LZMAError, EOFError, RuntimeError, ValueError, struct.error)
"""What Python's readers of archives raise."""


def load_npz(path: Path, names: tuple[str, ...] | None = None, max_bytes: int = 2**30) -> Dataset:
    """Read the arrays of an NPZ file, as ``numpy.savez`` and ``numpy.savez_compressed`` write them.

    Parameters
    ----------
    path : str or path
    names : tuple of str, optional
        Which arrays make a sample, as a tuple in this order. By default all of the file: as a dict by their names, or
        as a tuple if they have those that ``numpy.savez`` gives to arrays without a name.
    max_bytes : int
        An array whose header promises more is refused before its elements are read. Unpacking ends where the header
        says.

    Raises
    ------
    DataError
        If the file cannot be read or is damaged, an array is not in it, holds Python objects or text, or is too large,
        or the arrays are not of one length. Nothing is ever unpickled.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     np.savez(f"{folder}/data.npz", x=np.ones((3, 2)), y=np.asarray([7, 8, 9]))
    ...     load_npz(f"{folder}/data.npz", ("x", "y"))
    Dataset(3 samples: (2,) float64, () int64)
    """
    with open_file(path, "NPZ file") as file:
        try:
            with zipfile.ZipFile(file) as archive:
                members = {name.removesuffix(".npy"): name for name in archive.namelist() if name.endswith(".npy")}
                if missing := [name for name in names or () if name not in members]:
                    known = ", ".join(members) or "no array"
                    raise DataError(f"{path}: expected an array {missing[0]!r}, got {known}; choose of these")
                arrays = {name: _read_member(archive, members[name], path, max_bytes) for name in names or members}
        except DataError:
            raise
        except _DAMAGED as error:
            raise DataError(
                f"{path}: expected a whole NPZ file, got a damaged one ({error}); fetch it again"
            ) from error
        except OSError as error:
            raise_unreadable(path, "NPZ file", error)
    try:
        unnamed = names is not None or list(arrays) == [f"arr_{i}" for i in range(len(arrays))]
        return Dataset(*arrays.values()) if unnamed else Dataset(**arrays)
    except DataError as error:
        raise DataError(f"{path}, arrays {', '.join(arrays) or 'none'}: {error}") from error


def _read_member(archive: zipfile.ZipFile, member: str, path: Path, max_bytes: int) -> Array:
    where = f"{path}, {member}"
    with archive.open(member) as stream:
        dtype, shape, is_fortran = read_header(stream, where)
        stored = read_elements(stream, shape[::-1] if is_fortran else shape, dtype, where, max_bytes)
        return np.ascontiguousarray(stored.T) if is_fortran else stored
