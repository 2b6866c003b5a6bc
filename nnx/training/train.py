"""The training loop of a classifier."""

import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import islice
from typing import Any, NoReturn, Protocol

from nnx.autodiff import value_and_grad
from nnx.backend import is_cheap_to_read, is_finite, namespace, to_numpy
from nnx.data import DataLoader
from nnx.errors import ArgumentError, NonFiniteError
from nnx.layers import Module, layer_outputs
from nnx.losses import Loss
from nnx.metrics import count_correct
from nnx.training.history import EpochRow, History
from nnx.tree import tree_leaves
from nnx.types import Array


class Optimizer(Protocol):
    """What takes a step with gradients by dotted path, as :class:`nnx.SGD` does."""

    def step(self, gradients: dict[str, Array]) -> None:
        """Change the model's parameters."""


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

    The loop is no more than this, with the figures collected beside it::

        for x, target in loader:
            value, gradients = nnx.value_and_grad(objective)(model, x, target)
            optimizer.step(gradients)

    On a GPU the figures stay on the device until the epoch has ended.

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
        Of pairs: inputs (batch, ...), and targets that both the loss and :func:`accuracy` take.
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
        was first not finite; ``model`` then has the weights from before that batch.
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
        As in :func:`train_classifier`. The mode of each module is put back afterwards.

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
    loader: DataLoader,
    optimizer: Optimizer,
    epoch: int,
    on_batch: Callable[[int], None] | None,
) -> tuple[float, float]:
    start, figures = model.state_dict(), _Figures()
    differentiate = value_and_grad(_objective, has_aux=True)
    for number, (x, target) in enumerate(loader, start=1):
        (value, output), gradients = differentiate(model, loss, x, target)
        figures.add(value, output, target)
        if is_cheap_to_read(value) and not math.isfinite(value):
            _raise_not_finite(model, loss, x, float(value), f"epoch {epoch}, batch {number}")
        optimizer.step(gradients)
        if on_batch is not None:
            on_batch(number)
    if (wrong := figures.first_not_finite()) is not None:
        _replay(model, loss, loader, optimizer, epoch, start, *wrong)
    return figures.means()


def _objective(model: Module, loss: Loss, x: Array, target: Array) -> tuple[Array, Array]:
    output = model(x)
    return loss(output, target), output


def _evaluate(model: Module, loss: Loss, loader: DataLoader, where: str) -> tuple[float, float]:
    figures = _Figures()
    with _modes_put_back(model):
        model.eval()
        for x, target in loader:
            output = model(x)
            figures.add(loss(output, target), output, target)
        if (wrong := figures.first_not_finite()) is not None:
            number, value = wrong
            x, _ = next(islice(_again(loader), number - 1, None))
            _raise_not_finite(model, loss, x, value, f"{where}validation batch {number}")
    return figures.means()


@contextmanager
def _modes_put_back(model: Module) -> Iterator[None]:
    """Give each module the mode back that it has now: a frozen one may be in another than the model."""
    modes = [(module, module.training) for _, module in model.named_modules()]
    try:
        yield
    finally:
        for module, mode in modes:
            module.training = mode


class _Figures:
    """Losses and counts of batches; they stay where they are until they are asked for, then move at once."""

    def __init__(self) -> None:
        self._losses: list[Array] = []
        self._correct: list[Array] = []
        self._sizes: list[int] = []

    def add(self, value: Array, output: Array, target: Array) -> None:
        self._losses.append(value)
        self._correct.append(count_correct(output, target))
        self._sizes.append(math.prod(output.shape) // output.shape[1])

    def first_not_finite(self) -> tuple[int, float] | None:
        """Return the number, from 1, and the loss of the first batch whose loss is not finite."""
        self._losses = _read(self._losses)
        return next(((i, value) for i, value in enumerate(self._losses, 1) if not math.isfinite(value)), None)

    def means(self) -> tuple[float, float]:
        """Return the loss and the accuracy over all samples."""
        samples = sum(self._sizes)
        weighted = (value * size for value, size in zip(self._losses, self._sizes, strict=True))
        return math.fsum(weighted) / samples, sum(_read(self._correct)) / samples


def _read(values: list[Array]) -> list[Any]:
    """Return the numbers in 0-d arrays, in one transfer."""
    return to_numpy(namespace(values[0]).stack(values)).tolist()


def _replay(
    model: Module,
    loss: Loss,
    loader: DataLoader,
    optimizer: Optimizer,
    epoch: int,
    start: dict[str, Any],
    wrong: int,
    value: float,
) -> NoReturn:
    """Go through an epoch again up to the batch that went wrong, and report it with the weights it met.

    Only where reading each loss would stop a device's queue, so that the end of the epoch brought it to light.
    """
    model.load_state_dict(start)
    differentiate = value_and_grad(_objective, has_aux=True)
    for number, (x, target) in enumerate(_again(loader), start=1):
        if number == wrong:
            break
        _, gradients = differentiate(model, loss, x, target)
        optimizer.step(gradients)
    _raise_not_finite(model, loss, x, value, f"epoch {epoch}, batch {wrong}")


def _again(loader: DataLoader) -> Iterator[tuple[Array, ...]]:
    """Return the batches of the loader's last epoch once more, in the same order."""
    loader.epoch -= 1
    return iter(loader)


def _raise_not_finite(model: Module, loss: Loss, x: Array, value: float, where: str) -> NoReturn:
    advice = "use a smaller learning rate, or check the data"
    if not is_finite(x):
        raise NonFiniteError(f"the loss became {value} in {where}: the input holds NaN or infinity; {advice}")
    for path, layer, output in layer_outputs(model, x):
        if not all(is_finite(leaf) for leaf in tree_leaves(output)):
            error = NonFiniteError(
                f"the loss became {value} in {where}, and the output of this layer was the first not finite; {advice}"
            )
            error.layer, error.module_path = type(layer).__name__, tuple(path.split(".")) if path else ()
            raise error
    raise NonFiniteError(
        f"the loss became {value} in {where}, though the output of every layer is finite: "
        f"{type(loss).__name__} overflowed, or the target holds NaN; {advice}"
    )
