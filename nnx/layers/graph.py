"""The graph of modules: what a module holds, in which order, under which paths, and how it is copied."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, ClassVar

from nnx.backend import is_array
from nnx.errors import ArgumentError, DTypeError
from nnx.layers.parameter import Buffer, Parameter
from nnx.types import Array

Watcher = Callable[[Any, Any], None]
"""Is told of a module, a copy, and what its ``forward`` returned."""


class Node:
    """A module as a node of the graph; :class:`nnx.Module` adds what it computes.

    Attributes that are nodes, or lists, tuples and dicts of them, are children; those assigned as
    :class:`Parameter` are trained; those that are a :class:`Buffer` change and are saved; all else is constant.
    """

    _numbered: ClassVar[str] = ""  # the attribute whose children are named by their place alone, as in Sequential
    _parameter_names: tuple[str, ...] = ()
    _child_names: tuple[str, ...] = ()  # attributes in which nodes may be: a node or a container
    _is_copy: bool = False  # made by a transform or an inspection: calls go straight to forward
    _watcher: Watcher | None = None

    def named_children(self) -> Iterator[tuple[str, Any]]:
        """Iterate over the modules directly below this one, with their names."""
        found: list[tuple[str, Any]] = []
        members = vars(self)
        if self._numbered:
            _collect("", members.get(self._numbered), found)
        for name in self._child_names:
            if name != self._numbered:
                _collect(name, members.get(name), found)
        return iter(found)

    def named_modules(self) -> Iterator[tuple[str, Any]]:
        """Iterate over this module, of path ``""``, and all below it; a shared one comes once, by its first path."""
        seen: set[int] = set()
        found: list[tuple[str, Any]] = []
        pending: list[tuple[str, Any]] = [("", self)]
        while pending:
            path, node = place = pending.pop()
            if id(node) in seen:
                continue
            seen.add(id(node))
            found.append(place)
            if node._child_names:
                below = node.named_children()
                pending += reversed([(f"{path}.{name}", child) for name, child in below] if path else [*below])
        return iter(found)

    def parameters(self) -> dict[str, Array]:
        """Return the parameters by dotted path, as in ``{"0.weight": array, ...}``."""
        return {path: vars(module)[name] for path, module, name in _parameter_places(self.named_modules())}

    def replace_parameters(self, values: Mapping[str, Array]) -> None:
        """Put new arrays in place of parameters, by dotted path; nothing is checked or converted."""
        for path, module, name in _parameter_places(self.named_modules()):
            if path in values:
                vars(module)[name] = values[path]

    def update_parameters(self, rule: Callable[[Array, Array], Array], gradients: Mapping[str, Array]) -> None:
        """Put ``rule(array, gradient)`` in place of every parameter, once all of them are computed.

        Raises
        ------
        ArgumentError
            If ``gradients`` has not one for each parameter, by dotted path.
        """
        places = _parameter_places(self.named_modules())
        paths = [path for path, _, _ in places]
        if gradients.keys() != set(paths):
            missing, extra = sorted(set(paths) - gradients.keys()), sorted(gradients.keys() - set(paths))
            raise ArgumentError(f"expected a gradient for each parameter; missing {missing}, not in the model {extra}")
        new = [rule(vars(module)[name], gradients[path]) for path, module, name in places]
        for (_, module, name), value in zip(places, new, strict=True):
            vars(module)[name] = value

    def buffers(self) -> dict[str, Buffer]:
        """Return the buffers by dotted path."""
        return {
            f"{path}.{name}" if path else name: value
            for path, module in self.named_modules()
            for name, value in vars(module).items()
            if isinstance(value, Buffer)
        }

    def copies(self, **marks: Any) -> dict[int, Any]:
        """Copy the graph of modules, and return the copy of each by its id; arrays and buffers stay shared.

        ``marks`` are attributes that the copies get.
        """
        return _copies([module for _, module in self.named_modules()], {"_kept": None, **marks})

    def __tree_split__(self) -> tuple[dict[str, Array], Callable[[Sequence[Array]], Node]]:
        modules = list(self.named_modules())
        places = _parameter_places(modules)

        def rebuild(leaves: Sequence[Array]) -> Node:
            copies = _copies([module for _, module in modules], {"_is_copy": True, "_kept": None})
            for (_, module, name), leaf in zip(places, leaves, strict=True):
                vars(copies[id(module)])[name] = leaf
            return copies[id(self)]

        leaves = {path: vars(module)[name] for path, module, name in places}
        if len(leaves) < len(places):
            raise ArgumentError(f"{type(self).__name__} has two parameters of one path; rename a key or an attribute")
        return leaves, rebuild

    def __tree_boxes__(self) -> list[Buffer]:
        return list(self.buffers().values())

    def __setattr__(self, name: str, value: Any) -> None:
        if isinstance(value, Parameter):
            if name not in self._parameter_names:
                vars(self)["_parameter_names"] = (*self._parameter_names, name)
            value = value.value
        elif name in self._parameter_names and not is_array(value):
            if value is not None:
                raise DTypeError(
                    f"expected an array in place of the parameter {name!r}, got {type(value).__name__}; "
                    "make it one, or remove the parameter with del"
                )
            self._forget(name)
        if isinstance(value, (Node, list, tuple, dict)) and name not in self._child_names:
            _refuse_boxes(name, value)
            vars(self)["_child_names"] = (*self._child_names, name)
        vars(self)[name] = value

    def __delattr__(self, name: str) -> None:
        self._forget(name)
        object.__delattr__(self, name)

    def _forget(self, name: str) -> None:
        vars(self)["_parameter_names"] = tuple(n for n in self._parameter_names if n != name)
        vars(self)["_child_names"] = tuple(n for n in self._child_names if n != name)


def _parameter_places(modules: Iterable[tuple[str, Any]]) -> list[tuple[str, Any, str]]:
    """Return where the parameters are: dotted path, module and name of the attribute."""
    return [
        (f"{path}.{name}" if path else name, module, name)
        for path, module in modules
        for name in module._parameter_names
    ]


def _refuse_boxes(name: str, value: Any) -> None:
    for item in value.values() if isinstance(value, dict) else value if isinstance(value, (list, tuple)) else ():
        if isinstance(item, (Parameter, Buffer)):
            raise ArgumentError(
                f"expected a {type(item).__name__} as an attribute of its own, got one inside {name!r}, where it would "
                "be neither trained nor saved; put it into a module, and the modules into the list or dict"
            )


def _collect(name: str, value: Any, found: list[tuple[str, Any]]) -> None:
    """Append the nodes in an attribute to what was found."""
    if isinstance(value, Node):
        found.append((name, value))
    elif isinstance(value, (list, tuple, dict)):
        items = value.items() if isinstance(value, dict) else enumerate(value)
        for key, item in items:
            path = f"{name}.{key}" if name else str(key)
            if isinstance(item, Node):  # most are, and need no call
                found.append((path, item))
            else:
                _collect(path, item, found)


def _copies(modules: Sequence[Any], marks: dict[str, Any]) -> dict[int, Any]:
    copies: dict[int, Any] = {}

    def copy_of(module: Any) -> Any:
        found = copies.get(id(module))
        if found is None:
            found = copies[id(module)] = object.__new__(type(module))
            object.__setattr__(found, "__dict__", vars(module) | marks)  # no attribute is looked at one by one
            pending.append(module)
        return found

    pending: list[Any] = []
    for module in modules:
        copy_of(module)
    while pending:  # which a module may join that named_children does not name
        module = pending.pop()
        if module._child_names:
            members = vars(copies[id(module)])
            for name in module._child_names:
                if name in members:
                    members[name] = _with_copies(members[name], copy_of)
    return copies


def _with_copies(value: Any, copy_of: Callable[[Any], Any]) -> Any:
    if isinstance(value, Node):
        return copy_of(value)
    if isinstance(value, dict):
        return {key: _with_copies(item, copy_of) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        items = [_with_copies(item, copy_of) for item in value]
        return type(value)(*items) if hasattr(value, "_fields") else type(value)(items)
    return value
