"""Move an array to another library, device or dtype, as ``Module.to`` and ``Optimizer.to`` do."""

from typing import Any

from nnx.backend import dtype_name, is_array, is_floating, library_name, missing_dtype, namespace, to_device
from nnx.errors import DTypeError
from nnx.types import Array, DType

_NARROW = ("float16", "bfloat16")


def converted(value: Any, device: str | None, dtype: DType | str | None) -> Any:
    """Return an array moved to a device and, if it is floating-point, to a dtype; anything else as it is."""
    if not is_array(value):
        return value
    if device is not None:
        value = to_device(value, device)
    return value if dtype is None or not is_floating(value) else _cast(value, dtype)


def wide_dtype(dtype: DType | str | None) -> DType | str | None:
    """Return float32 for a dtype of 16 bits, and any other as it is."""
    return "float32" if dtype is not None and dtype_name(dtype) in _NARROW else dtype


def _cast(array: Array, dtype: DType | str) -> Array:
    xp, name = namespace(array), dtype_name(dtype)
    target = getattr(xp, name, None)
    if target is None and name in _NARROW:
        raise missing_dtype(xp, name)
    if target is None or not xp.isdtype(target, ("real floating", "complex floating")):
        raise DTypeError(f"expected a floating-point dtype of {library_name(xp)}, got {name!r}")
    return xp.astype(array, target, copy=False)
