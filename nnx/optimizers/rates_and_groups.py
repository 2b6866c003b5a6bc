"""The hyperparameters of an optimizer: those of all parameters, those of groups, and rates that may be assigned."""

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

from nnx.errors import ArgumentError
from nnx.layers import Module
from nnx.layers.plan import plan_of
from nnx.optimizers.groups import Group, Layout, as_groups
from nnx.optimizers.hyperparameters import Rate, rate_at
from nnx.optimizers.update_rule import UpdateRule


class RatesAndGroups(UpdateRule):
    """A rule with its hyperparameters, which an optimizer adds a state to.

    Parameters
    ----------
    model : Module
    values : mapping
        The hyperparameters by name, ``learning_rate`` among them.
    groups : sequence of dicts
        See :class:`nnx.optimizers.Optimizer`.
    """

    def __init__(self, model: Module, values: Mapping[str, Any], groups: Sequence[Mapping[str, Any]]) -> None:
        self.model = model
        self._step = 0
        self._hyperparameters: dict[str, Any] = {}
        for name, value in values.items():
            self._hyperparameters[name] = self.checks[name](value, name) if name in self.checks else value
        self._groups = as_groups(groups, self.checks, self._hyperparameters)
        self._layout = Layout(self._groups)
        self._configured = self.learning_rates  # a number that is assigned later is part of the state
        self._prepare()

    @property
    def learning_rate(self) -> float:
        """The step size of the next step, outside of groups; a number or a schedule may be assigned between steps."""
        return rate_at(self._hyperparameters["learning_rate"], self._step)

    @learning_rate.setter
    def learning_rate(self, value: Rate) -> None:
        self.learning_rates = (value, *self._layout.rates)

    @property
    def learning_rates(self) -> tuple[Rate, ...]:
        """The rate of the optimizer and of each group that sets one, numbers or schedules; all may be assigned.

        A number that is assigned is part of the state. A schedule is not, it counts as if the optimizer were made with
        it: assign it again before a state is loaded.
        """
        return (self._hyperparameters["learning_rate"], *self._layout.rates)

    @learning_rates.setter
    def learning_rates(self, values: Sequence[Rate]) -> None:
        if len(values) != len(self._configured):
            raise ArgumentError(f"expected {len(self._configured)} learning rates, got {len(values)}")
        rates = [self.checks["learning_rate"](value, "learning_rate") for value in values]
        self._configured = tuple(
            rate if callable(rate) else own for own, rate in zip(self._configured, rates, strict=True)
        )
        self._set_rates(rates)

    @property
    def hyperparameters(self) -> Mapping[str, Any]:
        """All hyperparameters as the rule gets them in the next step, by name; a read-only view."""
        return MappingProxyType(self._for_rule())

    def _current_arguments(self) -> dict[str, Any]:
        return self._hyperparameters | {"groups": [group.as_argument() for group in self._groups]}

    def _append_group(self, patterns: tuple[str, ...], values: dict[str, Any], name: str) -> None:
        """Make a last group of an argument that consists of patterns, such as ``no_decay``."""
        if patterns:
            self._layout = Layout((*self._layout.groups, Group(patterns, values, name)))
            self._prepare()

    def _set_rates(self, rates: Sequence[Rate]) -> None:
        if (*rates,) == self.learning_rates:  # as in steps that load a state to choose between two
            return
        first, *others = rates
        if others != self._layout.rates:
            self._layout = self._layout.with_rates(others)
            self._groups = self._layout.groups[: len(self._groups)]  # without what arguments such as no_decay appended
        self._hyperparameters["learning_rate"] = first
        self._prepare()

    def _prepare(self) -> None:
        """Find out whether the rule gets the hyperparameters as they are, and whether the groups fit the model."""
        self._is_plain = not (self._layout.groups or callable(self._hyperparameters["learning_rate"]))
        if self._layout.groups and not plan_of(self.model).unsettled:
            self._for_rule()

    def _for_rule(self) -> dict[str, Any]:
        """Return the hyperparameters of the next step; one that differs by path is a ``PerParameter``."""
        if self._is_plain:
            return self._hyperparameters
        found = self._hyperparameters | {"learning_rate": self.learning_rate}
        return found | self._layout.of(self.model, found, self._step) if self._layout.groups else found
