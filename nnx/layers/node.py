"""What is known of a module everywhere in this folder: its marks, the stamp of changes, and the models that run."""

import threading
from collections.abc import Callable
from typing import Any, ClassVar, Self

from nnx.errors import UsageError


class Node:
    """The marks of a module; they stand in its ``__dict__`` and are never children. Its plan stands beside that."""

    __slots__ = ("__dict__", "__weakref__", "_plan")

    _plan: Any
    is_settled: bool = True  # a layer whose sizes the first input settles sets it to False
    _numbered: ClassVar[str] = ""  # the attribute whose children are named by their index alone, as in Sequential
    _parameter_names: tuple[str, ...] = ()
    _child_names: tuple[str, ...] = ()  # attributes in which nodes may be: a node or a container
    _ties: dict[str, Any] = {}  # noqa: RUF012  names that read a parameter of another module; replaced, never written
    _is_copy: bool = False  # made by a transform or an inspection: calls go straight to forward
    _watcher: Callable[[Any, Any], None] | None = None  # is told of a copy, and what its forward returned
    _kept: Any = None
    _gradients: dict[str, Any] | None = None

    def __new__(cls, *args: Any, **kwargs: Any) -> Self:
        """Make a module; what is done here needs no ``super().__init__()``."""
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
    """Two marks that change: ``structure`` with what a module holds, ``values`` with a parameter that is assigned too.

    A mark is an object of its own that is compared by identity, so that threads need no lock: what was once replaced
    never comes back.
    """

    __slots__ = ("structure", "values")

    def __init__(self) -> None:
        self.structure = self.values = object()


STAMP = Stamp()


def structure_changed() -> None:
    """Make every plan that was made before invalid."""
    STAMP.structure = STAMP.values = object()


class _Running(threading.local):
    models: list[Any] | None = None
    """The innermost model whose ``forward`` runs in this thread: ``[model, the outer one, likewise, its members]``."""


RUNNING = _Running()


def is_running(member: Any) -> bool:
    """Return whether a module, or a container of modules, belongs to a model whose ``forward`` runs in this thread."""
    entry = RUNNING.models
    while entry is not None:
        model, outer, members = entry
        if members is None:  # found once, at the first question: what forward makes afterwards is not a member
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
