"""Write and read arrays and a header as one safetensors file with a checksum.

The format: eight bytes with the length of a JSON text, that text, and the memory of the arrays one after the other. The
text maps the name of each array to its dtype, shape and range of bytes, and ``__metadata__`` to strings: here ``nnx``,
the header, itself JSON, and ``sha256``, the checksum.

nnx writes and reads it itself: the package safetensors hands out no bfloat16 for NumPy, sets no limit on the memory for
a hostile file, copies all arrays to write them, and changes the arguments of its lower functions between versions.
Tests hold that each reads the files of the other.

Source: the section "Format" in the README of the package safetensors.
"""

import hashlib
import json
import os
import struct
from collections.abc import Iterable, Mapping
from typing import Any, BinaryIO, NamedTuple

from nnx.data.files import bytes_of
from nnx.errors import CheckpointError
from nnx.io.files import replacing
from nnx.io.reading import DamageError, opened, parse_json, shown
from nnx.io.storage import check_storage, empty_array, finished, stored_as
from nnx.types import Array, Shape
from nnx.version import __version__

FORMAT_VERSION = 3
MOST_HEADER_BYTES = 2**25
_HEADER, _CHECKSUM, _METADATA = "nnx", "sha256", "__metadata__"
_WITHOUT_CHECKSUM = (1, 2)
_BLOCK = 2**20


class _Entry(NamedTuple):
    begin: int
    end: int
    name: str
    code: str
    shape: Shape


def write(path: str | os.PathLike[str], arrays: Mapping[str, Array], header: Mapping[str, Any]) -> None:
    """Write a file, atomically.

    Parameters
    ----------
    path : str or path
    arrays : mapping from name to NumPy array
        As :func:`nnx.io.storage.host_array` returns them.
    header : mapping
        What JSON can hold. Added are ``format``, the version of the layout, ``nnx``, the version that writes it, and
        ``dtypes``, the dtype of each array by its name.

    Raises
    ------
    CheckpointError
        If the header cannot be JSON or is too large.
    OSError
        If the file cannot be written.
    """
    dtypes = {name: array.dtype.name for name, array in arrays.items()}
    text = json.dumps({"format": FORMAT_VERSION, "nnx": __version__, **header, "dtypes": dtypes}, allow_nan=False)
    # The largest elements come first, so that each array is aligned in a file that is mapped into memory.
    entries, end = [], 0
    for name in sorted(arrays, key=lambda name: (-arrays[name].itemsize, name)):
        begin, end = end, end + arrays[name].nbytes
        entries.append(_Entry(begin, end, name, *stored_as(dtypes[name], arrays[name].shape)))
    entries.sort()  # as they are read: empty arrays begin where others do
    contents = [bytes_of(arrays[entry.name]) for entry in entries]
    metadata = {_HEADER: text, _CHECKSUM: _checksum(text, entries, contents)}
    table = {e.name: {"dtype": e.code, "shape": e.shape, "data_offsets": [e.begin, e.end]} for e in entries}
    start = json.dumps({_METADATA: metadata, **table}, separators=(",", ":")).encode()
    start += b" " * (-len(start) % 8)
    if len(start) > MOST_HEADER_BYTES:
        raise CheckpointError(
            f"{path}: expected a header of at most {MOST_HEADER_BYTES} bytes, got {len(start)}; "
            "keep long lists of numbers in arrays"
        )
    with replacing(path) as temporary, open(temporary, "wb") as file:
        file.write(struct.pack("<Q", len(start)) + start)
        for content in contents:
            file.write(content)


def read(path: str | os.PathLike[str]) -> tuple[dict[str, Array], dict[str, Any]]:
    """Return the arrays and the header of a file that :func:`write` wrote, or nnx in one of its older formats.

    It takes no more memory than the arrays, which are never larger than the file, and some 30 times the header.

    Raises
    ------
    CheckpointError
        If the file was not written by nnx, or by a newer version.
    DamageError, OSError, RecursionError, MemoryError
        See :func:`nnx.io.reading.reading`.
    """
    with opened(path) as (file, size):
        entries, text, header, checksum = _read_start(path, file, size)
        arrays = _read_arrays(file, entries, header["dtypes"])
    _expect_checksum(checksum, text, entries, (bytes_of(arrays[entry.name]) for entry in entries))
    return {name: finished(array) for name, array in arrays.items()}, header


def verify(path: str | os.PathLike[str]) -> dict[str, Any]:
    """Return the header of a file whose checksum fits, without the memory for its arrays.

    Raises
    ------
    CheckpointError, DamageError, OSError, RecursionError, MemoryError
        See :func:`read`.
    """
    with opened(path) as (file, size):
        entries, text, header, checksum = _read_start(path, file, size)
        _expect_checksum(checksum, text, entries, iter(lambda: file.read(_BLOCK), b""))
    return header


def _read_start(
    path: str | os.PathLike[str], file: BinaryIO, size: int
) -> tuple[list[_Entry], str, dict[str, Any], str | None]:
    """Read what comes before the arrays: their table, the header as text and parsed, and the checksum if it has one."""
    start = file.read(8)
    length = struct.unpack("<Q", start)[0] if len(start) == 8 else 0
    if length > min(size - 8, MOST_HEADER_BYTES) or len(start) < 8:
        raise DamageError(f"{size} bytes, with a header of {length} (at most {MOST_HEADER_BYTES})")
    table, metadata = _parse_table(file.read(length))
    entries = _entries(table, size - 8 - length)
    text = metadata.get(_HEADER, "")
    header = _parse_header(path, text)
    if _CHECKSUM not in metadata and header["format"] not in _WITHOUT_CHECKSUM:
        raise DamageError("no checksum")
    return entries, text, header, metadata.get(_CHECKSUM)


def _expect_checksum(checksum: str | None, text: str, entries: list[_Entry], contents: Iterable[Any]) -> None:
    if checksum is not None and checksum != _checksum(text, entries, contents):
        raise DamageError("content that its checksum does not fit")


def _parse_table(start: bytes) -> tuple[dict[str, Any], dict[str, str]]:
    table = parse_json(start)
    metadata = table.pop(_METADATA, {}) if isinstance(table, dict) else None
    if not isinstance(metadata, dict) or not all(isinstance(text, str) for text in metadata.values()):
        raise DamageError("a header that is no table of arrays and texts")
    return table, metadata


def _entries(table: Mapping[str, Any], size: int) -> list[_Entry]:
    """Return the entries in the order of the file, which they must fill without gaps."""
    found = []
    for name, entry in table.items():
        match entry:
            case {"dtype": code, "shape": shape, "data_offsets": [int(begin), int(end)]} if len(entry) == 3:
                if end - begin != check_storage(code, shape):
                    raise DamageError(f"an array {shown(name)} with another size than its shape")
                found.append(_Entry(begin, end, name, code, tuple(shape)))
            case _:
                raise DamageError(f"an array {shown(name)} without dtype, shape and range of bytes")
    found.sort()
    ends = [0, *(entry.end for entry in found)]
    if [entry.begin for entry in found] != ends[:-1] or ends[-1] != size:
        raise DamageError("arrays that do not fill the file one after the other")
    return found


def _parse_header(path: str | os.PathLike[str], text: str) -> dict[str, Any]:
    if not text:
        raise CheckpointError(
            f"{path}: expected a file that nnx saved, got a safetensors file without its header; "
            "read it with safetensors and pass the arrays to model.load_state_dict"
        )
    match parse_json(text):
        case {"format": int(version), **rest} if version > FORMAT_VERSION:
            raise CheckpointError(
                f"{path}: expected format {FORMAT_VERSION} or older, got {shown(version)}, written by nnx "
                f"{shown(rest.get('nnx'))}; install a newer nnx: pip install --upgrade nnx-array"
            )
        case {"format": 1 | 2 | 3, "dtypes": {}} as header:
            return dict(header)
    raise DamageError("a header without format and dtypes")


def _read_arrays(file: BinaryIO, entries: Iterable[_Entry], dtypes: Mapping[str, Any]) -> dict[str, Array]:
    arrays = {}
    for entry in entries:
        array = empty_array(entry.code, entry.shape, dtypes.get(entry.name))
        content = bytes_of(array)
        if file.readinto(content) != len(content):  # type: ignore[attr-defined]
            raise DamageError("fewer bytes than before")
        arrays[entry.name] = array
    return arrays


def _checksum(text: str, entries: Iterable[_Entry], contents: Iterable[Any]) -> str:
    """Return the SHA-256 of everything that has meaning: the header, what the table says, and the bytes."""
    table = [(entry.name, entry.code, entry.shape) for entry in entries]
    digest = hashlib.sha256(json.dumps([text, table]).encode())
    for content in contents:
        digest.update(content)
    return digest.hexdigest()
