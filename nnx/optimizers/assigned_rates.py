"""Learning rates that were assigned in a run, as a part of an optimizer's state."""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any

from nnx.errors import CheckpointError
from nnx.functional.checks import as_nonnegative
from nnx.optimizers.hyperparameters import Rate

ENTRY = "learning_rates"
"""The entry of the state. The names of arrays have a dot."""


def entry_of(configured: Sequence[Rate], rates: Sequence[Rate]) -> dict[str, Any]:
    """Return the part of a state that has the rates: nothing if all are those that the optimizer was made with.

    Parameters
    ----------
    configured, rates : sequences of numbers and schedules
        What the optimizer and each group that sets a rate were made with, and what they have now.

    Examples
    --------
    >>> entry_of([0.5, 0.25], [0.5, 0.25])
    {}
    >>> entry_of([0.5, 0.25], [0.5, 0.125])
    {'learning_rates': {'configured': [0.5, 0.25], 'assigned': [None, 0.125]}}
    """
    assigned = [None if rate == own else rate for own, rate in zip(configured, rates, strict=True)]
    if all(rate is None for rate in assigned):
        return {}
    return {ENTRY: {"configured": [None if callable(rate) else rate for rate in configured], "assigned": assigned}}


def taken_from(state: Any, configured: Sequence[Rate], owner: str) -> tuple[Any, tuple[Rate, ...]]:
    """Return the rest of a state, and the rates that it gives to an optimizer made with those configured.

    An assigned number counts where the optimizer is made as it was then. Whoever resumes with another number wants
    that one, so it counts, as does what is configured where nothing was assigned.

    Raises
    ------
    CheckpointError
        If the rates are not those of an optimizer with as many groups.

    Examples
    --------
    >>> state = {"step": 7, "learning_rates": {"configured": [0.5], "assigned": [0.25]}}
    >>> taken_from(state, [0.5], "SGD"), taken_from(state, [0.1], "SGD")
    (({'step': 7}, (0.25,)), ({'step': 7}, (0.1,)))
    """
    if not isinstance(state, Mapping) or ENTRY not in state:
        return state, tuple(configured)
    then, assigned = _parsed(state[ENTRY], len(configured), owner)
    rates = tuple(
        own if new is None or (None if callable(own) else own) != old else new
        for own, old, new in zip(configured, then, assigned, strict=True)
    )
    return {name: value for name, value in state.items() if name != ENTRY}, rates


def _parsed(entry: Any, count: int, owner: str) -> tuple[list[Any], list[Any]]:
    columns: list[list[Any]] = []
    if isinstance(entry, Mapping):
        with suppress(LookupError, TypeError, ValueError):
            columns = [
                [None if rate is None else as_nonnegative(rate, ENTRY) for rate in entry[name]]
                for name in ("configured", "assigned")
            ]
    if [len(column) for column in columns] != [count, count]:
        got = " ".join(repr(entry).split())[:200]  # of arrays it has several lines
        raise CheckpointError(
            f"the saved values do not fit {owner}: {ENTRY}: expected {count} configured and {count} assigned, numbers "
            f"or None, got {got}; make the optimizer with the groups that it had"
        )
    return columns[0], columns[1]
