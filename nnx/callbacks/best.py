"""Keep the model of the best epoch, and stop when there was no better one for long."""

from collections.abc import Mapping, Sequence
from typing import Any

from nnx.functional.checks import as_integer, as_nonnegative, counted
from nnx.training.history import Row, is_smaller_better, monitored, rank
from nnx.training.hooks import Callback
from nnx.training.state_checks import COUNT, NAMED, ROW, expect_kinds, or_none
from nnx.training.trainer import Trainer


class KeepBest(Callback):
    """Keeps the model of the best epoch, and gives the model its weights at the end of the fit.

    The weights are held, not copied: training never writes into an array that somebody else holds.

    Parameters
    ----------
    monitor : str or sequence of str, optional
        What decides: a metric, and others that decide between equal epochs. Of losses, errors and perplexities the
        smallest is the best, of other metrics the largest. Default the loss, if there is one that of validation.
    restore : bool
        Whether a fit that ends well leaves the model with the best weights instead of the last.

    Attributes
    ----------
    row : dict or None
        The metrics of the best epoch, the first of equals.
    state : dict or None
        The model's :meth:`nnx.Module.state_dict` after it.

    Raises
    ------
    ArgumentError
        At the start of a fit, if there is no such metric.

    Examples
    --------
    >>> import numpy as np, nnx
    >>> model = nnx.Linear(1, 1, initializer=nnx.initializers.Constant(0.5))
    >>> best = nnx.callbacks.KeepBest("loss")
    >>> trainer = nnx.Trainer(model, nnx.MSE(), nnx.SGD(model, learning_rate=3.0), callbacks=[best])
    >>> history = trainer.fit((np.ones((2, 1), np.float32),), epochs=3)
    >>> best.row["epoch"]
    1
    """

    def __init__(self, monitor: str | Sequence[str] | None = None, *, restore: bool = True) -> None:
        self.monitor = monitor
        self.restore = restore
        self.row: Row | None = None
        self.state: Mapping[str, Any] | None = None
        self._average: Mapping[str, Any] | None = None  # the state of the average of weights, if there is one

    def on_fit_start(self, trainer: Trainer) -> None:
        """Forget the best epoch of the fit before, which may have had other data."""
        monitored(self.monitor, trainer.columns)
        if not trainer.goes_on:
            self.row = self.state = self._average = None

    def on_epoch_end(self, trainer: Trainer, row: Row) -> None:
        """Hold the model if this epoch is the best so far."""
        names = monitored(self.monitor, trainer.columns)
        if self.row is None or rank(row, names) > rank(self.row, names):
            with trainer.averaged():
                self.row, self.state = dict(row), trainer.model.state_dict()
            self._average = None if trainer.average is None else trainer.average.state_dict()

    def on_fit_end(self, trainer: Trainer) -> None:
        """Give the model the best weights, unless the fit ended with an error or is to go on."""
        if self.restore and trainer.error is None and trainer.paused is None and self.state is not None:
            trainer.model.load_state_dict(self.state)
            if trainer.average is not None and self._average is not None:
                trainer.average.load_state_dict(self._average)

    def state_dict(self) -> dict[str, Any]:
        """Return the best row and the best model."""
        return {"row": self.row, "state": _copy(self.state), "average": _copy(self._average)}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from a state; raises CheckpointError if it is not one."""
        kinds = {"row": or_none(ROW), "state": or_none(NAMED)}
        expect_kinds(state, kinds, type(self).__name__)
        expect_kinds({"average": None, **state}, {"average": or_none(NAMED)}, type(self).__name__)
        self.row, self.state, self._average = state["row"], state["state"], state.get("average")


def _copy(state: Mapping[str, Any] | None) -> dict[str, Any] | None:
    return None if state is None else dict(state)


class EarlyStopping(KeepBest):
    """Stops when no epoch was better than the best for a number of epochs, and restores the model of the best.

    Parameters
    ----------
    monitor : str or sequence of str, optional
        As in :class:`KeepBest`.
    patience : int
        How many epochs without a better one end the fit.
    least_change : float
        By how much the first monitored metric must be better to count; what is kept as the best needs no such margin.
    restore : bool
        As in :class:`KeepBest`.

    Raises
    ------
    ArgumentError
        If ``patience`` is less than 1 or ``least_change`` negative; at the start of a fit, if there is no such metric.

    Examples
    --------
    >>> import numpy as np, nnx
    >>> model = nnx.Linear(1, 1, initializer=nnx.initializers.Constant(0.5))
    >>> stopping = nnx.callbacks.EarlyStopping("loss", patience=2)
    >>> trainer = nnx.Trainer(model, nnx.MSE(), nnx.SGD(model, learning_rate=3.0), callbacks=[stopping])
    >>> len(trainer.fit((np.ones((2, 1), np.float32),), epochs=100).rows)
    3
    >>> trainer.stopped
    'no better loss than 0.25 of epoch 1 for 2 epochs'
    """

    def __init__(
        self,
        monitor: str | Sequence[str] | None = None,
        *,
        patience: int = 10,
        least_change: float = 0.0,
        restore: bool = True,
    ) -> None:
        super().__init__(monitor, restore=restore)
        self.patience = as_integer(patience, "patience", least=1)
        self.least_change = as_nonnegative(least_change, "least_change")
        self.waited = 0
        self._reached: Row | None = None  # the last row that was better by the margin

    def on_fit_start(self, trainer: Trainer) -> None:
        """Begin to wait anew, unless the fit is the rest of one."""
        super().on_fit_start(trainer)
        if not trainer.goes_on:
            self.waited, self._reached = 0, None

    def on_epoch_end(self, trainer: Trainer, row: Row) -> None:
        """Stop the fit if it was enough."""
        super().on_epoch_end(trainer, row)
        names = monitored(self.monitor, trainer.columns)
        if self._reached is None or self._is_better(row, self._reached, names):
            self._reached, self.waited = dict(row), 0
            return
        self.waited += 1
        if self.waited >= self.patience and self.row is not None:
            trainer.stop(
                f"no better {names[0]} than {self.row[names[0]]:.6g} of epoch {self.row['epoch']} "
                f"for {counted(self.waited, 'epoch')}"
            )

    def _is_better(self, row: Row, reached: Row, names: Sequence[str]) -> bool:
        margin = -self.least_change if is_smaller_better(names[0]) else self.least_change
        return rank(row, names) > rank({**reached, names[0]: reached[names[0]] + margin}, names)

    def state_dict(self) -> dict[str, Any]:
        """Return the best row and model, and how long there was no better one."""
        return {**super().state_dict(), "waited": self.waited, "reached": self._reached}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from a state; raises CheckpointError if it is not one."""
        expect_kinds(state, {"waited": COUNT, "reached": or_none(ROW)}, type(self).__name__)
        super().load_state_dict(state)
        self.waited, self._reached = state["waited"], state["reached"]
