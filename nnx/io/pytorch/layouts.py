"""How PyTorch names and stores the values of each layer."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

from nnx import layers
from nnx.layers import Buffer, Module
from nnx.layers.drawing import Drawing


class Stored(NamedTuple):
    """One entry of PyTorch's ``state_dict``, and the values of a module that it consists of.

    Attributes
    ----------
    name : str
        PyTorch's name, below the path of the module.
    own : tuple of str
        The names of the module's values. They follow each other along the first axis of PyTorch's.
    transposed : bool
        Whether each of them is the transpose of its part.
    """

    name: str
    own: tuple[str, ...]
    transposed: bool = False


class Source(NamedTuple):
    """A value of the model by dotted path, and whether PyTorch stores its transpose."""

    path: str
    transposed: bool


class Entry(NamedTuple):
    """A name of PyTorch's ``state_dict``, and the values that follow each other along the first axis of its array.

    ``is_alias`` says that they belong to a shared module or a tie, so that PyTorch has them under another name too.
    """

    name: str
    sources: tuple[Source, ...]
    is_alias: bool


def _linear(layer: Any) -> list[Stored]:
    return [Stored("weight", ("weight",), transposed=True), Stored("bias", ("bias",))]


def _nothing(layer: Any) -> list[Stored]:
    return []


LAYOUTS: Mapping[type[Module], Callable[[Any], list[Stored]]] = {
    layers.Linear: _linear,
    Drawing: _nothing,  # the counter of its random numbers
}
"""For each class whose values PyTorch names or stores in another way, all that PyTorch has of them."""

INSIDE: Mapping[type[Module], str] = {}
"""Classes around a module of this name, where PyTorch has one module: the values inside belong to the path outside."""


def entries(model: Module) -> Iterator[Entry]:
    """Yield the entries of PyTorch's ``state_dict`` for a model, also those that PyTorch saves a second time."""
    found = list(_all_paths(model, "", ""))
    own_path: dict[int, str] = {}
    first = [own_path.setdefault(id(module), path) == path for path, _, module in found]
    for (_, name, module), is_first in zip(found, first, strict=True):
        held = [*module._parameter_names, *(key for key, value in vars(module).items() if isinstance(value, Buffer))]
        layout = _entry_of(LAYOUTS, module)
        for stored in layout(module) if layout else [Stored(key, (key,)) for key in (*held, *module._ties)]:
            if all(key in held or key in module._ties for key in stored.own):
                sources = tuple(_source(module, key, stored.transposed, own_path) for key in stored.own)
                is_tied = any(key in module._ties for key in stored.own)
                yield Entry(joined(name, stored.name), sources, is_tied or not is_first)


def _source(module: Any, name: str, transposed: bool, paths: Mapping[int, str]) -> Source:
    while (tie := module._ties.get(name)) is not None:
        module, name, transposed = tie.owner, tie.name, transposed != tie.transpose
    return Source(joined(paths[id(module)], name), transposed)


def _all_paths(module: Any, path: str, name: str) -> Iterator[tuple[str, str, Any]]:
    """Yield a module and all below it with their paths in nnx and in PyTorch, a shared one at each of its places."""
    yield path, name, module
    hidden = _entry_of(INSIDE, module)
    for child, below in module.named_children():
        yield from _all_paths(below, joined(path, child), name if child == hidden else joined(name, child))


def _entry_of(table: Mapping[type[Module], Any], module: Module) -> Any:
    return next((table[kind] for kind in type(module).__mro__ if kind in table), None)


def joined(path: str, name: str) -> str:
    """Return a name below a path, either of which may be empty."""
    return f"{path}.{name}" if path and name else path or name
