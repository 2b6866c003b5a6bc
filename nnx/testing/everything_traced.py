"""Namespaces in which every array is traced, even those that are created.

Code that runs on them sees nothing but traced arrays: a library's own tests, say, or a conformance suite. No derivative
is taken, so values may be read and written.
"""

import functools
import operator
import os
import sys
from collections.abc import Callable, Sequence
from types import ModuleType
from typing import Any

from nnx.autodiff.namespace import TracedNamespace, namespace_over
from nnx.autodiff.primitives import Primitive, Pullback, as_wanted
from nnx.autodiff.traced import Trace, TracedArray
from nnx.backend import is_array, is_floating, namespace
from nnx.backend.registry import find_backend
from nnx.errors import DTypeError, ShapeError
from nnx.tree import sequence_like
from nnx.types import Array, Device

PULLBACKS = "NNX_TRACED_PULLBACKS"
"""The environment variable that, unless it is empty, makes every pullback run as well, on a cotangent of ones."""


# The builtins, not the methods of these names: complex(), for one, falls back on __float__ and __index__.
_READERS: dict[str, Callable[[Array], Any]] = {
    "__bool__": bool,
    "__complex__": complex,
    "__float__": float,
    "__index__": operator.index,
    "__int__": int,
}


def everything_traced(backend: str, module: str) -> dict[str, Any]:
    """Return the members of a namespace in which every array is traced.

    Parameters
    ----------
    backend : str
        The name of the array library that does the work.
    module : str
        The name of the module whose members these become.

    Returns
    -------
    dict
        Functions, constants, dtypes and extensions by name, as far as the library has them.

    Examples
    --------
    >>> from nnx.testing import traced_numpy as xp
    >>> x = xp.ones(3)
    >>> x + xp.arange(3.0)
    TracedArray(array([1., 2., 3.]))
    """
    trace = EverythingTrace(sys.modules[module])
    untraced = find_backend(backend).namespace
    return {"untraced": untraced, **_members(namespace_over(untraced), trace)}


class EverythingTrace(Trace):
    """The trace of all arrays of one namespace: it runs the rules, and records nothing."""

    def __init__(self, module: ModuleType) -> None:
        super().__init__()
        self.level = 0  # outside every transform
        self._module = module
        self._pulls_back = bool(os.environ.get(PULLBACKS))

    def record(self, primitive: Primitive[..., Any], args: Sequence[Any], options: dict[str, Any]) -> Any:
        """Run a primitive with its pullback, as a tape would."""
        for arg in args:
            if type(arg) is TracedArray and arg.trace.level > self.level:  # of a transform, which takes the call
                return arg.trace.record(primitive, args, options)
        wanted = as_wanted([type(arg) is TracedArray and is_floating(arg.value) for arg in args])
        values = plain(list(args))
        output, pullback = primitive.plain_rule(wanted, *values, **plain(options))
        if self._pulls_back and any(wanted):
            _pull_back(primitive, pullback, output, wanted, values)
        return self.wrap_constant(output)

    def constant(self, value: Array) -> TracedArray:
        """Return a value, traced here."""
        return TracedArray(value, self, None)

    def wrap_constant(self, output: Any) -> Any:
        """Return an output with its arrays traced, including those in tuples and lists."""
        if isinstance(output, (tuple, list)):
            return sequence_like(output)([*map(self.wrap_constant, output)])
        traced = type(output) is TracedArray or isinstance(output, type) or not is_array(output)
        return output if traced else TracedArray(output, self, None)

    def read(self, array: TracedArray, name: str, kind: str) -> Any:
        """Return the number in an array."""
        return _READERS[name](array.untraced)

    def write(self, array: TracedArray, key: Any, value: Any) -> None:
        """Write into the plain array."""
        array.untraced[plain(key)] = plain(value)

    def hand_over(self, array: TracedArray, name: str, options: dict[str, Any]) -> Any:
        """Call the method of the plain array; options that are None are left out."""
        return getattr(array.untraced, name)(**{key: value for key, value in options.items() if value is not None})

    def move(self, array: TracedArray, device: Device, stream: Any) -> TracedArray:
        """Move the plain array."""
        options = {} if stream is None else {"stream": stream}
        return TracedArray(array.untraced.to_device(device, **options), self, None)

    def namespace(self, array: TracedArray) -> Any:
        """Return the module in which every array is traced here."""
        return self._module


def plain(value: Any) -> Any:
    """Return a value with plain arrays instead of traced ones, including those in tuples, lists and dicts."""
    if type(value) is TracedArray:
        return value.untraced
    if isinstance(value, dict):
        return {key: plain(v) for key, v in value.items()}
    return sequence_like(value)([*map(plain, value)]) if isinstance(value, (tuple, list)) else value


def _members(xp: TracedNamespace, trace: EverythingTrace) -> dict[str, Any]:
    members = {name: value for name, value in vars(xp).items() if name not in ("untraced", "__name__")}
    return {name: _traced_throughout(name, value, trace) for name, value in members.items()}


def _traced_throughout(name: str, member: Any, trace: EverythingTrace) -> Any:
    if isinstance(member, TracedNamespace):
        extension = ModuleType(member.__name__)
        vars(extension).update(_members(member, trace))
        return extension
    if isinstance(member, type) or not callable(member):  # a dtype, or another constant
        return member
    return _asarray(member, trace) if name == "asarray" else _wrapping(member, trace)


def _wrapping(function: Callable[..., Any], trace: EverythingTrace) -> Callable[..., Any]:
    def traced(*args: Any, **options: Any) -> Any:
        return trace.wrap_constant(function(*args, **options))

    return functools.update_wrapper(traced, function, updated=())


def _asarray(function: Callable[..., Any], trace: EverythingTrace) -> Callable[..., Any]:
    """Return an ``asarray`` that accepts sequences of arrays: under a transform they would lose their derivatives."""

    def asarray(obj: Any, /, **options: Any) -> Any:
        return trace.wrap_constant(function(plain(obj) if isinstance(obj, (tuple, list)) else obj, **options))

    return functools.update_wrapper(asarray, function, updated=())


def _pull_back(
    primitive: Primitive[..., Any], pullback: Pullback, output: Any, wanted: Sequence[int], values: Sequence[Array]
) -> None:
    """Run a pullback on ones, and check that the cotangents have the shapes and dtypes of the arguments."""
    many = isinstance(output, (tuple, list))
    parts = [namespace(o).ones_like(o) if is_floating(o) else None for o in (output if many else (output,))]
    if all(part is None for part in parts):
        return
    cotangents = pullback(tuple(parts) if many else parts[0])
    for i, (cotangent, want, value) in enumerate(zip(cotangents, wanted, values, strict=False)):
        if not want or cotangent is None:
            continue
        if tuple(cotangent.shape) != tuple(value.shape):
            raise ShapeError(
                f"{primitive.name}: expected a cotangent of shape {tuple(value.shape)} for argument {i}, "
                f"got {tuple(cotangent.shape)}"
            )
        if cotangent.dtype != value.dtype:
            raise DTypeError(
                f"{primitive.name}: expected a cotangent of dtype {value.dtype} for argument {i}, got {cotangent.dtype}"
            )
