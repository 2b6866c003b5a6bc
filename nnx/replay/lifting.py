"""The state of a recorded step: what modules keep becomes variables, which each repetition reads anew."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from nnx.autodiff.outside import ACTIVE
from nnx.autodiff.traced import TracedArray
from nnx.backend import is_array
from nnx.layers import Module
from nnx.layers.plan import plan_of
from nnx.replay.cells import Cell, cells_of
from nnx.replay.recorder import Call, Recorder, Ref


def known_by(models: Iterable[Module]) -> frozenset[int]:
    """Return the ids of models and of all modules in them: those whose state a record has."""
    return frozenset(id(module) for model in models for module in (model, *plan_of(model).below))


class Lifted:
    """While a record is made, modules hold its variables instead of arrays: a context manager.

    Parameters
    ----------
    recorder : Recorder
    modules : iterable of Module

    Attributes
    ----------
    known : set of int
        The ids of the modules whose state is recorded; to call another one that has state is an error.
    """

    def __init__(self, recorder: Recorder, modules: Iterable[Module]) -> None:
        self.recorder = recorder
        modules = [*modules]
        self._cells = [*cells_of(modules)]
        self.known = known_by(modules)
        self._entries: list[int] = []
        self._values: list[Any] = []  # what was there when it was last lifted

    def __enter__(self) -> Lifted:
        self._lift()
        self._outer, ACTIVE.recorder = ACTIVE.recorder, self
        return self

    def __exit__(self, kind: Any, error: Any, where: Any) -> None:
        ACTIVE.recorder = self._outer
        if kind is None:
            self._lower()
        else:  # nothing was written but what an optimizer did in between
            for cell, value in zip(self._cells, self._values, strict=True):
                cell.write(value)
        self.recorder.closed = True

    def outside(
        self,
        function: Callable[..., Any],
        *args: Any,
        owner: Any = None,
        prepare: Callable[[], Callable[..., Any]] | None = None,
    ) -> Any:
        """Call a function that changes a model or an optimizer, its owner, on plain arrays, and record the call.

        If there is a ``prepare``, it is called afterwards, and what it returns is recorded instead.
        """
        ACTIVE.recorder = self._outer
        self._lower()
        self._values = []  # which would count as holders, so that an optimizer could not write in place
        try:
            output = function(*self.recorder.plain(args))
            repeated = function if prepare is None else prepare()
            self.recorder.calls.append(Call(repeated, self.recorder.lowered(args), {}, None, is_effect=True))
        finally:
            self._lift()
            ACTIVE.recorder = self
        return output

    def _lift(self) -> None:
        """Put variables in the place of the values, and record that these are read."""
        self._entries, self._values = [], [cell.read() for cell in self._cells]
        arrays = [cell.as_array(value) for cell, value in zip(self._cells, self._values, strict=True)]
        for cell, array in zip(self._cells, arrays, strict=True):
            variable = self.recorder.variable(array)
            function, args = cell.reading
            self.recorder.calls.append(Call(function, args, {}, Ref(variable.entry)))
            cell.write(variable)
            self._entries.append(variable.entry)

    def _lower(self) -> None:
        """Put plain values back, and record the writing of those that have changed."""
        for cell, entry in zip(self._cells, self._entries, strict=True):
            held = cell.read()
            is_variable = type(held) is TracedArray
            if cell.writing is not None and not (is_variable and held.entry == entry):
                # A constant array is copied each time: what the buffer holds may be written into.
                copied = not is_variable and is_array(held)
                written = self.recorder.constant(held) if copied else held
                self._record_writing(cell, Ref(written.entry) if type(written) is TracedArray else written)
            if is_variable:
                cell.write(cell.kept(held.value))

    def _record_writing(self, cell: Cell, value: Any) -> None:
        if cell.writing is not None:
            function, args = cell.writing
            self.recorder.calls.append(Call(function, (*args, value), {}, None, is_effect=True))
