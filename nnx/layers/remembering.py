"""Remember the arguments of a constructor, and say what they would be for the object as it is now."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Iterator, Mapping
from numbers import Real
from operator import is_
from typing import Any, ClassVar, NamedTuple

from nnx.backend import dtype_name, is_array, is_floating
from nnx.errors import UsageError
from nnx.layers.containers import WatchedDict, WatchedList
from nnx.layers.hidden import PLAIN
from nnx.layers.node import Node
from nnx.layers.parameter import Buffer

_MISSING = object()
_ANY = "any"  # stands for an attribute that may change: an array, or one that does not exist


class Unheld(NamedTuple):
    """Stands for an argument that no configuration can represent, so that the argument itself is not kept alive."""

    text: str


class _Argument(NamedTuple):
    """An argument: the given value, and the attribute of the same name at the end of the constructor.

    If ``is_attribute``, both were the same, and from then on the attribute counts as the argument, even if it changes.
    """

    value: Any
    attribute: Any
    is_attribute: bool


class _Made(NamedTuple):
    """A module that a constructor itself made, and the plain values of its arguments then."""

    path: str
    kind: str
    settings: dict[str, Any]

    def is_still(self, now: _Made) -> bool:
        """Return whether it is as it was made, but for what a size that was settled changes: None, or an array."""
        settings = ((old, now.settings.get(name, old)) for name, old in self.settings.items())
        return self[:2] == now[:2] and all(old is None or old is new or old == new for old, new in settings)


class _Memory(NamedTuple):
    arguments: dict[str, _Argument]
    modules: tuple[_Made, ...]


class Configured:
    """A class whose objects remember the arguments of their constructor, for :func:`arguments`."""

    __slots__ = ()

    _not_configuration: ClassVar[frozenset[str]] = frozenset({"rng"})

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        if "__init__" in vars(cls):
            cls.__init__ = _remembering(cls.__init__)  # type: ignore[method-assign]

    def _current_arguments(self) -> dict[str, Any]:
        """Return the current values of arguments that may change, if the attributes of their names do not have them."""
        return {}


def arguments(configured: Configured, *, strict: bool = True) -> dict[str, Any]:
    """Return the arguments that would build an object as it is now, by name.

    Parameters
    ----------
    configured : Configured
    strict : bool
        Whether to raise if they are unknown; otherwise the arguments that were given are returned.

    Raises
    ------
    UsageError
        If attributes or modules are no longer what the constructor made from its arguments.
    """
    memory: _Memory | None = vars(configured).get("_arguments")
    if memory is None:
        return _of_attributes(configured, strict)
    known = configured._current_arguments()
    found = {}
    for name, argument in memory.arguments.items():
        now = vars(configured).get(name, _MISSING)
        if name in known:
            found[name] = known[name]
        elif argument.is_attribute and now is not _MISSING:
            found[name] = now.value if isinstance(now, Buffer) else now
        elif name == "dtype" and (first := next(_floats(configured), None)) is not None:
            found[name] = dtype_name(first.dtype)  # after model.to
        elif strict and not is_array(now) and not _is_alike(_shape_of(now), argument.attribute):
            raise UsageError(
                f"{type(configured).__name__}: {name!r} was changed after construction, and the constructor had made "
                f"it of the argument {name!r}, so that the argument that would give it now is not known"
            )
        else:
            found[name] = argument.value
    if strict:
        modules = tuple(_modules(configured, memory.arguments))
        if len(modules) != len(memory.modules) or not all(map(_Made.is_still, memory.modules, modules)):
            raise _changed(configured)
    return found


def parameters_of(kind: type) -> Mapping[str, inspect.Parameter]:
    """Return the parameters of a constructor by name, without ``self``."""
    found = dict(inspect.signature(kind.__init__).parameters)  # type: ignore[misc]
    found.pop(next(iter(found), ""), None)
    return found


def _remembering(init: Callable[..., None]) -> Callable[..., None]:
    @functools.wraps(init)
    def remembering(self: Any, *args: Any, **kwargs: Any) -> None:
        init(self, *args, **kwargs)
        if type(self).__init__ is remembering:  # otherwise a subclass's constructor called it, and remembers its own
            _remember(self, args, kwargs)

    return remembering


def _remember(configured: Configured, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
    bound = inspect.signature(type(configured).__init__).bind(configured, *args, **kwargs)
    bound.apply_defaults()
    found = {}
    for name, value in list(bound.arguments.items())[1:]:
        if name not in configured._not_configuration:
            now = vars(configured).get(name, _MISSING)
            is_one = _is_one(now, value)
            kept = None if is_one else _as_data(dtype_name(value) if name == "dtype" and value is not None else value)
            found[name] = _Argument(kept, _ANY if is_one else _shape_of(now), is_one)
    vars(configured)["_arguments"] = _Memory(found, tuple(_modules(configured, found)))


def _of_attributes(configured: Configured, strict: bool) -> dict[str, Any]:
    """Return the arguments of a constructor that was not wrapped, as in a dataclass, from attributes of their names."""
    names = [name for name in parameters_of(type(configured)) if name not in configured._not_configuration]
    missing = [name for name in names if name not in vars(configured)]
    if missing and strict:
        raise UsageError(f"{type(configured).__name__}: no attributes hold the arguments {missing} of its constructor")
    if strict and set(getattr(configured, "_child_names", ())) - set(names):
        raise _changed(configured)
    return {name: vars(configured)[name] for name in names if name not in missing}


def _changed(configured: Configured) -> UsageError:
    return UsageError(
        f"{type(configured).__name__}: modules were added, removed, replaced or changed after construction, which its "
        "arguments do not tell; make them in the constructor, or hand them to it"
    )


def _is_one(attribute: Any, argument: Any) -> bool:
    """Return whether an attribute is the argument itself, or the container that a module made from it."""
    if attribute is argument:
        return True
    if isinstance(attribute, Buffer):
        return attribute.value is argument
    if isinstance(attribute, WatchedList) and hasattr(argument, "__next__"):  # an iterator, used up by the list
        return True
    if isinstance(attribute, (WatchedList, tuple)) and isinstance(argument, (list, tuple)):
        return len(attribute) == len(argument) and all(map(_is_one, attribute, argument))
    if isinstance(attribute, WatchedDict) and isinstance(argument, dict):
        return list(attribute) == list(argument) and all(map(_is_one, attribute.values(), argument.values()))
    return type(attribute) in PLAIN and type(attribute) is type(argument) and attribute == argument


def _as_data(value: Any) -> Any:
    """Return an argument with placeholders for whatever a configuration cannot represent: no array is kept alive."""
    if type(value) in (list, tuple):
        return type(value)(map(_as_data, value))
    if type(value) is dict:
        return {key: _as_data(item) for key, item in value.items()}
    is_made = isinstance(value, Configured) or hasattr(type(value), "__dataclass_fields__")
    if is_made or type(value) in PLAIN or isinstance(value, Real):
        return value
    return Unheld("an array" if is_array(value) else f"a {type(value).__name__}")


def _shape_of(attribute: Any) -> Any:
    """Return a snapshot of what an attribute holds, with tuples for containers, to compare with later ones."""
    if attribute is _MISSING or isinstance(attribute, Buffer) or is_array(attribute):
        return _ANY
    if isinstance(attribute, (list, tuple)):
        return tuple(map(_shape_of, attribute))
    if isinstance(attribute, dict):
        return (*attribute, *map(_shape_of, attribute.values()))
    return attribute


def _is_alike(one: Any, other: Any) -> bool:
    if type(one) is tuple and type(other) is tuple:
        return len(one) == len(other) and all(map(_is_alike, one, other))
    return is_(one, other) or (type(one) in PLAIN and type(one) is type(other) and one == other)


def _modules(configured: Configured, arguments: Mapping[str, _Argument]) -> Iterator[_Made]:
    """Iterate over the modules below that did not come with an argument."""
    if isinstance(configured, Node):
        seen: set[int] = set()
        current = configured._current_arguments()
        for name in configured._child_names:
            if name not in current and (name not in arguments or not arguments[name].is_attribute):
                for path, module in _below(name, vars(configured)[name], seen):
                    yield _Made(path, type(module).__qualname__, dict(_settings(module)))


def _floats(configured: Configured) -> Iterator[Any]:
    """Iterate over the parameters of a module and of those below it, then over their floating-point buffers."""
    modules = [module for _, module in _below("", configured, set())]
    for module in modules:
        yield from (vars(module)[name] for name in module._parameter_names)
    for module in modules:
        values = (value.value for value in vars(module).values() if isinstance(value, Buffer))
        yield from (value for value in values if is_array(value) and is_floating(value))


def _below(path: str, value: Any, seen: set[int]) -> Iterator[tuple[str, Node]]:
    """Iterate over modules and their paths: a value, if it is one, and all below it, each once."""
    if isinstance(value, Node):
        if id(value) not in seen:
            seen.add(id(value))
            yield path, value
            for name in value._child_names:
                yield from _below(f"{path}.{name}", vars(value)[name], seen)
    elif isinstance(value, (list, tuple, dict)):
        for key, item in value.items() if isinstance(value, dict) else enumerate(value):
            yield from _below(f"{path}.{key}", item, seen)


def _settings(module: Node) -> Iterator[tuple[str, Any]]:
    """Iterate over the arguments of a module that are attributes and plain; the dtype is that of the parameters."""
    memory: _Memory | None = vars(module).get("_arguments")
    for name, argument in memory.arguments.items() if memory else ():
        value = vars(module).get(name)
        parts = value if isinstance(value, (tuple, list)) else (value,)
        if argument.is_attribute and name != "dtype" and all(type(part) in PLAIN for part in parts):
            yield name, tuple(value) if isinstance(value, list) else value
