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
    """Train a model on a loader's batches, and measure it after each epoch.

    The loop is no more than this, with the metrics collected beside it::

        step = nnx.training.make_step(loss, optimizer)
        for batch in loader:
            value, outputs = step(model, batch)

    On a GPU the metrics stay on the device until the epoch has ended.

    Parameters
    ----------
    model : Module
        Trained in place. At the end it has the weights of the last epoch; those of the best one are in
        ``history.best``, for ``model.load_state_dict(history.best.state)``. In training mode, it is trained with
        the mode that each module has, so that a frozen one may stay in evaluation mode; in evaluation mode, all
        are switched to training. The mode of each module is put back afterwards.
    loss : Loss
        With reduction ``"mean"``.
    loader, validation : DataLoader
        Or another iterable of batches, which is gone through once an epoch. A batch is a pair of inputs (batch, ...)
        and of a target that both the loss and :func:`nnx.metrics.accuracy` take; several inputs may come before the
        target, or by name in a dict beside ``"target"``. A loader in the middle of an epoch, after
        ``load_state_dict``, goes on there; what is left of that epoch is then its row.
    optimizer : Optimizer
        Made for ``model``.
    epochs : int
        How many more to train.
    history : History, optional
        Goes on from its last epoch. What it holds stays when training is stopped by an exception,
        ``KeyboardInterrupt`` included.
    on_epoch : callable, optional
        Called with the row of each epoch, which ``history`` then holds already.
    on_batch : callable, optional
        Called with the number of each batch, counted from 1 in each epoch.

    Returns
    -------
    History
        The one given, or a new one.

    Raises
    ------
    NonFiniteError
        If the loss becomes infinite or NaN. Its message has the epoch, the batch and the layer whose output
        was first not finite; ``model`` then has the weights and buffers that this batch met, also on a device,
        where it is reported at the end of the epoch.
    DataError
        If a loader gives no batches, or batches that are not inputs and a target.
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
    with _modes_put_back(model):
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
        As in :func:`train_classifier`. Model and loss record nothing for a backward pass; the mode of each module is
        put back afterwards.

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
    with _modes_put_back(model, loss):
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
        """Return both in one transfer, with which the flags of the watch come."""
        numbers = [self._loss.compute(), self._accuracy.compute(), *watch.flags()]
        xp = namespace(*numbers)
        read = to_numpy(xp.stack([xp.astype(number, numbers[0].dtype) for number in numbers])).tolist()
        watch.finish(read[2:])
        return read[0], read[1]


def _batches(loader: Iterable[Tree]) -> Iterator[Tree]:
    """Iterate over an epoch; over the next one if nothing was left of it, as after a stop at its end."""
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
def _modes_put_back(*roots: Any) -> Iterator[None]:
    """Give each module the mode back that it has now: a frozen one may be in another than the model."""
    modes = [(module, module.training) for module in _modules(roots)]
    try:
        yield
    finally:
        for module, mode in modes:
            module.training = mode


def _set_modes(training: bool, *roots: Any) -> None:
    """Set modes, and leave what was recorded for a backward pass alone, which ``train`` and ``eval`` forget."""
    for module in _modules(roots):
        module.training = training


def _modules(roots: Iterable[Any]) -> Iterator[Module]:
    return (module for root in roots if isinstance(root, Module) for _, module in root.named_modules())
