"""A step given to the compiler of its array library: a function of all state, which is read before and kept after."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, Self

from nnx.autodiff.outside import ACTIVE
from nnx.backend import is_array
from nnx.backend.blocks import PerParameter
from nnx.errors import UsageError
from nnx.layers import Module
from nnx.optimizers.optimizer import Optimizer
from nnx.replay.cells import cells_of
from nnx.replay.lifting import known_by
from nnx.replay.signature import Arguments, Constants
from nnx.tree import tree_split
from nnx.types import Array, Tree

Rates = dict[str, Any]


class Jitted:
    """A step as the compiler of a library made it, for one kind of arguments.

    Parameters
    ----------
    function : callable
    engine : callable
        The compiler: it takes a function over dicts and lists of arrays, and returns one.
    arguments : Arguments
        Those of the first call.
    models : sequence of Module
    """

    def __init__(
        self, function: Callable[..., Any], engine: Callable[..., Any], arguments: Arguments, models: Sequence[Module]
    ) -> None:
        self._function, self._arguments = function, arguments
        self._cells, self._known = [*cells_of(models)], known_by(models)
        self._optimizers = [part for part in arguments.objects if isinstance(part, Optimizer)]
        for optimizer in self._optimizers:
            optimizer._started()
        self._fixed = [fixed for _, fixed in map(_split_rates, self._optimizers)]
        self._compiled = engine(self._pure)
        self._form: Callable[..., Any] = tuple
        self._constants = Constants(models)

    def holds(self) -> bool:
        """Return whether everything is as it was that the compiler made a constant of."""
        return self._constants.hold() and self._fixed == [fixed for _, fixed in map(_split_rates, self._optimizers)]

    def run(self, *arrays: Array) -> Any:
        """Take a step."""
        rates = [rates for rates, _ in map(_split_rates, self._optimizers)]
        leaves, state = self._compiled(self._read(), rates, arrays)
        self._write(state, is_computed=True)
        return self._form(leaves)

    def _pure(self, state: Tree, rates: Sequence[Rates], arrays: Sequence[Array]) -> tuple[list[Array], Tree]:
        before = self._read()
        try:
            self._write(state)
            given, named = self._arguments.filled(arrays)
            with _Steps(self._optimizers, rates, self._fixed, self._known):
                output = self._function(*given, **named)
            found = self._read()
        finally:
            self._write(before)
        leaves, rebuild = tree_split(output)
        values = [*leaves.values()]
        computed = [i for i, leaf in enumerate(values) if is_array(leaf)]
        constants = [None if i in computed else leaf for i, leaf in enumerate(values)]
        self._form = lambda arrays: rebuild(_placed(constants, computed, arrays))
        return [values[i] for i in computed], found

    def _read(self) -> dict[str, list[Any]]:
        return {
            "cells": [cell.read() for cell in self._cells],
            "optimizers": [[optimizer._started(), optimizer._step] for optimizer in self._optimizers],
        }

    def _write(self, state: dict[str, list[Any]], *, is_computed: bool = False) -> None:
        for cell, value in zip(self._cells, state["cells"], strict=True):
            cell.write(cell.kept(value) if is_computed else value)
        for optimizer, (columns, step) in zip(self._optimizers, state["optimizers"], strict=True):
            optimizer._state = {name: [*column] for name, column in columns.items()}
            optimizer._step = int(step) if is_computed else step


class _Steps:
    """What optimizers ask while their step is compiled: it gets the learning rates as arrays."""

    def __init__(
        self,
        optimizers: Sequence[Optimizer],
        rates: Sequence[Rates],
        fixed: Sequence[dict[str, Any]],
        known: frozenset[int],
    ) -> None:
        self.known = known
        self._own = {id(one): given | _joined(own) for one, own, given in zip(optimizers, rates, fixed, strict=True)}

    def __enter__(self) -> Self:
        self._outer, ACTIVE.recorder = ACTIVE.recorder, self
        return self

    def __exit__(self, kind: Any, error: Any, where: Any) -> None:
        ACTIVE.recorder = self._outer

    def outside(self, function: Callable[..., Any], *args: Any, owner: Any = None, prepare: Any = None) -> Any:
        """Take the step of an optimizer; nothing else that keeps a state of its own can be compiled."""
        optimizer: Any = owner
        if id(optimizer) not in self._own:
            raise UsageError(
                f"{type(optimizer).__name__} changes inside nnx.compile but is not among the arguments of the compiled "
                "function; pass it as an argument, or call it outside"
            )
        before = optimizer._hyperparameters, optimizer._is_plain
        optimizer._hyperparameters, optimizer._is_plain = self._own[id(optimizer)], True
        ACTIVE.recorder = self._outer
        try:
            function(*args)
        finally:
            ACTIVE.recorder = self
            optimizer._hyperparameters, optimizer._is_plain = before


def _split_rates(optimizer: Optimizer) -> tuple[Rates, dict[str, Any]]:
    """Return the learning rates of the next step, which may change with each, and the other hyperparameters."""
    found = dict(optimizer.hyperparameters)
    rate = found.pop("learning_rate")
    return ({"each": [*rate]} if isinstance(rate, PerParameter) else {"all": rate}), found


def _joined(rates: Rates) -> dict[str, Any]:
    return {"learning_rate": PerParameter(rates["each"]) if "each" in rates else rates["all"]}


def _placed(values: Sequence[Any], computed: Sequence[int], arrays: Iterable[Array]) -> list[Any]:
    found = [*values]
    for i, array in zip(computed, arrays, strict=True):
        found[i] = array
    return found
