"""Lists and dicts that are attributes of a module: they notice when something is added or removed.

A module replaces a list or dict that is assigned to it by a watched copy. Changes of the copy invalidate the plans of
models, which list their parameters. Changes of the original would be lost, and are an error.
"""

import sys
from collections.abc import Callable, Iterable
from operator import is_
from typing import Any, SupportsIndex

from nnx.errors import ArgumentError, UsageError
from nnx.layers.hidden import MARKED, PLAIN, named, refuse_hidden, search
from nnx.layers.node import RUNNING, Node, is_running, refused_write, structure_changed

_MANY = 100  # with more constants, only the length of an original is compared, since that happens in every step


class Watched:
    """What both kinds share: their path in the module, whether they may be changed, and the original."""

    where: str = ""
    is_locked: bool = False  # true in the copies of a module that transforms call
    original: Any = None
    size: int = 0  # that of the original when it was assigned
    contents: tuple[Any, ...] | None = None  # likewise; None for many constants, such as a vocabulary

    def _open(self) -> None:
        if self.is_locked or (RUNNING.models is not None and is_running(self)):
            raise refused_write(f"cannot change {self.where!r}")

    def _take(self, item: Any, key: Any) -> Any:
        return item if isinstance(item, Node) else followed(item, f"{self.where}.{key}")

    def check_original(self) -> bool:
        """Return whether anyone else still holds the original, and so could change it; check that nobody has.

        Raises
        ------
        UsageError
            If the original was changed.
        """
        if self.original is None:
            return False
        if len(self.original) != self.size or (
            self.contents is not None and not all(map(is_, _contents(self.original), self.contents))
        ):
            kind = "dict" if isinstance(self, dict) else "list"
            raise UsageError(
                f"the {kind} that was assigned to {self.where!r} was changed afterwards; a module has a {kind} of its "
                f"own: change that one, module.{self.where}"
            )
        if _holders(self) > _ONLY_ITS_OWN:
            return True
        self.original = self.contents = None  # nobody can change it any more: no need to look again
        return False

    def __copy__(self) -> Any:
        return dict(self) if isinstance(self, dict) else list(self)  # type: ignore[call-overload]

    def __reduce_ex__(self, protocol: SupportsIndex) -> Any:
        if isinstance(self, dict):
            return type(self), (), {"where": self.where}, None, iter(self.items())
        return type(self), (), {"where": self.where}, iter(self)  # type: ignore[call-overload]


class WatchedList(Watched, list[Any]):
    """A list that is an attribute of a module."""

    def __init__(self, items: Iterable[Any] = (), where: str = "") -> None:
        self.where = where
        list.__init__(self, [self._take(item, i) for i, item in enumerate(items)])

    def append(self, item: Any) -> None:
        """See :meth:`list.append`."""
        self.insert(len(self), item)

    def extend(self, items: Iterable[Any]) -> None:
        """See :meth:`list.extend`."""
        self[len(self) :] = items

    def insert(self, index: SupportsIndex, item: Any) -> None:
        """See :meth:`list.insert`."""
        self._open()
        list.insert(self, index, self._take(item, len(self)))
        structure_changed()

    def __setitem__(self, index: Any, item: Any) -> None:
        self._open()
        if isinstance(index, slice):
            list.__setitem__(self, index, [self._take(one, i) for i, one in enumerate(item, index.start or 0)])
        else:
            list.__setitem__(self, index, self._take(item, index))
        structure_changed()

    def __iadd__(self, items: Iterable[Any]) -> "WatchedList":  # type: ignore[misc]
        self.extend(items)
        return self


class WatchedDict(Watched, dict[Any, Any]):
    """A dict that is an attribute of a module."""

    def __init__(self, items: Any = (), where: str = "") -> None:
        self.where = where
        dict.__init__(self, {self._key(key): self._take(item, key) for key, item in dict(items).items()})

    def _key(self, key: Any) -> Any:
        if type(key) not in PLAIN and (found := search((key,), 2)) is not None:
            raise ArgumentError(
                f"{self.where!r}: found {named(found)} as a key, where it would be neither trained nor saved; "
                "make it a value"
            )
        return key

    def __setitem__(self, key: Any, item: Any) -> None:
        self._open()
        dict.__setitem__(self, self._key(key), self._take(item, key))
        structure_changed()

    def setdefault(self, key: Any, default: Any = None) -> Any:
        """See :meth:`dict.setdefault`."""
        if key not in self:
            self[key] = default
        return self[key]

    def update(self, *items: Any, **named: Any) -> None:
        """See :meth:`dict.update`."""
        for key, item in dict(*items, **named).items():
            self[key] = item

    def __ior__(self, items: Any) -> "WatchedDict":  # type: ignore[misc]
        self.update(items)
        return self

    def copy(self) -> dict[Any, Any]:
        """Return a plain dict."""
        return dict(self)


def _removing(kind: type, name: str) -> Callable[..., Any]:
    method = getattr(kind, name)

    def change(self: Any, *args: Any, **options: Any) -> Any:
        self._open()
        try:
            return method(self, *args, **options)
        finally:
            structure_changed()

    change.__name__, change.__doc__ = name, method.__doc__
    return change


# Methods that add nothing need no look at items. Even a failing one, such as a sort, may have changed the order.
for _name in ("__delitem__", "__imul__", "clear", "pop", "remove", "reverse", "sort"):
    setattr(WatchedList, _name, _removing(list, _name))
for _name in ("__delitem__", "clear", "pop", "popitem"):
    setattr(WatchedDict, _name, _removing(dict, _name))


def followed(value: Any, where: str) -> Any:
    """Return the value of an attribute with its lists and dicts replaced by watched ones, at any depth.

    Raises
    ------
    ArgumentError
        If a container holds a parameter or buffer, or if a module is somewhere where it would not be found.
    """
    kind = type(value)
    if kind in PLAIN or isinstance(value, Node):
        return value
    if isinstance(value, MARKED):
        raise ArgumentError(
            f"expected a {kind.__name__} as an attribute of its own, got one inside {where.partition('.')[0]!r}, where "
            "it would be neither trained nor saved; put it into a module, and the modules into the list or dict"
        )
    if kind is list or kind is dict:
        made = (WatchedList if kind is list else WatchedDict)(value, where)
        made.original, made.size, contents = value, len(value), _contents(value)
        made.contents = contents if len(contents) < _MANY or not PLAIN.issuperset(map(type, contents)) else None
        return made
    if kind is WatchedList or kind is WatchedDict:
        return kind(value, where) if value.is_locked else value
    if isinstance(value, tuple):
        if PLAIN.issuperset(map(type, value)):  # such as a shape: no need to rebuild it
            return value
        items = [followed(item, f"{where}.{i}") for i, item in enumerate(value)]
        if all(map(is_, items, value)):
            return value
        return kind(*items) if hasattr(value, "_fields") else kind(items)
    refuse_hidden(value, where)
    return value


def locked(container: Any) -> Any:
    """Return a locked copy of a watched list or dict of constants, which all traced copies can share."""
    kind: Any = type(container)
    made = kind.__new__(kind)
    if kind is WatchedDict:
        dict.update(made, container)
    else:
        list.extend(made, container)
    made.where, made.is_locked = container.where, True
    return made


def may_hold_nodes(value: Any) -> bool:
    """Return whether an attribute is a node, or a container in which nodes are followed."""
    return isinstance(value, (Node, Watched)) or (isinstance(value, tuple) and any(map(may_hold_nodes, value)))


def _contents(original: Any) -> tuple[Any, ...]:
    return (*original, *original.values()) if isinstance(original, dict) else tuple(original)


def _holders(watched: Watched) -> int:
    return sys.getrefcount(watched.original)


def _count_of_one_holder() -> int:
    probe = WatchedList()
    probe.original = [object()]
    return _holders(probe)


_ONLY_ITS_OWN = _count_of_one_holder()  # measured by the same function: Python 3.14 counts fewer references than 3.13
