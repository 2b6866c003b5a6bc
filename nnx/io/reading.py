"""Open and parse files that may be damaged or hostile, with one error for everything that can be wrong with them."""

import json
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, BinaryIO

from nnx.errors import CheckpointError
from nnx.io.files import kind_of


class DamageError(Exception):
    """Something in a file is not as it should be; :func:`reading` makes a :class:`CheckpointError` of it."""


@contextmanager
def reading(path: str | os.PathLike[str]) -> Iterator[None]:
    """Turn whatever goes wrong with a file in the block into a CheckpointError that names it.

    Raises
    ------
    CheckpointError
        If the file is missing, unreadable, damaged or of another format, or does not fit into memory.
    """
    try:
        yield
    except (DamageError, RecursionError) as error:
        reason = str(error) if isinstance(error, DamageError) else "too deep a nesting"
        raise CheckpointError(
            f"{path}: expected a whole safetensors file, got a damaged one or another format: {reason}; "
            "use an older one, or save it again"
        ) from error
    except MemoryError as error:
        raise CheckpointError(
            f"{path}: expected a file that fits into memory, got one that does not; read it on a larger machine"
        ) from error
    except OSError as error:
        reason = error.strerror or str(error)
        raise CheckpointError(f"{path}: expected a readable file of weights, got: {reason}; check the path") from error


@contextmanager
def opened(path: str | os.PathLike[str]) -> Iterator[tuple[BinaryIO, int]]:
    """Open a file and return it with its size.

    Raises
    ------
    OSError
        If it cannot be read, or is a folder, a pipe or a device: a pipe would block, and a device has no size.
    """
    try:
        mode = os.stat(path).st_mode
    except ValueError as error:  # a null character in the path
        raise OSError(f"a path with {error}") from error
    if not stat.S_ISREG(mode):
        raise OSError(f"{kind_of(mode)} and no file")
    with open(path, "rb") as file:
        yield file, os.fstat(file.fileno()).st_size


def parse_json(text: bytes | str) -> Any:
    """Return what a JSON text holds.

    Raises
    ------
    DamageError
        If it is no JSON, has a key twice in one mapping, or a number that JSON lacks.
    RecursionError
        If it is nested too deeply.
    """
    try:
        decoded = text.decode() if isinstance(text, bytes) else text
        return json.loads(decoded, object_pairs_hook=_without_duplicates, parse_constant=_refuse)
    except ValueError as error:
        raise DamageError(f"a header that is no JSON ({error})") from error


def shown(value: Any) -> str:
    """Return the beginning of what an error says about a value, in one line."""
    text = repr(value) if isinstance(value, (str, int, float, bool, type(None))) else f"a {type(value).__name__}"
    return text if len(text) <= 60 else f"{text[:57]}..."


def _without_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError("a key occurs twice")
    return found


def _refuse(constant: str) -> None:
    raise ValueError(f"{constant} is no number of JSON")
