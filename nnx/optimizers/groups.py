"""Groups of parameters that have hyperparameters of their own."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from nnx.backend.blocks import PerParameter
from nnx.errors import ArgumentError
from nnx.functional.checks import nearest
from nnx.layers import Module
from nnx.layers.patterns import as_patterns, chosen
from nnx.layers.plan import usable_plan
from nnx.optimizers.hyperparameters import Check, rate_at


class Group(NamedTuple):
    """Patterns of paths, the hyperparameters of the parameters that match one, and what an error calls it."""

    patterns: tuple[str, ...]
    values: dict[str, Any]
    name: str

    def as_argument(self) -> dict[str, Any]:
        """Return it as the user wrote it."""
        return {"paths": self.patterns[0] if len(self.patterns) == 1 else [*self.patterns], **self.values}


def as_groups(groups: Any, checks: Mapping[str, Check], known: Iterable[str]) -> tuple[Group, ...]:
    """Return checked groups.

    Parameters
    ----------
    groups : sequence of mappings
        Each has ``"paths"``, and hyperparameters by name.
    checks : mapping from name to check
    known : names of hyperparameters
        Those of the optimizer.

    Raises
    ------
    ArgumentError
        If something else came, a hyperparameter is not one of the optimizer's, or a value is out of range.
    """
    if isinstance(groups, (str, Mapping)) or not isinstance(groups, Iterable):
        raise ArgumentError(f'expected groups to be a list, such as [{{"paths": "*bias", ...}}], got {groups!r}')
    known = [*known]
    return tuple(_as_group(group, f"groups[{i}]", checks, known) for i, group in enumerate(groups))


def _as_group(group: Any, name: str, checks: Mapping[str, Check], known: Sequence[str]) -> Group:
    if not isinstance(group, Mapping) or "paths" not in group:
        near = "".join(nearest(key, ["paths"]) for key in group) if isinstance(group, Mapping) else ""
        raise ArgumentError(f"expected {name} to be a dict with 'paths', patterns such as '*bias', got {group!r}{near}")
    given = {key: value for key, value in group.items() if key != "paths"}
    if not given.keys() <= set(known) or not given:
        unknown = [key for key in given if key not in known]
        wrong = ", ".join(map(repr, unknown)) or "none"
        near = nearest(unknown[0], known) if unknown else ""
        raise ArgumentError(f"expected hyperparameters in {name} among {', '.join(known)}, got {wrong}{near}")
    try:
        values = {key: checks[key](value, key) if key in checks else value for key, value in given.items()}
    except ArgumentError as error:
        raise ArgumentError(f"{name}: {error}") from None
    return Group(as_patterns(group["paths"], f"the paths of {name}"), values, name)


class Layout:
    """Which group counts for each parameter, by hyperparameter; found again when the parameters have changed."""

    def __init__(self, groups: Sequence[Group]) -> None:
        self.groups = tuple(groups)
        self._paths: tuple[str, ...] | None = None
        self._sources: dict[str, list[int]] = {}  # for each parameter the number of its group from 1, 0 for none
        self._latest: dict[str, tuple[list[Any], PerParameter]] = {}

    @property
    def rates(self) -> list[Any]:
        """The learning rates of the groups that set one."""
        return [group.values["learning_rate"] for group in self.groups if "learning_rate" in group.values]

    def with_rates(self, rates: Iterable[Any]) -> "Layout":
        """Return a layout with other learning rates, in the order of :attr:`rates`."""
        others = iter(rates)
        return Layout(
            [
                group._replace(values={**group.values, "learning_rate": next(others)})
                if "learning_rate" in group.values
                else group
                for group in self.groups
            ]
        )

    def of(self, model: Module, common: Mapping[str, Any], step: int) -> dict[str, PerParameter]:
        """Return the hyperparameters that groups set, with a value for each parameter that is trained.

        Parameters
        ----------
        model : Module
        common : mapping
            The hyperparameters of what is in no group.
        step : int
            The number of the step, for schedules.

        Raises
        ------
        ArgumentError
            If a pattern matches no parameter, or a schedule gives no rate.
        """
        plan = usable_plan(model)
        if plan.paths is not self._paths:
            self._sources = self._found(plan.paths, plan.all_paths)
            self._paths, self._latest = plan.paths, {}
        for name, sources in self._sources.items():
            values = [common[name], *(group.values.get(name) for group in self.groups)]
            if name == "learning_rate":
                values = [rate_at(value, step) for value in values]
            if name not in self._latest or self._latest[name][0] != values:
                self._latest[name] = values, PerParameter(map(values.__getitem__, sources))
        return {name: found for name, (_, found) in self._latest.items()}

    def _found(self, paths: tuple[str, ...], all_paths: tuple[str, ...]) -> dict[str, list[int]]:
        sources: dict[str, list[int]] = {name: [0] * len(paths) for group in self.groups for name in group.values}
        for number, (patterns, values, name) in enumerate(self.groups, 1):
            matching = chosen(all_paths, patterns, name)
            for i, path in enumerate(paths):
                if path in matching:
                    for key in values:
                        sources[key][i] = number
        return sources
