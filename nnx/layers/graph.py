"""The graph of modules: what a module holds, by name and by dotted path."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, Self

from nnx.backend import is_array
from nnx.errors import ArgumentError, DTypeError, ShapeError
from nnx.layers.containers import followed, may_hold_nodes
from nnx.layers.hidden import PLAIN, refuse_on_class
from nnx.layers.node import RUNNING, STAMP, Node, is_running, refused_write, set_plan, structure_changed
from nnx.layers.parameter import Buffer, Parameter
from nnx.layers.plan import Plan, children, plan_of, usable_plan
from nnx.layers.remembering import Configured
from nnx.layers.state import copy_with_state, misfit
from nnx.layers.ties import Tied, refuse_tie_to_itself
from nnx.types import Array

_RESERVED = frozenset(name for name in vars(Node) if name.startswith("_") and not name.startswith("__")) | {
    "_arguments"
}


class Graph(Configured, Node):
    """A module as a node of the graph; :class:`nnx.Module` adds what it computes.

    Attributes that are modules, or lists, tuples and dicts of them, are children; those assigned as a
    :class:`Parameter` are trained; those that are a :class:`Buffer` are changed by ``forward`` and saved; all others
    are constants.
    """

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        refuse_on_class(cls)

    def plan(self) -> Plan:
        """Return the plan of this model: its modules, parameters and buffers by path, found once and cached."""
        return plan_of(self)

    def named_children(self) -> Iterator[tuple[str, Any]]:
        """Iterate over the modules directly below this one, with their names."""
        members = vars(self)
        if self._numbered:
            yield from children("", members.get(self._numbered))
        for name in self._child_names:
            if name != self._numbered:
                yield from children(name, members.get(name))

    def named_modules(self) -> Iterator[tuple[str, Any]]:
        """Iterate over this module, under the path ``""``, and all below it; a shared one comes once."""
        plan = plan_of(self)
        return zip(plan.module_paths, (self, *plan.below), strict=False)  # the rest below has no path

    def parameters(self) -> dict[str, Array]:
        """Return the parameters by dotted path, as in ``{"0.weight": array, ...}``.

        Raises
        ------
        ArgumentError
            If two parameters have the same array as value; tie them with :class:`nnx.Tied`.
        UsageError
            If a parameter is tied to one outside this model, or a list was changed after a module had copied it.
        """
        plan = usable_plan(self)
        modules = (self, *plan.below)
        found = {}
        for path, i, name in plan.parameters:
            found[path] = modules[i].__dict__[name]
        return found

    def trainable_parameters(self) -> dict[str, Array]:
        """Return the parameters that are not frozen, by dotted path; see :func:`nnx.freeze`."""
        return self.__tree_split__()[0]

    def replace_parameters(self, values: Mapping[str, Array]) -> None:
        """Replace parameters by new arrays, by dotted path.

        Raises
        ------
        ArgumentError
            Lists every path that is not a parameter and every array of the wrong shape or dtype. Then nothing is
            replaced.
        """
        self._refuse_change("replace_parameters")
        plan = usable_plan(self)
        modules = (self, *plan.below)
        slots = {path: (modules[i].__dict__, name) for path, i, name in plan.parameters}
        problems = [f"{path}: not in the model" for path in values if path not in slots]
        for path in values.keys() & slots.keys():
            members, name = slots[path]
            if problem := misfit(path, members[name], values[path]):
                problems.append(problem)
        if problems:
            raise ArgumentError("the new parameters do not fit: " + "; ".join(sorted(problems)))
        for path, value in values.items():
            members, name = slots[path]
            members[name] = value
        STAMP.values = object()

    def buffers(self) -> dict[str, Buffer]:
        """Return the buffers by dotted path."""
        plan = plan_of(self)
        modules = (self, *plan.below)
        return {path: modules[i].__dict__[name] for path, i, name in plan.buffers}

    def with_state(self, state: Mapping[str, Any]) -> Self:
        """Return a copy of this model that has other parameters and buffers; the model itself does not change.

        So a step of training becomes a function of a state, which ``jax.jit`` compiles.

        Parameters
        ----------
        state : mapping from dotted path to array
            All that :meth:`nnx.Module.state_dict` returns. The copy takes the arrays of parameters as they are, of
            whatever library and device, and copies those of buffers. They may be traced, by nnx or by a library.

        Returns
        -------
        Module
            Shared modules and ties are those of the copy; other attributes are shared with this model.

        Raises
        ------
        CheckpointError
            Lists every name that is missing or extra, and every wrong shape or dtype.
        UsageError
            If a layer has open sizes; call :meth:`nnx.Module.settle` first.

        Notes
        -----
        Integers in buffers, such as counters, become arrays where ``jax.jit`` compiles; a seed, which is read on the
        host, stays that of this model there.

        Examples
        --------
        >>> import numpy as np, nnx
        >>> model = nnx.Linear(1, 1, bias=False)
        >>> twice = model.with_state({"weight": np.full((1, 1), 2.0, np.float32)})
        >>> twice(np.ones((1, 1), np.float32))
        array([[2.]], dtype=float32)
        """
        return copy_with_state(self, state)

    def copies(self, **marks: Any) -> dict[int, Any]:
        """Copy the graph of modules, and return the copies by the ids of the originals; arrays and buffers are shared.

        ``marks`` are attributes for all copies.
        """
        plan, made = plan_of(self), []  # type: ignore[var-annotated]
        plan.copy(self, marks={"_kept": None, **marks}, made=made)
        return dict(zip(map(id, (self, *plan.below)), made, strict=True))

    def __tree_split__(self) -> tuple[dict[str, Array], Callable[[Sequence[Array]], Node]]:
        plan = self._plan
        if plan is None or plan.values is not STAMP.values or plan.watched:  # the test in usable_plan, without a call
            plan = usable_plan(self)
        modules = (self, *plan.below)
        leaves = {}
        for path, i, name in plan.trained:
            leaves[path] = modules[i].__dict__[name]
        return leaves, partial(plan.copy, self)

    def __tree_arrays__(self) -> dict[str, Array]:
        return self.parameters()

    def __tree_release__(self) -> None:
        """Turn a copy that :meth:`__tree_split__` made into an independent model, with its own buffers."""
        plan = plan_of(self)
        for module in (self, *plan.below):
            members = vars(module)
            members.pop("_is_copy", None)
            for name in module._child_names:  # a locked list or dict may be shared with other copies
                if not isinstance(members[name], Node):
                    members[name] = followed(members[name], name)
        self.__tree_refill__(buffer.snapshot() for buffer in self.__tree_buffers__())
        set_plan(self, None)  # the old plan refers to the locked containers

    def __tree_buffers__(self) -> list[Buffer]:
        return list(self.buffers().values())

    def __tree_refill__(self, values: Iterator[Any]) -> None:
        """Give a copy buffers of its own, so that it no longer shares those of the original."""
        plan = plan_of(self)
        own: dict[int, Buffer] = {}  # by the id of the original: modules that share a buffer still do
        for _, i, name in plan.buffers:
            members = vars((self, *plan.below)[i])
            members[name] = own.setdefault(id(members[name]), members[name].of_copy(next(values)))

    def __setattr__(self, name: str, value: Any) -> None:
        self._refuse_change(name)
        if name in _RESERVED:
            raise ArgumentError(f"{type(self).__name__}: expected another name than {name!r}, which nnx.Module uses")
        if hasattr(type(getattr(type(self), name, None)), "__set__") or name.startswith("__"):  # such as a property
            object.__setattr__(self, name, value)
        elif type(value) is Tied:
            refuse_tie_to_itself(value, self, name)
            self._forget(name)
            vars(self).pop(name, None)
            vars(self)["_ties"] = {**self._ties, name: value}
            structure_changed()
        elif name in self._ties and not isinstance(value, Parameter) and value is not None:
            raise ArgumentError(
                f"{name!r} is tied to {self._ties[name].name!r} of a {type(self._ties[name].owner).__name__}: assign "
                f"to that, or end the tie first, with del module.{name}"
            )
        elif name in self._parameter_names and not isinstance(value, Parameter) and value is not None:
            _expect_like(vars(self)[name], value, name)
            vars(self)[name] = value
            STAMP.values = object()
        else:
            self._set_structure(name, value)

    def _set_structure(self, name: str, value: Any) -> None:
        """Assign a value where it, or the value that it replaces, is a parameter, a buffer or a module."""
        members = vars(self)
        old = members.get(name)
        if isinstance(old, Buffer) and (is_array(value) or type(value) in (bool, int, float)):
            raise ArgumentError(f"{name!r} is a Buffer: write module.{name}.value, or remove it first with del")
        names = ""
        if isinstance(value, Parameter):
            names, value = "_parameter_names", value.value
        elif type(value) not in PLAIN and not isinstance(value, Buffer):
            value = followed(value, name)
            names = "_child_names" if may_hold_nodes(value) else ""
        was_structure = isinstance(old, Buffer) or self._forget(name, but=names)
        if names and name not in getattr(self, names):
            members[names] = (*getattr(self, names), name)
        members[name] = value
        if names or was_structure or isinstance(value, Buffer):
            structure_changed()
        STAMP.constants = object()

    def __delattr__(self, name: str) -> None:
        self._refuse_change(name)
        if name in self._ties:
            self._forget(name)
        else:
            object.__delattr__(self, name)
            self._forget(name)
        structure_changed()

    if not TYPE_CHECKING:  # with a __getattr__ a type checker would accept any attribute

        def __getattr__(self, name: str) -> Any:
            tie = self._ties.get(name)
            return object.__getattribute__(self, name) if tie is None else tie.read()

    def _forget(self, name: str, but: str = "") -> bool:
        """Remove a name from those of parameters, children and ties; return whether it was one of them."""
        found = name in self._ties or name in self._parameter_names or name in self._child_names
        if found:
            members = vars(self)
            for names in ("_parameter_names", "_child_names"):
                if names != but:
                    members[names] = tuple(n for n in getattr(self, names) if n != name)
            members["_ties"] = {n: tie for n, tie in self._ties.items() if n != name}
            if name in self._frozen:
                members["_frozen"] = self._frozen - {name}
        return found

    def _refuse_change(self, what: str) -> None:
        if self._is_copy or (RUNNING.models is not None and is_running(self)):
            raise refused_write(f"cannot change {type(self).__name__} ({what})")

    def _members(self) -> frozenset[int]:
        return plan_of(self).members(self)


def _expect_like(old: Any, new: Any, name: str) -> None:
    """Raise unless a new array may take the place of a parameter; its library and dtype are the caller's affair."""
    if not is_array(new):
        raise DTypeError(
            f"expected an array in place of the parameter {name!r}, got {type(new).__name__}; "
            "make it one, or remove the parameter with del"
        )
    if tuple(new.shape) != tuple(old.shape):
        raise ShapeError(
            f"expected an array of shape {tuple(old.shape)} in place of the parameter {name!r}, got "
            f"{tuple(new.shape)}; assign nnx.Parameter(array) for one of another shape"
        )
