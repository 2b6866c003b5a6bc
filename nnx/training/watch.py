"""Find the batch whose loss or gradient is not finite, without repeating the epoch.

The loss of a batch and its gradients are examined before the update. Where values are cheap to read, that is all: the
first that is not finite ends the epoch, with the weights still as they were for that batch. On other devices nothing
may be read before the end of the epoch, or of some thousand batches. There, the state that the first such batch met is
kept (``last_good.py``), and put back at the end. To skip bad batches instead, one flag is read in each step, on any
device.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NoReturn

from nnx.backend import is_array, is_cheap_to_read, is_finite, to_numpy
from nnx.errors import NonFiniteError
from nnx.layers import Module
from nnx.optimizers import all_finite
from nnx.training.device_values import read_together
from nnx.training.diagnosis import not_finite, raise_not_finite, raise_not_finite_gradient
from nnx.training.last_good import LastGood
from nnx.tree import tree_flatten
from nnx.types import Array, Tree

_KINDS_KEPT = 8  # after so many batches of different shapes, the flag is read and they are dropped
_BATCHES_KEPT = 4096  # after so many it is read too, so that what the host keeps of each does not grow with the epoch

State = Mapping[str, Any]


class Watch:
    """Examines the loss and the gradients of each batch of an epoch.

    For each batch call :meth:`begin`, then :meth:`examine` before the update, then :meth:`end`; after the last batch
    :meth:`flags` and :meth:`finish`.

    Parameters
    ----------
    model : Module
    loss : callable
        Named in the error.
    label : callable
        Gives the number of a batch, from 1, as text for the error: ``"epoch 3, batch 7"``.
    snapshot, restore : callable, optional
        ``restore(snapshot(whole))`` undoes what was changed in between: all that a batch changes if ``whole``, or what
        is changed before its update. Nothing is read there. Default: the buffers of the model.
    start : int
        How many batches of the epoch came before.
    skips : bool
        Whether bad batches are skipped instead of ending the epoch.

    Attributes
    ----------
    first_skipped : str or None
        What was wrong with the first batch that was skipped.
    """

    def __init__(
        self,
        model: Module,
        loss: Any,
        label: Callable[[int], str],
        snapshot: Callable[[bool], State] | None = None,
        restore: Callable[[State], None] | None = None,
        start: int = 0,
        *,
        skips: bool = False,
    ) -> None:
        self._model, self._loss, self._label = model, loss, label
        self._snapshot, self._restore = snapshot or self._buffers, restore or self._load_buffers
        self._trains, self._skips = snapshot is not None, skips
        self._holds_all: bool | None = None  # known from the first batch
        self._number = self._start = start
        self._before: State = {}
        self._record: LastGood | None = None
        self._found: NonFiniteError | None = None
        self.first_skipped: str | None = None

    def begin(self, batch: Tree) -> None:
        """Hold the state before the batch: all of it on a device, else only what changes before the update."""
        self._number += 1
        if self._holds_all is None:
            parts = (batch, self._model.parameters()) if self._trains and not self._skips else ()
            self._holds_all = any(is_array(x) and not is_cheap_to_read(x) for x in tree_flatten(parts).values())
        self._before = self._snapshot(self._holds_all)

    def examine(self, batch: Tree, value: Array, gradients: Mapping[str, Array] | None = None) -> bool:
        """Examine the loss of the batch and, if there are any, its gradients; return whether the batch counts.

        Raises
        ------
        NonFiniteError
            If one is not finite and can be read without waiting for a device, and bad batches are not skipped.
        """
        if self._skips:
            if bool(to_numpy(finite(value, gradients))):
                return True
            self.first_skipped = self.first_skipped or self._describe(value, gradients)
            self.undo()
            return False
        if self._holds_all or not (self._trains or is_cheap_to_read(value)):
            self._record = self._record or LastGood(value)
            met = {"batch": batch, **self._before}
            self._record.add(met, value, finite(value, gradients))
            if self._record.kinds > _KINDS_KEPT or self._record.batches >= _BATCHES_KEPT:
                self.finish(self.flags())
        elif not (math.isfinite(value) and (gradients is None or all(map(is_finite, gradients.values())))):
            self._fail(self._number, batch, float(value), gradients)
        return True

    def undo(self) -> None:
        """Put the state from before the batch back, as far as it is held."""
        self._restore(self._before)

    def end(self) -> None:
        """Let go of the state before the batch, which is finished."""
        self._before = {}

    def flags(self) -> list[Array]:
        """Return what :meth:`finish` needs from the device, as numbers that can be read together with others."""
        return [] if self._record is None else self._record.flags()

    def finish(self, flags: Sequence[Any]) -> None:
        """Raise NonFiniteError if there was a bad batch, given the values of :meth:`flags`, read or not.

        Then the state is that before the batch.
        """
        if self._record is None:
            return
        is_bad, good, value = read_together(flags)
        if not is_bad:
            self._record.forget(int(good))
            return
        met = self._record.met_by(int(good) + 1)
        batch, self._before = met.pop("batch"), met
        if self._found is not None:  # and a callback went on nevertheless
            self.undo()
            raise self._found
        self._fail(self._start + int(good) + 1, batch, value, None)

    def look_back(self, error: BaseException) -> None:
        """After an error in the epoch, look for a bad batch before it: then the state is that before this batch."""
        try:
            self.finish(self.flags())
        except NonFiniteError as found:
            if found is not error:
                error.add_note(f"Before it, {found}; the state is that before this batch")

    def _buffers(self, whole: bool) -> State:
        return {"buffers": {path: buffer.snapshot() for path, buffer in self._model.buffers().items()}}

    def _load_buffers(self, state: State) -> None:
        if state:
            self._model.load_state_dict(state["buffers"], strict=False)

    def _describe(self, value: Array, gradients: Mapping[str, Array] | None) -> str:
        number, path = float(to_numpy(value)), not_finite(dict(gradients or {}))
        what = f"the loss became {number}" if not math.isfinite(number) else f"the gradient of {path!r} was not finite"
        return f"{what} in {self._label(self._number)}"

    def _fail(self, number: int, batch: Tree, value: float, gradients: Mapping[str, Array] | None) -> NoReturn:
        self.undo()
        where = self._label(number)
        try:
            if math.isfinite(value):
                raise_not_finite_gradient(not_finite(dict(gradients or {})), value, where)
            raise_not_finite(self._model, self._loss, batch, value, where)
        except NonFiniteError as error:
            self._found = error
            raise


def finite(value: Array, gradients: Mapping[str, Array] | None = None) -> Array:
    """Return whether a loss and its gradients are finite, as an array of shape (); nothing is read."""
    return all_finite({"loss": value, **(gradients or {})})
