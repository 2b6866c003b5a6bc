"""Find modules and parameters that are hidden in other objects, where they would be neither trained nor saved."""

import types
import weakref
from collections import UserDict, UserList, deque
from collections.abc import ItemsView, Iterable, KeysView, ValuesView
from functools import partial
from typing import Any

from nnx.errors import ArgumentError
from nnx.layers.node import Node
from nnx.layers.parameter import Buffer, Parameter
from nnx.layers.ties import Tied

# Weak references are the way to refer to a module that is not a child, such as a parent.
_WEAK: tuple[type, ...] = (weakref.ReferenceType, weakref.ProxyType, weakref.CallableProxyType)
PLAIN: frozenset[type] = frozenset({type(None), bool, int, float, complex, str, bytes, range, slice, type, *_WEAK})
MARKED = (Parameter, Buffer, Tied)
_KEYED = (dict, UserDict, types.MappingProxyType)
_VIEWS = (KeysView, ValuesView, ItemsView)  # views of a dict, perhaps one of the module itself
_COLLECTIONS = (list, tuple, deque, set, frozenset, UserList, *_VIEWS)
_CALLS = (partial, types.MethodType, types.FunctionType)


def refuse_hidden(value: Any, where: str) -> None:
    """Raise ArgumentError if a value holds a module, a parameter or a buffer where it would not be found.

    The search covers Python's containers, arrays of objects, what a partial, a method or a closure holds, and the
    attributes of other objects, down to a few levels.
    """
    if type(value) in PLAIN:
        return
    found = search(_contents(value, True), 3)
    if found is not None:
        kind = type(value).__name__
        raise ArgumentError(
            f"{where!r}: found {named(found)} inside {'an' if kind[0] in 'aeiouAEIOU' else 'a'} {kind}, where it "
            "would be neither trained nor saved; make it an attribute of its own, or keep it in a list or dict"
        )


def refuse_on_class(kind: type) -> None:
    """Raise ArgumentError if a class attribute holds a module, parameter or buffer, or there are slots, which may."""
    if vars(kind).get("__slots__"):
        raise ArgumentError(
            f"the class {kind.__name__}: expected no __slots__, in which modules and parameters would be neither "
            "trained nor saved; leave them out, also as an option of dataclass"
        )
    for name, value in vars(kind).items():
        found = search([value] if isinstance(value, (Node, *MARKED, *_COLLECTIONS, *_KEYED)) else (), 2)
        if found is not None:
            raise ArgumentError(
                f"{name!r} of the class {kind.__name__}: expected modules and parameters to be made in __init__, got "
                f"{named(found)}, which would be neither trained nor saved"
            )


def named(found: Any) -> str:
    """Return the name of a found object for an error."""
    kind = type(found).__name__
    return f"{'an' if kind[0] in 'AEIOU' else 'a'} {kind}"


def search(items: Iterable[Any], depth: int) -> Any:
    """Return the first module, parameter or buffer among some items, or inside them down to a depth."""
    items = list(items)
    if PLAIN.issuperset(map(type, items)):
        return None
    for item in items:
        if isinstance(item, (Node, *MARKED)):
            return item
        if depth:
            found = search(_contents(item, False), depth - 1)
            if found is not None:
                return found
    return None


def _contents(value: Any, with_attributes: bool) -> Iterable[Any]:
    """Return what a value holds, as far as that can be found out without calling its code."""
    if isinstance(value, _KEYED):
        return (*value.keys(), *value.values())
    if isinstance(value, _COLLECTIONS):
        return value
    if isinstance(value, _CALLS):
        return _held_by_call(value)
    if getattr(getattr(value, "dtype", None), "kind", None) == "O" and hasattr(value, "reshape"):  # an array of objects
        return value.reshape(-1).tolist()
    if not with_attributes or isinstance(value, (type, types.ModuleType)) or hasattr(value, "__array_namespace__"):
        return ()
    slots = [name for kind in type(value).__mro__ for name in _slots(kind)]
    return (*getattr(value, "__dict__", {}).values(), *(getattr(value, name, None) for name in slots))


def _slots(kind: type) -> Iterable[str]:
    if kind.__module__ == "builtins":
        return ()
    names = vars(kind).get("__slots__", ())
    return [names] if isinstance(names, str) else [name for name in names if not name.startswith("__")]


def _held_by_call(function: Any) -> Iterable[Any]:
    if isinstance(function, partial):
        return (function.func, *function.args, *function.keywords.values())
    if isinstance(function, types.MethodType):
        return (function.__self__,)
    cells = [cell.cell_contents for cell in function.__closure__ or () if _is_filled(cell)]
    return (*cells, *(function.__defaults__ or ()), *(function.__kwdefaults__ or {}).values())


def _is_filled(cell: Any) -> bool:
    try:
        return cell.cell_contents is not cell
    except ValueError:
        return False
