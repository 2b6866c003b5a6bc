"""Modules that are lists or dicts of modules."""

from collections.abc import ItemsView, Iterable, Iterator, KeysView, Mapping, ValuesView
from typing import Any, Self, overload

from nnx.errors import ArgumentError
from nnx.layers.containers import WatchedDict, WatchedList, locked
from nnx.layers.module import Module
from nnx.layers.node import set_plan
from nnx.layers.remembering import parameters_of


class ListOfModules(Module):
    """The base of modules that are a list: ``Sequential``, ``ModuleList`` and ``Parallel``.

    A subclass names in ``_numbered`` the attribute with the list; the paths of the modules are ``"0"``, ``"1"``, ...
    """

    def append(self, module: Module) -> Self:
        """Add a module at the end, and return this one."""
        return self.insert(len(self), module)

    def insert(self, index: int, module: Module) -> Self:
        """Add a module before the one at an index, and return this one."""
        self._list().insert(index, expect_module(module, index))
        return self

    def extend(self, modules: Iterable[Module]) -> Self:
        """Add modules at the end, and return this one."""
        self[len(self) :] = modules
        return self

    def __len__(self) -> int:
        return len(self._list())

    def __iter__(self) -> Iterator[Module]:
        return iter(self._list())

    @overload
    def __getitem__(self, index: int) -> Module: ...

    @overload
    def __getitem__(self, index: slice) -> Self: ...

    def __getitem__(self, index: Any) -> Any:
        """Return one module, or for a slice a model of those modules, which it shares with this one."""
        found = self._list()[index]
        return self._like(found) if isinstance(index, slice) else found

    def __setitem__(self, index: Any, value: Any) -> None:
        self._list()[index] = expect_modules(value) if isinstance(index, slice) else expect_module(value, index)

    def __delitem__(self, index: Any) -> None:
        del self._list()[index]

    def __add__(self, other: Iterable[Module]) -> Self:
        """Return a model of these modules followed by others, all of them shared."""
        return self._like([*self, *expect_modules(other)])

    def _list(self) -> WatchedList:
        found: WatchedList = vars(self)[self._numbered]
        return found

    def _like(self, modules: list[Module]) -> Self:
        """Return a module with the options of this one and other members.

        No constructor runs and nothing is assigned, which would invalidate all plans: ``forward`` may take slices.
        """
        kind = next(kind for kind in type(self).__mro__ if "_numbered" in vars(kind))  # of a subclass, its base
        made: Any = object.__new__(kind)
        set_plan(made, None)
        kept = {"training", "_is_copy", *parameters_of(kind)} & vars(self).keys()
        items = WatchedList(modules, self._numbered)
        vars(made).update(
            {name: vars(self)[name] for name in kept},
            **{self._numbered: locked(items) if self._is_copy else items, "_child_names": (self._numbered,)},
        )
        return made


class ModuleList(ListOfModules):
    """A list of modules that is a module itself; the one that holds it says in its ``forward`` how they are called.

    A plain list does as well: ``self.blocks = [...]`` gives its modules the same paths. This one can be handed on, such
    as to :func:`nnx.freeze`, and a slice of it is a ``ModuleList``.

    Parameters
    ----------
    modules : iterable of Module
        Their paths are ``"0"``, ``"1"``, ...

    Raises
    ------
    ArgumentError
        If something in it is not a module.

    Examples
    --------
    >>> import nnx
    >>> blocks = nnx.ModuleList([nnx.ReLU()]).append(nnx.Softmax())
    >>> len(blocks), blocks[-1], list(blocks.parameters())
    (2, Softmax(), [])
    """

    _numbered = "modules"

    def __init__(self, modules: Iterable[Module] = ()) -> None:
        self.modules = expect_modules(modules)


class ModuleDict(Module):
    """A dict of modules that is a module itself; the one that holds it says in its ``forward`` how they are called.

    Parameters
    ----------
    modules : mapping from str to Module
        The keys are their paths.

    Raises
    ------
    ArgumentError
        If a value is not a module, or a key is not a string without dots.

    Examples
    --------
    >>> import nnx
    >>> heads = nnx.ModuleDict({"digit": nnx.Linear(8, 10, rng=0)})
    >>> heads["parity"] = nnx.Linear(8, 2, bias=False, rng=0)
    >>> list(heads.parameters())
    ['digit.weight', 'digit.bias', 'parity.weight']
    """

    _numbered = "modules"

    def __init__(self, modules: Mapping[str, Module] | None = None) -> None:
        self.modules = {_expect_key(key): expect_module(module, key) for key, module in dict(modules or {}).items()}

    def keys(self) -> KeysView[str]:
        """Return the keys."""
        return self._dict().keys()

    def values(self) -> ValuesView[Module]:
        """Return the modules."""
        return self._dict().values()

    def items(self) -> ItemsView[str, Module]:
        """Return the keys with their modules."""
        return self._dict().items()

    def __len__(self) -> int:
        return len(self._dict())

    def __iter__(self) -> Iterator[str]:
        return iter(self._dict())

    def __contains__(self, key: object) -> bool:
        return key in self._dict()

    def __getitem__(self, key: str) -> Module:
        found: Module = self._dict()[key]
        return found

    def __setitem__(self, key: str, module: Module) -> None:
        self._dict()[_expect_key(key)] = expect_module(module, key)

    def __delitem__(self, key: str) -> None:
        del self._dict()[key]

    def _dict(self) -> WatchedDict:
        found: WatchedDict = vars(self)[self._numbered]
        return found


def expect_modules(values: Any) -> list[Module]:
    """Return modules as a list; raises ArgumentError if something else is among them."""
    if not isinstance(values, Iterable):
        raise ArgumentError(f"expected a list of modules, got one {type(values).__name__}; write [module]")
    return [expect_module(value, i) for i, value in enumerate(values)]


def expect_module(value: Any, where: Any) -> Module:
    """Return a module; raises ArgumentError if it is something else."""
    if not isinstance(value, Module):
        raise ArgumentError(f"expected layer {where} to be a Module, got {value!r}; write a class with a forward")
    return value


def _expect_key(key: Any) -> str:
    if not isinstance(key, str) or not key or "." in key:
        raise ArgumentError(f"expected a key that can be part of a path, a string without dots, got {key!r}")
    return key
