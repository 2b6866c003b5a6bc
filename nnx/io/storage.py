"""The dtypes of a safetensors file, and which of them holds which NumPy array without loss."""

import math
import sys
from typing import Any

import numpy as np

from nnx.backend import SMALL_FLOATS, small_float, to_numpy
from nnx.errors import DTypeError
from nnx.io.reading import DamageError, shown
from nnx.types import Array, Shape

_CODES = {
    **{"bool": "BOOL", "float16": "F16", "float32": "F32", "float64": "F64", "bfloat16": "BF16"},
    **{f"{kind}int{bits}": f"{kind.upper() or 'I'}{bits}" for kind in ("", "u") for bits in (8, 16, 32, 64)},
    **{"float8_e4m3fn": "F8_E4M3", "float8_e5m2": "F8_E5M2", "float8_e8m0fnu": "F8_E8M0"},
}
_NAMES = {code: name for name, code in _CODES.items()}
_PAIRS = {"complex64": "F32", "complex128": "F64"}
_STORABLE = {*_CODES, *_PAIRS, *SMALL_FLOATS}
_MOST_AXES = 64  # NumPy's own limit


def host_array(name: str, value: Any) -> Array:
    """Return an array of any library as a NumPy array, contiguous and in little-endian order.

    Raises
    ------
    DTypeError
        If a file cannot hold its dtype.
    MissingExtraError
        If its dtype needs ml_dtypes, and it is not installed.
    """
    host = to_numpy(value)
    if host.dtype.name not in _STORABLE:
        raise DTypeError(
            f"{name}: expected an array of numbers or booleans that a file can hold, got {host.dtype}; "
            "convert it first, for example to float64"
        )
    return np.asarray(host, dtype=_little_endian(host.dtype), order="C")


def stored_as(dtype: str, shape: Shape) -> tuple[str, Shape]:
    """Return the code and the shape under which an array is stored.

    Complex numbers become pairs of reals in a last axis of 2, since only the newest readers know a code for them, and
    the dtypes of 8 bits without a code become bytes.
    """
    if dtype in _PAIRS:
        return _PAIRS[dtype], (*shape, 2)
    return _CODES.get(dtype, "U8"), tuple(shape)


def check_storage(code: Any, shape: Any) -> int:
    """Return the number of bytes that an array takes.

    Raises
    ------
    DamageError
        If the code is not known, or the shape is none that NumPy can represent.
    """
    if not isinstance(code, str) or code not in _NAMES:
        raise DamageError(f"a dtype {shown(code)}")
    if not isinstance(shape, list) or not all(type(length) is int and length >= 0 for length in shape):
        raise DamageError("a shape that is no list of lengths")
    item = 1 if code in ("BOOL", "U8", "I8") or code.startswith("F8") else int(code.lstrip("BFIU")) // 8
    # An axis of length 0 counts as 1: the others could be too long even for an array without elements.
    if len(shape) > _MOST_AXES or item * math.prod(max(length, 1) for length in shape) > sys.maxsize:
        raise DamageError("a shape that no array can have")
    return item * math.prod(shape)


def empty_array(code: str, shape: Shape, dtype: Any) -> Array:
    """Return the array that is to be filled with what was stored with this code and shape.

    Parameters
    ----------
    code, shape
        As :func:`check_storage` accepts them.
    dtype : str, optional
        What the header says, if it says anything; otherwise it is that of the code.

    Raises
    ------
    DamageError
        If they do not fit together.
    MissingExtraError
        If the dtype needs ml_dtypes, and it is not installed.
    """
    name = _NAMES[code] if dtype is None else dtype
    if not isinstance(name, str) or name not in _STORABLE:
        raise DamageError(f"a dtype {shown(name)}")
    own = shape[:-1] if name in _PAIRS else shape
    if stored_as(name, own) != (code, shape):
        raise DamageError(f"an array of {name} that is stored as {code}")
    return np.empty(own, small_float(name) if name in SMALL_FLOATS else _little_endian(np.dtype(name)))


def finished(array: Array) -> Array:
    """Return an array that has been filled, in the order of bytes of this machine.

    Raises
    ------
    DamageError
        If a boolean is neither 0 nor 1.
    """
    if array.dtype == np.bool_ and array.size and array.view(np.uint8).max() > 1:
        raise DamageError("a boolean that is neither 0 nor 1")
    return array if array.dtype.isnative else array.astype(array.dtype.newbyteorder("="))


def _little_endian(dtype: Any) -> Any:
    return dtype if dtype.name in SMALL_FLOATS else dtype.newbyteorder("<")
