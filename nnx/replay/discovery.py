"""The models and optimizers that a function uses without having them as arguments."""

import functools
from collections.abc import Iterator
from types import BuiltinFunctionType, CellType, CodeType, FunctionType, MethodType
from typing import Any

from nnx.layers import Module
from nnx.optimizers.optimizer import Optimizer

_DEEPEST = 6  # functions that call functions that call functions


def state_of(function: Any) -> list[Any]:
    """Return the models and optimizers that a function names, in closures, globals, defaults and its own object.

    Functions that it names in turn are looked through too, if they are of the same file, and so are the attributes of
    the objects whose methods they are.
    """
    found: dict[int, Any] = {}
    seen: set[int] = set()

    def look(value: Any, depth: int) -> None:
        if isinstance(value, (Module, Optimizer)):
            found.setdefault(id(value), value)
        elif depth <= _DEEPEST and id(value) not in seen:
            seen.add(id(value))
            for part in _parts(value):
                look(part, depth + 1)

    look(function, 0)
    return [*found.values()]


def _parts(value: Any) -> Iterator[Any]:
    """Iterate over what a function, or an object that is called like one, consists of and names."""
    if isinstance(value, functools.partial):
        yield from (value.func, *value.args, *value.keywords.values())
    elif isinstance(value, MethodType):
        yield value.__self__
        yield from vars(value.__self__).values() if hasattr(value.__self__, "__dict__") else ()
        yield value.__func__
    elif isinstance(value, FunctionType):
        yield from (cell.cell_contents for cell in value.__closure__ or () if cell != CellType())
        yield from (*(value.__defaults__ or ()), *(value.__kwdefaults__ or {}).values())
        named = (value.__globals__[name] for name in _names(value.__code__) if name in value.__globals__)
        for other in named:
            if not isinstance(other, FunctionType) or other.__globals__ is value.__globals__:
                yield other
    elif isinstance(value, (list, tuple)):
        yield from value
    elif isinstance(value, dict):
        yield from value.values()
    elif callable(value) and not isinstance(value, (type, BuiltinFunctionType)) and hasattr(value, "__dict__"):
        yield from vars(value).values()
        yield vars(type(value)).get("__call__")


def _names(code: CodeType) -> Iterator[str]:
    """Iterate over the names that code looks up, also in functions that it defines."""
    yield from code.co_names
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _names(constant)
