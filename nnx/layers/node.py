"""What every file of this folder knows of a module: its internal attributes, the stamp of changes, running models."""

import threading
from collections.abc import Callable
from typing import Any, ClassVar, Self

from nnx.errors import UsageError


class Node:
    """The internal attributes of a module, which are in its ``__dict__`` and never children; its plan is in a slot."""

    __slots__ = ("__dict__", "__weakref__", "_plan")

    _plan: Any
    is_settled: bool = True  # False in a layer whose sizes are taken from the first input
    _numbered: ClassVar[str] = ""  # the attribute whose children are named by their index only, as in Sequential
    _parameter_names: tuple[str, ...] = ()
    _frozen: frozenset[str] = frozenset()  # those parameters that transforms leave alone; replaced, never mutated
    _freezes: ClassVar[bool] = False  # whether the constructor freezes parameters
    _child_names: tuple[str, ...] = ()  # attributes that are, or may hold, modules
    _ties: dict[str, Any] = {}  # noqa: RUF012  names that read a parameter of another module; replaced, never mutated
    _is_copy: bool = False  # made by a transform or an inspection: calls go straight to forward
    _watcher: Callable[..., Any] | None = None  # of a copy: runs its forward instead, _watcher(copy, args, kwargs)
    _kept: Any = None
    _gradients: dict[str, Any] | None = None

    def __new__(cls, *args: Any, **kwargs: Any) -> Self:
        """Make a module; done here and not in ``__init__``, so that subclasses need not call ``super().__init__()``."""
        if (args or kwargs) and cls.__init__ is Node.__init__:
            raise TypeError(f"{cls.__name__} takes no arguments, got {', '.join([*map(repr, args), *kwargs])}")
        self = object.__new__(cls)
        set_plan(self, None)
        return self

    def __init__(self) -> None:
        """Take no arguments; a subclass need not call it."""

    def _members(self) -> frozenset[int]:
        """Return the ids of this module, of all below it, and of the lists and dicts that they hold."""
        raise NotImplementedError


set_plan = Node._plan.__set__


class Stamp:
    """Three marks: ``structure`` is replaced when any module gains or loses a member, ``values`` also on assignments.

    ``constants`` is replaced when an attribute is assigned that is none of these, such as the mode or a probability.

    A mark is a new object that is compared by identity, not a counter. So threads need no lock: a mark that was
    replaced never comes back, while two threads could increment a counter to the same number.
    """

    __slots__ = ("constants", "structure", "values")

    def __init__(self) -> None:
        self.structure = self.values = self.constants = object()


STAMP = Stamp()


def structure_changed() -> None:
    """Invalidate all plans that exist."""
    STAMP.structure = STAMP.values = object()


class _Running(threading.local):
    models: list[Any] | None = None
    """The innermost model whose ``forward`` runs in this thread: ``[model, the enclosing entry, members of model]``."""

    buffers: list[tuple[Any, Any]] | None = None
    """While open sizes are settled, the buffers to set back at the end, with their values."""


RUNNING = _Running()


def is_running(member: Any) -> bool:
    """Return whether a module, or a container of modules, belongs to a model whose ``forward`` runs in this thread."""
    entry = RUNNING.models
    while entry is not None:
        model, outer, members = entry
        if members is None:  # found when first needed; modules that forward makes later are not members
            members = entry[2] = model._members()
        if id(member) in members:
            return True
        entry = outer
    return False


def refused_write(what: str) -> UsageError:
    """Return the error for a change of a model by its own ``forward``, or of a copy that a transform made."""
    return UsageError(
        f"{what} inside forward, or of the copy of a model that a transform calls: under a transform the change would "
        "vanish; keep what forward changes in a Buffer, as in self.count = nnx.Buffer(0), and write self.count.value"
    )
