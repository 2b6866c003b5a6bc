"""Reduce the learning rate where a metric no longer gets better."""

from collections.abc import Mapping
from typing import Any

from nnx.errors import ArgumentError, UsageError
from nnx.functional.checks import as_integer, as_nonnegative, as_positive
from nnx.optimizers import Optimizer
from nnx.optimizers.hyperparameters import as_flag
from nnx.training import Callback, Trainer
from nnx.training.history import Row, is_smaller_better, monitored
from nnx.training.state_checks import COUNT, NUMBER, expect_kinds, or_none


class ReduceOnPlateau(Callback):
    r"""Multiplies the learning rates by a factor when a metric was no better for more than ``patience`` epochs.

    .. math:: \gamma \leftarrow \max(\text{factor} \cdot \gamma, \text{least\_rate})

    Parameters
    ----------
    monitor : str, optional
        The metric. Of losses, errors and perplexities smaller is better, of other metrics larger. Default the loss, if
        there is one that of validation.
    factor : float
        Between 0 and 1.
    patience : int
        The number of epochs without progress that change nothing yet.
    least_change : float
        By how much an epoch must be better than the best one to be progress: this share of the best value if
        ``relative``, else this number.
    relative : bool
    cooldown : int
        The number of epochs after a change that are not counted as without progress.
    least_rate : float
        No learning rate gets smaller than this.

    Attributes
    ----------
    best : float or None
        The best value so far.
    waited : int
        The number of epochs without progress.

    Raises
    ------
    ArgumentError
        If an argument is out of range or, at the start of a fit, there is no such metric.
    UsageError
        At the start of a fit, if a learning rate is a schedule, or the optimizer is not one of nnx.

    Notes
    -----
    ``ReduceLROnPlateau`` of PyTorch. A change by at most 1e-8 is not made, as there. The learning rates of groups are
    multiplied too.

    Examples
    --------
    >>> import numpy as np, nnx
    >>> model = nnx.Linear(1, 1, rng=0)
    >>> plateau = nnx.callbacks.ReduceOnPlateau(factor=0.5, patience=0, least_change=1e9)  # nothing is progress
    >>> trainer = nnx.Trainer(model, nnx.MSE(), nnx.SGD(model, learning_rate=0.4), callbacks=[plateau])
    >>> _ = trainer.fit((np.ones((2, 1), np.float32),), epochs=3)
    >>> trainer.optimizer.learning_rate
    0.1
    """

    def __init__(
        self,
        monitor: str | None = None,
        *,
        factor: float = 0.1,
        patience: int = 10,
        least_change: float = 1e-4,
        relative: bool = True,
        cooldown: int = 0,
        least_rate: float = 0.0,
    ) -> None:
        self.monitor = monitor
        self.factor = as_positive(factor, "factor")
        if self.factor >= 1.0:
            raise ArgumentError(f"expected factor in (0, 1), got {factor!r}")
        self.patience = as_integer(patience, "patience", 0)
        self.least_change = as_nonnegative(least_change, "least_change")
        self.relative = as_flag(relative, "relative")
        self.cooldown = as_integer(cooldown, "cooldown", 0)
        self.least_rate = as_nonnegative(least_rate, "least_rate")
        self.best: float | None = None
        self.waited = 0
        self._cooling = 0  # how many epochs of the cooldown are left

    def on_fit_start(self, trainer: Trainer) -> None:
        """Refuse a metric that the fit does not have, and an optimizer whose rates cannot be multiplied."""
        monitored(self.monitor, trainer.columns)
        _numbers(_optimizer_of(trainer))

    def on_epoch_end(self, trainer: Trainer, row: Row) -> None:
        """Count the epoch, and reduce the rates if it was one too many."""
        name = monitored(self.monitor, trainer.columns)[0]
        if self._is_progress(row[name], is_smaller_better(name)):
            self.best, self.waited = row[name], 0
        else:
            self.waited += 1
        if self._cooling:
            self._cooling, self.waited = self._cooling - 1, 0
        if self.waited > self.patience:
            self._reduce(_optimizer_of(trainer))
            self._cooling, self.waited = self.cooldown, 0

    def state_dict(self) -> dict[str, Any]:
        """Return the best value and the counts; the learning rates are part of the optimizer's state."""
        return {"best": self.best, "waited": self.waited, "cooling": self._cooling}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from a state; raises CheckpointError if it is not one."""
        expect_kinds(state, {"best": or_none(NUMBER), "waited": COUNT, "cooling": COUNT}, type(self).__name__)
        self.best, self.waited, self._cooling = state["best"], state["waited"], state["cooling"]

    def _is_progress(self, value: float, smaller: bool) -> bool:
        if self.best is None:
            return value == value  # NaN is none
        margin = self.least_change * (self.best if self.relative else 1.0)
        return value < self.best - margin if smaller else value > self.best + margin

    def _reduce(self, optimizer: Optimizer) -> None:
        rates = [(rate, max(rate * self.factor, self.least_rate)) for rate in _numbers(optimizer)]
        optimizer.learning_rates = [new if rate - new > 1e-8 else rate for rate, new in rates]


def _optimizer_of(trainer: Trainer) -> Optimizer:
    if not isinstance(trainer.optimizer, Optimizer):
        raise UsageError(f"ReduceOnPlateau: expected an optimizer of nnx, got {type(trainer.optimizer).__name__}")
    return trainer.optimizer


def _numbers(optimizer: Optimizer) -> list[float]:
    for rate in optimizer.learning_rates:
        if callable(rate):
            raise UsageError(f"ReduceOnPlateau changes a learning rate that is a number, got {rate!r}; use one of them")
    return [*optimizer.learning_rates]  # type: ignore[list-item]
