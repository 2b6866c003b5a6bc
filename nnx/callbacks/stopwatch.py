"""Where the time goes, and a limit of it."""

import functools
import time
from collections.abc import Callable, Mapping
from typing import Any

from nnx.functional.checks import as_positive
from nnx.training.history import Row
from nnx.training.hooks import Callback
from nnx.training.trainer import Trainer
from nnx.types import Array

PHASES = ("data", "forward", "backward", "update", "validation")
"""The phases of an epoch that :class:`Timing` tells apart."""


class Timing(Callback):
    """Measures the seconds of each epoch: data, forward, backward, update and validation.

    Attributes
    ----------
    rows : list of dict
        For each epoch ``epoch``, the seconds of each phase, and ``total``.

    Notes
    -----
    The time until the next batch is taken from the data counts as ``data``, with that of the callbacks after this one;
    without an update, as in an accumulation, all that comes after the forward pass counts as ``backward``. The times
    are those of the host: on a device that computes asynchronously most of the time is spent where a value is read,
    which is at the end of the epoch, in ``validation``. Validation has the rest of an epoch. A step that is recorded,
    with ``compile=True``, has its backward pass in ``forward``.

    Examples
    --------
    >>> import numpy as np, nnx
    >>> model = nnx.Linear(1, 1, rng=0)
    >>> timing = nnx.callbacks.Timing()
    >>> trainer = nnx.Trainer(model, nnx.MSE(), nnx.SGD(model, 0.1), callbacks=[timing])
    >>> _ = trainer.fit((np.ones((4, 1), np.float32),), epochs=2)
    >>> list(timing.rows[1])
    ['epoch', 'data', 'forward', 'backward', 'update', 'validation', 'total']
    >>> 0 < timing.rows[1]["forward"] < timing.rows[1]["total"] < timing.total
    True
    """

    def __init__(self) -> None:
        self.rows: list[Row] = []
        self._sums = dict.fromkeys(PHASES, 0.0)
        self._mark = 0.0
        self._phase = "data"
        self._objective: Any = None
        self._timed: Callable[..., Any] | None = None

    @property
    def total(self) -> float:
        """The seconds of all epochs that are finished."""
        return sum(row["total"] for row in self.rows)

    def on_fit_start(self, trainer: Trainer) -> None:
        """Begin, and see where each forward pass ends."""
        objective = trainer.objective

        @functools.wraps(objective)  # it divides by what the objective does
        def timed(model: Any, batch: Any) -> Any:
            if self._timed is not timed:  # left behind by a fit before, inside of another function
                return objective(model, batch)
            if self._phase == "data":  # of an epoch whose number of batches is not known
                self._enter("validation")
            found = objective(model, batch)
            if self._phase == "forward":  # not in validation
                self._enter("backward")
            return found

        self._objective, self._timed = objective, timed
        trainer.objective = timed
        self._mark, self._phase = time.perf_counter(), "data"

    def on_batch_start(self, trainer: Trainer, batch: Any) -> None:
        """The batch is there."""
        self._enter("forward")

    def on_gradients(self, trainer: Trainer, gradients: Mapping[str, Array]) -> Mapping[str, Array]:
        """The gradients are there."""
        self._enter("update")
        return gradients

    def on_batch_end(self, trainer: Trainer, value: Array, outputs: Any) -> None:
        """The parameters are updated. If it was the last batch, what comes now is the validation."""
        self._enter("validation" if trainer.batch == trainer.batches else "data")

    def on_epoch_end(self, trainer: Trainer, row: Row) -> None:
        """Add a row."""
        self._enter("data")
        self.rows.append({"epoch": row["epoch"], **self._sums, "total": sum(self._sums.values())})
        self._sums = dict.fromkeys(PHASES, 0.0)

    def on_fit_end(self, trainer: Trainer) -> None:
        """Leave the trainer as it was."""
        if trainer.objective is self._timed:  # else another callback has put a function around it, which stays
            trainer.objective = self._objective
        self._objective = self._timed = None

    def state_dict(self) -> dict[str, Any]:
        """Return the rows, and the seconds of the current epoch."""
        return {"rows": [dict(row) for row in self.rows], "sums": dict(self._sums)}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from a state."""
        self.rows, self._sums = [dict(row) for row in state["rows"]], dict(state["sums"])

    def snapshot(self) -> None:
        """Return nothing: batches that are undone took their time too."""

    def go_back(self, snapshot: None) -> None:
        """Keep the seconds."""

    def _enter(self, phase: str) -> None:
        now = time.perf_counter()
        self._sums[self._phase] += now - self._mark
        self._mark, self._phase = now, phase


class StopAfter(Callback):
    """Ends a fit after some time, once the batch is finished; the next fit goes on, and so does a resumed one.

    With :class:`Checkpoints` this divides a run among jobs of limited time, with the bits of one that was never
    stopped.

    Parameters
    ----------
    seconds : float
        Counted from the start of each fit.

    Raises
    ------
    ArgumentError
        If it is not a finite number > 0.

    Examples
    --------
    >>> import numpy as np, nnx
    >>> model = nnx.Linear(1, 1, rng=0)
    >>> trainer = nnx.Trainer(model, nnx.MSE(), nnx.SGD(model, 0.1), callbacks=[nnx.callbacks.StopAfter(seconds=1e-9)])
    >>> _ = trainer.fit((np.ones((4, 1), np.float32),), epochs=100)
    >>> trainer.step, trainer.paused
    (1, 'after 1e-09 seconds')
    """

    def __init__(self, seconds: float) -> None:
        self.seconds = as_positive(seconds, "seconds")
        self._end = 0.0

    def on_fit_start(self, trainer: Trainer) -> None:
        """Start the clock."""
        self._end = time.monotonic() + self.seconds

    def on_batch_end(self, trainer: Trainer, value: Array, outputs: Any) -> None:
        """Look at the clock."""
        if time.monotonic() >= self._end:
            trainer.pause(f"after {self.seconds:g} seconds")
