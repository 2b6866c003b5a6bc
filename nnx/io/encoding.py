"""Write a tree of values as JSON and arrays beside it, and read it back exactly.

What JSON lacks becomes a mapping with one key that begins with ``$``: ``{"$array": name}``, ``{"$float": bits}`` for
NaN and infinities, ``{"$int": "0x..."}`` for integers beyond 64 bits, ``{"$complex": [real, imaginary]}`` and
``{"$tuple": [...]}``. A key of the user's own that begins with ``$`` gets another one in front.
"""

import math
import struct
from collections.abc import Mapping
from typing import Any

from nnx.backend import is_array
from nnx.errors import CheckpointError
from nnx.io.reading import DamageError, shown
from nnx.io.storage import host_array
from nnx.types import Array

_MOST_LEVELS = 200


class Encoder:
    """Turns trees into data for JSON, and collects their arrays under readable names.

    Attributes
    ----------
    arrays : dict from name to NumPy array
    """

    def __init__(self) -> None:
        self.arrays: dict[str, Array] = {}

    def encode(self, value: Any, path: tuple[str, ...]) -> Any:
        """Return a value as data for JSON.

        Raises
        ------
        CheckpointError
            If it holds anything else than dicts with strings as keys, lists, tuples, numbers, strings, ``None`` and
            arrays, or has more than 200 levels.
        DTypeError
            If a file cannot hold the dtype of an array.
        """
        if len(path) > _MOST_LEVELS:
            raise CheckpointError(f"expected at most {_MOST_LEVELS} levels, got more at {'.'.join(path[:5])}...")
        if value is None or isinstance(value, (bool, str)):
            return value
        if is_array(value):  # before numbers: a scalar of NumPy is also a float
            name = self._new_name(path)
            self.arrays[name] = host_array(name, value)
            return {"$array": name}
        if isinstance(value, (int, float, complex)):
            return _number(value)
        if isinstance(value, (list, tuple)):
            items = [self.encode(item, (*path, str(i))) for i, item in enumerate(value)]
            return items if isinstance(value, list) else {"$tuple": items}
        if isinstance(value, Mapping):
            return {_key(key, path): self.encode(item, (*path, key)) for key, item in value.items()}
        raise CheckpointError(
            f"{'.'.join(path)}: expected dicts, lists, numbers, strings, None or arrays, "
            f"got a {type(value).__name__}; save what it is made of"
        )

    def _new_name(self, path: tuple[str, ...]) -> str:
        """Return a name that no array has yet: ``{"a.b": x}`` and ``{"a": {"b": y}}`` would share one."""
        name = plain = ".".join(path).encode("utf-8", "replace").decode() or "array"
        number = 1
        while name in self.arrays or name == "__metadata__":
            number += 1
            name = f"{plain} ({number})"
        return name


def decode(data: Any, arrays: Mapping[str, Array]) -> Any:
    """Return the value that :meth:`Encoder.encode` made this data from.

    Raises
    ------
    DamageError
        If it is not such data.
    """
    if isinstance(data, list):
        return [decode(item, arrays) for item in data]
    if not isinstance(data, dict):
        return data
    match data:
        case {"$array": str(name)} if len(data) == 1 and name in arrays:
            return arrays[name]
        case {"$tuple": list(items)} if len(data) == 1:
            return tuple(decode(item, arrays) for item in items)
        case {"$float": _} | {"$int": _} | {"$complex": _} if len(data) == 1:
            return _read_number(*data.items())
    if any(key.startswith("$") and not key.startswith("$$") for key in data):
        raise DamageError(f"a value {shown(next(iter(data)))} of no kind that nnx knows")
    return {key.removeprefix("$") if key.startswith("$$") else key: decode(item, arrays) for key, item in data.items()}


def _key(key: Any, path: tuple[str, ...]) -> str:
    if not isinstance(key, str):
        raise CheckpointError(
            f"{'.'.join(path)}: expected keys that are strings, got {shown(key)}; write them as text, or use a list"
        )
    return f"${key}" if key.startswith("$") else key


def _number(value: Any) -> Any:
    if isinstance(value, int):
        return int(value) if -(2**63) <= value < 2**64 else {"$int": hex(value)}
    if isinstance(value, complex):
        return {"$complex": [_number(value.real), _number(value.imag)]}
    return float(value) if math.isfinite(value) else {"$float": struct.pack(">d", value).hex()}


def _read_number(item: tuple[str, Any]) -> Any:
    match item:
        case "$float", str(bits) if len(bits) == 16:
            try:
                return struct.unpack(">d", bytes.fromhex(bits))[0]
            except (ValueError, struct.error) as error:
                raise DamageError(f"a float {shown(bits)}") from error
        case "$int", str(digits) if digits.lstrip("-").startswith("0x"):
            try:
                return int(digits, 16)
            except ValueError as error:
                raise DamageError(f"an integer {shown(digits)}") from error
        case "$complex", [real, imaginary]:
            parts = [decode(part, {}) for part in (real, imaginary)]
            if all(type(part) is float for part in parts):
                return complex(*parts)
    raise DamageError(f"a number {shown(item[0])} that is none")
