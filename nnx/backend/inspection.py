"""Properties of arrays; all but :func:`is_finite` are found without reading values."""

import contextlib
import importlib
import math
from typing import Any

import numpy as np

from nnx.backend.namespaces import is_array, library_name, namespace
from nnx.backend.transfer import device_of, to_numpy
from nnx.errors import DTypeError
from nnx.types import Array, DType

_KINDS: dict[Any, str] = {}  # isdtype takes a few microseconds on some libraries


def is_floating(x: Array) -> bool:
    """Return whether an array holds real or complex floating-point numbers."""
    return _kind(x) != ""


def is_real_floating(x: Array) -> bool:
    """Return whether an array holds real floating-point numbers."""
    return _kind(x) == "real"


def _kind(x: Array) -> str:
    try:
        dtype = x.dtype
    except AttributeError:
        got = "None" if x is None else type(x).__name__
        raise DTypeError(f"expected an array, got {got}; make it one, for example with numpy.asarray") from None
    key = (type(dtype), dtype)  # with the type, dtypes of two libraries are never compared: some raise
    found = _KINDS.get(key)
    if found is None:
        xp = namespace(x)
        is_complex = xp.isdtype(dtype, "complex floating")
        found = "complex" if is_complex else "real" if xp.isdtype(dtype, "real floating") else ""
        # Results come in the machine's byte order, so that cotangents would not have the dtype of their array.
        if found and not getattr(dtype, "isnative", True):
            raise DTypeError(
                f"expected an array in the byte order of this machine, got dtype {dtype}; "
                "convert it with x.astype(x.dtype.newbyteorder('='))"
            )
        _KINDS[key] = found
    return found


def device_kind(x: Array) -> str:
    """Return the kind of device that an array is on, such as ``"cpu"`` or ``"cuda"``."""
    library = library_name(namespace(x))
    if library in ("numpy", "cupy"):
        return "cpu" if library == "numpy" else "cuda"
    device = device_of(x)
    return str(getattr(device, "type", None) or getattr(device, "platform", device)).replace("gpu", "cuda")


def owner_of_memory(x: Array) -> Any:
    """Return the object whose memory an array shows: itself, or the one that it is a view of."""
    own, base = _with_base(x)
    return own if base is None else base


def is_view(x: Array) -> bool:
    """Return whether an array is a view of another one, which writing into it would change."""
    return _with_base(x)[1] is not None


def _with_base(x: Array) -> tuple[Any, Any]:
    """Return the object that holds an array's memory, and what that is a view of, or ``None``."""
    library = library_name(namespace(x))
    if library == "array-api-strict":
        x = x._array  # its arrays are made anew around NumPy's, whose views know their base
    return x, getattr(x, "_base" if library == "torch" else "base", None)


def memory_key(x: Array) -> tuple[str, int]:
    """Return where an array begins: two keys are equal if two arrays are one, or views of one from the same element.

    Of libraries that do not tell, and of empty arrays, it is the array object.
    """
    if 0 not in x.shape:
        if isinstance(x, np.ndarray):
            return "memory", x.__array_interface__["data"][0]
        if hasattr(x, "data_ptr"):
            with contextlib.suppress(RuntimeError):  # of a tensor inside torch.func, which has no memory of its own
                return "memory", x.data_ptr() or id(x)  # and this is 0 for some others without memory
    return "object", id(x)


def is_beside(x: Array, like: Array) -> bool:
    """Return whether an array is of the library and on the device of another."""
    if type(x) is not type(like) and namespace(x) is not namespace(like):
        return False
    return bool(device_of(x) == device_of(like))


def is_cheap_to_read(x: Array) -> bool:
    """Return whether values can be read without waiting for a device: plain arrays in the host's memory.

    Read them with :func:`to_numpy` first: inside ``jax.jit`` whatever JAX computes, even of constants, has no values.
    Nor are traced arrays for a check: of one that is recorded to be repeated, the next values would not be read.
    """
    if getattr(type(x), "namespace_varies", False):
        return False
    library = library_name(namespace(x))
    if library == "numpy":
        return True
    device = device_of(x)
    return (library == "torch" and device.type == "cpu") or getattr(device, "platform", None) == "cpu"


def is_symbolic(x: Array) -> bool:
    """Return whether an array stands for values that do not exist yet, as inside ``jax.jit``."""
    return library_name(namespace(x)) == "jax" and isinstance(x, _tracer_of_jax())


def is_compiling(x: Array) -> bool:
    """Return whether ``jax.jit`` compiles what is computed from an array now, in which Python numbers are constants."""
    xp: Any = namespace(x)
    return library_name(xp) == "jax" and isinstance(getattr(xp, "untraced", xp).zeros(()), _tracer_of_jax())


def _tracer_of_jax() -> Any:
    return importlib.import_module("jax").core.Tracer  # imported long ago, as there is an array of it


def is_finite(value: Any) -> bool:
    """Return whether a value holds no NaN or infinity; this reads the array, and so waits for its device."""
    if type(value) is np.ndarray and value.dtype.char in "fd" and math.isfinite(np.vdot(value, value)):
        return True  # the usual case, in half the time: a sum of squares is finite only if all of them are
    xp = namespace(value) if is_array(value) else None
    return xp is None or not is_floating(value) or bool(to_numpy(xp.all(xp.isfinite(value))))


def widest_dtype(x: Array, kind: str) -> DType:
    """Return the widest dtype of a kind that the library has on the device of ``x``.

    Parameters
    ----------
    x : array
    kind : {"signed integer", "real floating"}
        Some devices have no float64, and JAX outside its 64-bit mode has no int64 either.
    """
    xp = namespace(x)
    names = xp.__array_namespace_info__().dtypes(kind=kind, device=device_of(x))
    return names[max(names, key=lambda name: int(name.removeprefix("float").removeprefix("int")))]
