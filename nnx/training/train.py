"""The training loop of a classifier."""

import math
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

from nnx.backend import namespace, to_numpy
from nnx.data import DataLoader
from nnx.errors import ArgumentError, DataError
from nnx.layers import Module
from nnx.losses import Loss
from nnx.metrics import Accuracy, Mean
from nnx.training.diagnosis import Watch
from nnx.training.history import EpochRow, History
from nnx.training.step import Optimizer, make_step, parts_of, supervised
from nnx.types import Array, Tree


def train_classifier(
    model: Module,
    loss: Loss,
    loader: DataLoader,
    validation: DataLoader | None = None,
    *,
    optimizer: Optimizer,
    epochs: int,
    history: History | None = None,
    on_epoch: Callable[[EpochRow], None] | None = None,
    on_batch: Callable[[int], None] | None = None,
) -> History:
    """Train a model on the batches of a loader, and evaluate it after each epoch.

    The loop is just this, plus the metrics::

        step = nnx.training.make_step(loss, optimizer)
        for batch in loader:
            value, outputs = step(model, batch)

    On a GPU the metrics stay on the device until the end of the epoch.

    Parameters
    ----------
    model : Module
        Trained in place. At the end it has the weights of the last epoch; for those of the best one, call
        ``model.load_state_dict(history.best.state)``. If the model is in training mode, each module is trained in the
        mode that it has, so that a frozen one may stay in evaluation mode; otherwise all are switched to training mode.
        The modes are restored afterwards.
    loss : Loss
        With reduction ``"mean"``.
    loader, validation : DataLoader
        Or any other iterable of batches, one pass over which is an epoch. A batch is a pair of inputs (batch, ...) and
        a target that both the loss and :func:`nnx.metrics.accuracy` accept; several inputs may come before the target,
        or be named in a dict with ``"target"``. A loader that is in the middle of an epoch, after ``load_state_dict``,
        continues there; the first row is then that of the rest of the epoch.
    optimizer : Optimizer
        Made for ``model``.
    epochs : int
        How many more epochs to train.
    history : History, optional
        A history to continue. It keeps its rows if training is stopped by an exception, such as ``KeyboardInterrupt``.
    on_epoch : callable, optional
        Called with the row of each epoch, once it is in ``history``.
    on_batch : callable, optional
        Called with the number of each batch, from 1 in each epoch.

    Returns
    -------
    History
        The one given, or a new one.

    Raises
    ------
    NonFiniteError
        If the loss becomes infinite or NaN. The message has the epoch, the batch, and the layer whose output was the
        first not finite; ``model`` is left with the weights and buffers from before that batch. On a GPU the error
        comes at the end of the epoch.
    DataError
        If a loader yields no batches, or batches that are not inputs and a target.
    ArgumentError
        If ``epochs`` is less than 1.

    Examples
    --------
    >>> import numpy as np, nnx
    >>> x = np.asarray([[-1.0], [1.0]], np.float32)
    >>> loader = nnx.data.DataLoader((x, np.asarray([0, 1])), batch_size=2)
    >>> model = nnx.Linear(1, 2, rng=0)
    >>> history = train_classifier(
    ...     model, nnx.CrossEntropy(), loader, optimizer=nnx.SGD(model, learning_rate=1.0), epochs=10
    ... )
    >>> history.rows[-1].epoch, history.rows[-1].accuracy
    (10, 1.0)
    """
    if epochs < 1:
        raise ArgumentError(f"expected epochs to be at least 1, got {epochs}")
    history = History() if history is None else history
    first = history.rows[-1].epoch + 1 if history.rows else 1
    with _modes_restored(model):
        if not model.training:
            model.train()
        for epoch in range(first, first + epochs):
            start = time.perf_counter()
            trained = _train_epoch(model, loss, loader, optimizer, epoch, on_batch)
            validated = (None, None) if validation is None else _evaluate(model, loss, validation, f"epoch {epoch}, ")
            seconds = time.perf_counter() - start
            row = EpochRow(epoch, trained[0], trained[1], validated[0], validated[1], seconds)
            history.add(row, model.state_dict())
            if on_epoch is not None:
                on_epoch(row)
    return history


def evaluate(model: Module, loss: Loss, loader: DataLoader) -> tuple[float, float]:
    """Return a model's loss and accuracy over a loader's batches, in evaluation mode.

    Parameters
    ----------
    model, loss, loader
        As in :func:`train_classifier`. Nothing is recorded for a backward pass; the mode of each module is restored
        afterwards.

    Returns
    -------
    loss, accuracy : float
        Weighted by samples.

    Raises
    ------
    NonFiniteError
        If a loss is infinite or NaN.

    Examples
    --------
    >>> import numpy as np, nnx
    >>> loader = nnx.data.DataLoader((np.eye(2), np.asarray([0, 0])), batch_size=1, shuffle=False)
    >>> loss, accuracy = evaluate(nnx.ReLU(), nnx.CrossEntropy(), loader)
    >>> round(loss, 4), accuracy
    (0.8133, 0.5)
    """
    return _evaluate(model, loss, loader, "")


def _train_epoch(
    model: Module,
    loss: Loss,
    loader: Iterable[Tree],
    optimizer: Optimizer,
    epoch: int,
    on_batch: Callable[[int], None] | None,
) -> tuple[float, float]:
    metrics, watch = _Metrics(), Watch(model, loss, f"epoch {epoch}, batch", optimizer)

    def look(batch: Tree, value: Array, outputs: Any) -> None:
        watch.examine(batch, value)
        metrics.update(batch, value, outputs)

    step = make_step(supervised(loss), optimizer, before_update=look)
    for number, batch in enumerate(_batches(loader), start=1):
        watch.begin(batch)
        step(model, batch)
        watch.end()
        if on_batch is not None:
            on_batch(number)
    return metrics.read(watch)


def _evaluate(model: Module, loss: Loss, loader: Iterable[Tree], where: str) -> tuple[float, float]:
    metrics, watch = _Metrics(), Watch(model, loss, f"{where}validation batch")
    objective = supervised(loss)
    with _modes_restored(model, loss):
        _set_modes(False, model, loss)
        for batch in _batches(loader):
            watch.begin(batch)
            value, outputs = objective(model, batch)
            watch.examine(batch, value)
            metrics.update(batch, value, outputs)
        return metrics.read(watch)


class _Metrics:
    """Loss and accuracy over the batches of an epoch, weighted by samples."""

    def __init__(self) -> None:
        self._loss, self._accuracy = Mean(), Accuracy()

    def update(self, batch: Tree, value: Array, outputs: Any) -> None:
        self._accuracy.update(outputs, parts_of(batch).target)
        self._loss.update(value, math.prod(outputs.shape) // outputs.shape[1])

    def read(self, watch: Watch) -> tuple[float, float]:
        """Return both, read in a single transfer together with the flags of the watch."""
        numbers = [self._loss.compute(), self._accuracy.compute(), *watch.flags()]
        xp = namespace(*numbers)
        read = to_numpy(xp.stack([xp.astype(number, numbers[0].dtype) for number in numbers])).tolist()
        watch.finish(read[2:])
        return read[0], read[1]


def _batches(loader: Iterable[Tree]) -> Iterator[Tree]:
    """Iterate over an epoch, or over the next one if nothing is left of it, as when a run was stopped at its end."""
    for _ in range(2):
        number = 0
        for number, batch in enumerate(loader, start=1):
            is_pair = len(batch) > 1 if isinstance(batch, (tuple, list)) else isinstance(batch, dict)
            if not is_pair:
                got = f"a {type(batch).__name__}" + (f" of {len(batch)}" if isinstance(batch, (tuple, list)) else "")
                raise DataError(
                    f"expected batches (inputs, target), got {got} as batch {number}; "
                    "give the loader the targets too: DataLoader((x, targets), ...)"
                )
            yield batch
        if number:
            return
    raise DataError(
        "expected a loader with at least one batch, got none; an iterator is used up after one epoch: "
        "hand over a DataLoader or a list of batches"
    )


@contextmanager
def _modes_restored(*roots: Any) -> Iterator[None]:
    """Restore the mode of each module at the end of the block: a frozen one may differ from the model."""
    modes = [(module, module.training) for module in _modules(roots)]
    try:
        yield
    finally:
        for module, mode in modes:
            module.training = mode


def _set_modes(training: bool, *roots: Any) -> None:
    """Set modes without dropping what was recorded for a backward pass, as ``train`` and ``eval`` do."""
    for module in _modules(roots):
        module.training = training


def _modules(roots: Iterable[Any]) -> Iterator[Module]:
    return (module for root in roots if isinstance(root, Module) for _, module in root.named_modules())
