"""The plan of a model: what it holds, found once and cached until the structure of a module changes."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from typing import Any, NamedTuple

from nnx.backend import memory_key
from nnx.errors import ArgumentError, NnxError, UsageError
from nnx.layers.containers import Watched, WatchedList
from nnx.layers.hidden import MARKED, PLAIN, refuse_hidden
from nnx.layers.node import STAMP, Node, set_plan, structure_changed
from nnx.layers.parameter import Buffer
from nnx.layers.templates import Constant, Container, filled, template_of
from nnx.layers.ties import Tied

_NO_CHILDREN = frozenset({"_parameter_names", "_frozen", "_child_names", "_ties", "_kept", "_gradients", "_arguments"})

# Copies are made in every differentiated call. These bypass what classes define: no constructor, no checks of
# attributes, no invalidation of plans.
_new, _set, _new_list, _extend = object.__new__, object.__setattr__, list.__new__, list.extend

_COPY = {"_kept": None, "_is_copy": True}  # the attributes of a copy that a transform calls


class Slot(NamedTuple):
    """The location of an array: its dotted path, the index of its module in the plan, and the name of the attribute."""

    path: str
    module: int
    name: str


class Plan:
    """What a model holds. The plan does not refer to the model itself, which refers to it: that would be a cycle.

    Attributes
    ----------
    paths, all_paths : tuple of str
        The paths of the parameters that are trained, and of all.
    module_paths : tuple of str
        The paths of the modules; the first is that of the model itself, ``""``.
    below : tuple of Module
        All other modules, in that order, then those that are copied with the model but have no path.
    parameters, trained, buffers : tuple of Slot
        Those of ``parameters`` that are not frozen are ``trained``: the leaves of the model as a tree.
    ties : tuple of (index of the module, name, index of the owner, :class:`Tied`)
    unsettled : list of str
        The paths of modules with open sizes.
    """

    def __init__(self, root: Any) -> None:
        self.stamp = STAMP.structure  # first, so that a change by another thread meanwhile invalidates this plan
        self.values: object = None
        self.problem: tuple[type[NnxError], str] | None = None
        self._members: frozenset[int] | None = None
        named = list(walk(root))
        index = {id(module): i for i, (_, module) in enumerate(named)}
        modules = [module for _, module in named]
        self.containers: list[Watched] = []
        links = []
        for i, module in enumerate(modules):  # grows in the loop by modules that named_children does not name
            found = [(name, module.__dict__[name]) for name in module._child_names]
            links += [(i, name, template_of(value, name, modules, index, self.containers)) for name, value in found]
        self.module_paths = tuple(path for path, _ in named)
        self.below = tuple(modules[1:])
        self.links = tuple(links)
        self.watched = tuple(container for container in self.containers if container.check_original())
        self.parameters = tuple(
            Slot(f"{path}.{name}" if path else name, i, name)
            for i, (path, module) in enumerate(named)
            for name in module._parameter_names
        )
        self.buffers = tuple(self._buffers(named))
        self.ties = tuple(self._ties(modules, index))
        self.unsettled = [path for path, module in named if not module.is_settled]
        if self.unsettled:
            self.problem = (UsageError, _unsettled_text(self.unsettled, type(root).__name__))
        self.trained = tuple([slot for slot in self.parameters if slot.name not in modules[slot.module]._frozen])
        self.paths = tuple(slot.path for slot in self.trained)
        self.all_paths = tuple(slot.path for slot in self.parameters)
        if len(set(self.all_paths)) < len(self.parameters):
            text = f"{type(root).__name__} has two parameters of one path; rename a key or an attribute"
            self.problem = (ArgumentError, text)

    def members(self, root: Any) -> frozenset[int]:
        """Return the ids of the modules and of their containers."""
        if self._members is None:
            self._members = frozenset(map(id, (root, *self.below, *self.containers)))
        return self._members

    def check_values(self, root: Any) -> None:
        """Raise ArgumentError if two parameters share an array, or one is the other's transpose: they would diverge."""
        values = STAMP.values
        nodes = (root, *self.below)
        seen: dict[Any, Slot] = {}
        for slot in self.parameters:
            first = seen.setdefault(memory_key(nodes[slot.module].__dict__[slot.name]), slot)
            if first is not slot:
                raise ArgumentError(
                    f"one array is the value of two parameters, {first.path!r} and {slot.path!r}, which would be "
                    f"trained apart; tie them with module.{slot.name} = nnx.Tied(owner, {first.name!r}), or give one "
                    "a copy"
                )
        if self.stamp is STAMP.structure:  # otherwise another thread has changed a model: check again next time
            self.values = values

    def copy(
        self, root: Any, leaves: Sequence[Any] = (), *, marks: dict[str, Any] = _COPY, made: list[Any] | None = None
    ) -> Any:
        """Copy a model with its containers; arrays and buffers are shared.

        Parameters
        ----------
        root : Module
            The model of this plan.
        leaves : sequence of arrays
            The values of the parameters that are trained, in order; by default those of the model.
        marks : dict
            Attributes for every copy.
        made : list, optional
            A list to which the copies of all modules are appended, in the order of the plan.
        """
        made = [] if made is None else made
        is_locked = "_is_copy" in marks
        for module in (root, *self.below):
            copy = _new(type(module))
            set_plan(copy, None)
            _set(copy, "__dict__", {**module.__dict__, **marks})  # all attributes at once
            made.append(copy)
        # Now replace children, ties and parameters, which still are those of the original.
        for i, name, template in self.links:
            if type(template) is int:
                made[i].__dict__[name] = made[template]
            elif type(template) is Constant and is_locked:
                made[i].__dict__[name] = template.value
            elif type(template) is Container and template.is_list_of_modules:  # the common case, without a call
                children = _new_list(WatchedList)
                _extend(children, map(made.__getitem__, template.items))
                children.where, children.is_locked = template.where, is_locked
                made[i].__dict__[name] = children
            else:
                made[i].__dict__[name] = filled(template, made, is_locked)
        if leaves:  # before the ties, whose constructor reads the parameters
            for (_, i, name), leaf in zip(self.trained, leaves, strict=True):
                made[i].__dict__[name] = leaf
        for i, name, owner, tie in self.ties:
            members = made[i].__dict__
            members["_ties"] = {**members["_ties"], name: Tied(made[owner], tie.name, transpose=tie.transpose)}
        return made[0]

    def _buffers(self, named: Sequence[tuple[str, Any]]) -> Iterator[Slot]:
        for i, (path, module) in enumerate(named):
            skipped = {*_NO_CHILDREN, *module._parameter_names, *module._child_names}
            for name, value in module.__dict__.items():
                if isinstance(value, Buffer):
                    yield Slot(f"{path}.{name}" if path else name, i, name)
                elif type(value) in PLAIN or name in skipped:
                    continue
                elif isinstance(value, (Node, *MARKED)):
                    raise ArgumentError(
                        f"{name!r}: found a {type(value).__name__} that was put into vars({type(module).__name__}), "
                        "where it would be neither trained nor saved; assign it to the attribute"
                    )
                else:
                    refuse_hidden(value, name)  # an object may have been filled after it was assigned

    def _ties(self, modules: Sequence[Any], index: dict[int, int]) -> Iterator[tuple[int, str, int, Tied]]:
        for i, module in enumerate(modules):
            for name, tie in module._ties.items():
                owner = index.get(id(tie.owner))
                if owner is not None and (tie.name in tie.owner._parameter_names or tie.name in tie.owner._ties):
                    yield i, name, owner, tie
                elif self.problem is None:
                    where = (
                        f"{name!r} of {type(module).__name__} is tied to {tie.name!r} of a {type(tie.owner).__name__}"
                    )
                    why = (
                        "is not in this model; call, differentiate and save the model that holds both"
                        if owner is None
                        else f"has no such parameter any more; end the tie, with del module.{name}"
                    )
                    self.problem = (UsageError, f"{where} that {why}")


def _unsettled_text(paths: Sequence[str], name: str) -> str:
    which = ", ".join(repr(path) for path in paths if path)
    return (
        f"{name} has sizes that are not settled yet{f', in {which}' if which else ''}: call it once on data, or "
        "settle(x), before its parameters are used"
    )


def plan_of(root: Any) -> Plan:
    """Return the plan of a model, which is made again only if the structure of a module has changed."""
    plan: Plan | None = root._plan
    if plan is None or plan.stamp is not STAMP.structure:
        plan = Plan(root)
        set_plan(root, plan)
    if plan.watched:
        plan.watched = tuple([container for container in plan.watched if container.check_original()])
    return plan


def usable_plan(root: Any) -> Plan:
    """Return the plan of a model after checking that its parameters can be used.

    Raises
    ------
    UsageError, ArgumentError
        If a parameter would be lost or trained twice, or does not exist yet.
    """
    plan: Plan | None = root._plan
    if plan is None or plan.values is not STAMP.values or plan.watched:
        plan = plan_of(root)
        if plan.problem is not None:
            kind, text = plan.problem
            raise kind(text)
        if plan.values is not STAMP.values:
            plan.check_values(root)
    return plan


def freeze_slots(root: Any, paths: Collection[str], is_frozen: bool = True) -> None:
    """Freeze or unfreeze the parameters of these paths."""
    plan = plan_of(root)
    modules = (root, *plan.below)
    for path, i, name in plan.parameters:
        if path in paths:
            before = modules[i]._frozen
            modules[i].__dict__["_frozen"] = before | {name} if is_frozen else before - {name}
    structure_changed()


def walk(root: Any) -> Iterator[tuple[str, Any]]:
    """Iterate over a module, under the path ``""``, and all below it; a shared one comes once, under its first path."""
    seen: set[int] = set()
    pending: list[tuple[str, Any]] = [("", root)]
    while pending:
        path, node = pending.pop()
        if id(node) in seen:
            continue
        seen.add(id(node))
        yield path, node
        if node._child_names:
            below = list(node.named_children())
            pending += reversed([(f"{path}.{name}", child) for name, child in below] if path else below)


def children(name: str, value: Any) -> Iterator[tuple[str, Any]]:
    """Iterate over the modules in an attribute, with their paths below it."""
    if isinstance(value, Node):
        yield name, value
    elif isinstance(value, (Watched, tuple)):
        for key, item in value.items() if isinstance(value, dict) else enumerate(value):  # type: ignore[arg-type]
            yield from children(f"{name}.{key}" if name else str(key), item)
