"""Find the array API namespace of arrays, and make sure that all arrays of a call belong to one library."""

from typing import Any

import array_api_compat

from nnx.backend.deferring import let_defer
from nnx.errors import BackendError
from nnx.types import Array, Namespace

# array_api_compat.array_namespace takes 2 to 4 us per call, a dictionary lookup 0.05 us. An entry depends only on the
# type, so threads that fill it at the same time write the same values.
_BY_TYPE: dict[type, Namespace] = {}

# Types whose operators such as += write into the array and have no other effect. Not torch's, which counts the writes
# for its own derivatives, and refuses some of them under its transforms. Filled together with _BY_TYPE.
IN_PLACE: set[type] = set()
_WRITABLE = {("numpy", "ndarray"), ("cupy", "ndarray"), ("array-api-strict", "Array")}

_REFUSED = {
    "MaskedArray": "its mask would be lost on the way; fill it with x.filled(value), or hand over mask and x.data",
    "matrix": "its * is a matrix product, and it always has two axes; convert it with numpy.asarray",
}
"""Subclasses of numpy.ndarray that break the standard's semantics, and what to do instead."""

_SCALARS = frozenset({type(None), bool, int, float, complex})  # exactly: np.float64 is a subclass of float


def namespace(*arrays: Any) -> Namespace:
    """Return the array API namespace of the given arrays.

    Python scalars and ``None`` are ignored. Traced and plain arrays of the same library give the traced namespace,
    whose functions take both. So pass all arrays that meet: if only the parameters are traced, ``namespace(x)`` of the
    data is the plain namespace, whose functions refuse them, and ``namespace(x, self.weight)`` the traced one.

    Raises
    ------
    BackendError
        If the arrays belong to different libraries, or no argument is an array.

    Examples
    --------
    >>> import numpy as np, nnx
    >>> xp = nnx.namespace(np.ones(3), 2.0)
    >>> xp.__name__
    'array_api_compat.numpy'
    """
    found: Any = None
    for array in arrays:
        xp = _BY_TYPE.get(type(array))
        if xp is None:
            if type(array) in _SCALARS:
                continue
            xp = _resolve(array)
        if found is None or xp is found or getattr(xp, "untraced", None) is found:
            found = xp
        elif getattr(found, "untraced", None) is not xp:
            raise _mixed(arrays)
    if found is None:
        names = ", ".join(type(array).__name__ for array in arrays) or "nothing"
        raise BackendError(f"expected at least one array, got {names}")
    return found


def is_array(value: Any) -> bool:
    """Return whether ``value`` is an array of a library that can be used here, or a traced one."""
    if type(value) in _SCALARS:
        return False
    return type(value) in _BY_TYPE or hasattr(value, "__array_namespace__") or array_api_compat.is_array_api_obj(value)


def _resolve(array: Any) -> Namespace:
    kind = type(array)
    if getattr(kind, "namespace_varies", False):
        return array.__array_namespace__()
    for base in kind.__mro__:
        if base.__name__ in _REFUSED and base.__module__.partition(".")[0] == "numpy":
            raise BackendError(f"expected a plain array, got numpy.{base.__name__}: {_REFUSED[base.__name__]}")
    try:
        xp = array_api_compat.array_namespace(array)
    except TypeError as error:
        raise BackendError(
            f"expected an array of a library that follows the array API standard, got {kind.__module__}."
            f"{kind.__qualname__}; convert it first, for example with numpy.asarray"
        ) from error
    if library_name(xp) == "array-api-strict":
        let_defer(kind)
    if (library_name(xp), kind.__name__) in _WRITABLE:
        IN_PLACE.add(kind)
    _BY_TYPE[kind] = xp
    return xp


def library_name(xp: Namespace) -> str:
    """Return the short name of a namespace: ``"numpy"``, ``"cupy"``, ``"torch"``, ``"jax"``, ..."""
    plain: Any = getattr(xp, "untraced", xp)
    name: str = plain.__name__
    name = name.removeprefix("array_api_compat.")
    return {"jax.numpy": "jax", "array_api_strict": "array-api-strict"}.get(name, name)


def _mixed(arrays: tuple[Array, ...]) -> BackendError:
    names = {library_name(namespace(a)): i for i, a in reversed(list(enumerate(arrays))) if is_array(a)}
    (first, i), (second, j) = sorted(names.items(), key=lambda item: item[1])[:2]
    return BackendError(
        f"expected arrays of one library, got {first} (argument {i}) and {second} (argument {j}); "
        f'move one of them, for example with nnx.to_device(x, "{second}")'
    )
