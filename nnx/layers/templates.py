"""How the lists, dicts and tuples of a model are copied with it: templates, made once for each plan."""

from __future__ import annotations

from typing import Any, NamedTuple

from nnx.layers.containers import Watched, WatchedDict, WatchedList, followed, locked
from nnx.layers.hidden import PLAIN, refuse_hidden
from nnx.layers.node import Node


class Container(NamedTuple):
    """A template by which a container is copied."""

    kind: type
    keys: tuple[Any, ...]
    items: tuple[Any, ...]
    where: str
    is_list_of_modules: bool  # then the items are indices; else each is an index, a container or a constant


class Constant(NamedTuple):
    """A value that copies share as it is: a constant, or a locked list or dict of constants, which may be large."""

    value: Any


def template_of(
    value: Any, where: str, modules: list[Any], index: dict[int, int], containers: list[Watched]
) -> int | Container | Constant:
    """Return the template of an attribute: the index of a module, or how a container or constant is copied.

    A module that is not among ``modules`` yet is appended to them, and a watched list or dict to ``containers``.
    """
    if isinstance(value, Node):
        found = index.get(id(value))
        if found is None:
            found = index[id(value)] = len(modules)
            modules.append(value)
        return found
    if not isinstance(value, (Watched, tuple)):
        refuse_hidden(value, where)
        return Constant(value)
    if isinstance(value, Watched):
        containers.append(value)
    held: Any = value.values() if isinstance(value, dict) else value
    keys = tuple(value) if isinstance(value, dict) else ()
    if PLAIN.issuperset(map(type, held)):
        return Constant(locked(value) if isinstance(value, Watched) else value)
    items = tuple([template_of(item, f"{where}.{i}", modules, index, containers) for i, item in enumerate(held)])
    is_list_of_modules = type(value) is WatchedList and set(map(type, items)) == {int}
    return Container(type(value), keys, items, where, is_list_of_modules)


def filled(template: Any, made: list[Any], is_locked: bool) -> Any:
    """Return a copy of a container with the copies of the modules in it."""
    if type(template) is int:
        return made[template]
    if type(template) is Constant:
        is_shared = is_locked or not isinstance(template.value, Watched)
        return template.value if is_shared else followed(template.value, template.value.where)
    kind, keys, items, where, _ = template
    parts = [filled(item, made, is_locked) for item in items]
    if issubclass(kind, tuple):
        return kind(*parts) if hasattr(kind, "_fields") else kind(parts)
    copy = kind.__new__(kind)
    if kind is WatchedDict:
        dict.update(copy, zip(keys, parts, strict=True))
    else:
        list.extend(copy, parts)
    copy.where, copy.is_locked = where, is_locked
    return copy
