"""What a program is made for: the kinds of its arguments, and everything in the models that the first run relied on."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from nnx.backend import device_of, is_array
from nnx.backend.tiers import LIMIT
from nnx.errors import ArgumentError
from nnx.layers import Buffer, Module
from nnx.layers.node import STAMP
from nnx.layers.plan import plan_of
from nnx.replay.nesting import nested_leaves, nested_map

_NUMBERS = frozenset({bool, int, float, complex, str, bytes, type(None)})
_INTERNAL = frozenset({"_kept", "_gradients", "_arguments", "_plan"})
_KINDS: dict[type, str] = {}  # filled below; an entry depends only on the type, so threads write the same ones


def signature(values: Iterable[Any], arrays: list[Any]) -> tuple[Any, ...]:
    """Return a key for arguments, equal for those that one program serves, and gather the arrays in them.

    Arrays count by type, shape, dtype and device, numbers and strings by their value, everything else as the very
    object that it is.
    """
    key: list[Any] = []
    for value in values:
        kind = type(value)
        what = _KINDS.get(kind) or _kind_of(value)
        key.append(kind)
        if what == "host":
            arrays.append(value)
            key.append(value.shape)
            key.append(value.dtype)
            key.append(value.flags.c_contiguous)  # another kernel may take it, or BLAS add up in another order
        elif what == "object":
            key.append(id(value))
        elif what == "number":
            key.append(value)
        elif what == "array":
            arrays.append(value)
            key.append((value.shape, value.dtype, str(device_of(value))))
        elif what == "dict":
            key.append((*value, *signature(value.values(), arrays)))
        else:
            key.append(signature(value, arrays))
    return tuple(key)


def _kind_of(value: Any) -> str:
    """Return what a value is to a signature, and remember that for its type."""
    kind = type(value)
    if kind in _NUMBERS:
        found = "number"
    elif isinstance(value, Mapping) and kind is not dict:
        raise ArgumentError(f"expected dicts, lists and tuples around the arrays for nnx.compile, got {kind.__name__}")
    elif is_array(value):
        found = "host" if kind.__module__ == "numpy" else "array"
    else:
        found = "dict" if kind is dict else "sequence" if issubclass(kind, (list, tuple)) else "object"
    _KINDS[kind] = found
    return found


def mapped(change: Callable[[Any], Any], value: Any) -> Any:
    """Return a tree with each array in it changed; the order is that of :func:`signature`."""
    return nested_map(lambda leaf: change(leaf) if is_array(leaf) else leaf, value)


class Arguments:
    """The arguments of a call without their arrays, which would otherwise live as long as the program.

    Attributes
    ----------
    objects : list
        What there is besides arrays, numbers and strings: modules, optimizers and the like.
    """

    def __init__(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        self._form = mapped(lambda array: _HOLE, (args, kwargs))
        self.objects = [part for part in nested_leaves(self._form) if type(part) not in _NUMBERS and part is not _HOLE]

    def filled(self, arrays: Iterable[Any]) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """Return positional and named arguments with arrays in their places."""
        left = iter(arrays)

        args, kwargs = nested_map(lambda leaf: next(left) if leaf is _HOLE else leaf, self._form)
        return args, kwargs


_HOLE = object()


class Constants:
    """Everything in some models besides the numbers in their arrays, as it was when a program was made."""

    def __init__(self, models: Sequence[Module]) -> None:
        self._models = models
        self._marks = _marks()
        self._limit = LIMIT.get()
        self._found = self._read()

    def hold(self) -> bool:
        """Return whether they are unchanged; in the usual case by comparing two marks."""
        if self._limit != LIMIT.get():
            return False
        values, constants = self._marks
        if values is STAMP.values and constants is STAMP.constants:
            return True
        marks = _marks()  # before the reading: what another thread changes meanwhile counts
        if not _are_equal(self._found, self._read()):
            return False
        self._marks = marks
        return True

    def _read(self) -> list[Any]:
        found: list[Any] = []
        for model in self._models:
            plan = plan_of(model)
            found += [plan.paths, plan.module_paths]
            for module in (model, *plan.below):
                values = vars(module)
                parameters = module._parameter_names
                found.append(module)
                found += [v for name, v in values.items() if name not in _INTERNAL and name not in parameters]
                found += [_kind_of_array(values[name]) for name in parameters]
                found += [_of_buffer(v) for v in values.values() if isinstance(v, Buffer)]
        return found


def _marks() -> tuple[object, object]:
    return STAMP.values, STAMP.constants  # the first changes with the structure too


def _kind_of_array(x: Any) -> Any:
    return type(x), x.dtype, tuple(x.shape), getattr(getattr(x, "flags", None), "c_contiguous", True)


def _of_buffer(buffer: Buffer) -> Any:
    """Return the value of a constant, the kind of an array, and of a counter its type."""
    value = buffer.value
    return value if buffer.constant else _kind_of_array(value) if is_array(value) else type(value)


def _are_equal(first: Sequence[Any], second: Sequence[Any]) -> bool:
    return len(first) == len(second) and all(a is b or _is_equal(a, b) for a, b in zip(first, second, strict=True))


def _is_equal(a: Any, b: Any) -> bool:
    if type(a) is not type(b) or is_array(a) or isinstance(a, (Module, Buffer)):
        return False
    if isinstance(a, (list, tuple)):
        return _are_equal(a, b)
    try:
        return bool(a == b)
    except Exception:
        return False
