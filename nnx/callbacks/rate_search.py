"""Search for a learning rate: a short training on a copy of the model, with a rate that grows until the loss does."""

import copy
import math
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from nnx.errors import ArgumentError, UsageError
from nnx.functional.checks import as_integer, as_positive
from nnx.layers import Module
from nnx.optimizers import Optimizer
from nnx.optimizers.hyperparameters import rate_at
from nnx.training.batches import as_batches, rest_of_epoch, state_of
from nnx.training.plots import plot_rates
from nnx.training.step import make_step

_MOST_GROWTH = 4.0  # the search ends where the loss is so many times the best one
_SMOOTHING = 0.9  # of the exponential average of the losses


@dataclass(frozen=True)
class RateSearch:
    """What :func:`find_learning_rate` found.

    Attributes
    ----------
    rates : tuple of float
        The learning rate of each step, growing by the same factor.
    losses : tuple of float
        The loss of each step, before its update.
    smoothed : tuple of float
        Their exponential average, corrected for its start.
    """

    rates: tuple[float, ...]
    losses: tuple[float, ...]
    smoothed: tuple[float, ...]

    @property
    def suggestion(self) -> float | None:
        """The rate at which the smoothed loss falls fastest; ``None`` if it never fell."""
        bottom = min(range(len(self.smoothed)), key=self.smoothed.__getitem__, default=0)
        falls = [self.smoothed[i - 1] - self.smoothed[i + 1] for i in range(1, bottom)]
        return self.rates[1 + falls.index(max(falls))] if falls and max(falls) > 0.0 else None

    def plot(self) -> Any:
        """Draw the losses over the learning rates, with the suggestion.

        Returns
        -------
        matplotlib.figure.Figure

        Raises
        ------
        MissingExtraError
            If matplotlib is not installed.
        """
        return plot_rates(self.rates, self.losses, self.smoothed, self.suggestion)


def find_learning_rate(
    model: Module,
    loss: Any,
    optimizer: Optimizer,
    data: Any,
    *,
    least: float = 1e-7,
    most: float = 10.0,
    steps: int = 100,
    batch_size: int = 32,
    seed: int = 0,
) -> RateSearch:
    """Train a copy of a model with a learning rate that grows from step to step, until the loss does.

    Model, loss, optimizer and data are afterwards as they were, the position of a loader too.

    Parameters
    ----------
    model : Module
    loss : Loss or callable
        As in :class:`nnx.Trainer`.
    optimizer : Optimizer
        Made for the model. Rates of groups keep their ratio to that of the optimizer.
    data : arrays, DataLoader or iterable of batches
        As in :meth:`nnx.Trainer.fit`. Its batches come again if there are fewer than steps.
    least, most : float
        The learning rates of the first and the last step.
    steps : int
        At least 3. The search ends before, where the loss is not finite or four times the best one.
    batch_size, seed : int
        For arrays.

    Returns
    -------
    RateSearch

    Raises
    ------
    ArgumentError
        If an argument is out of range, or the data can be iterated over only once.
    UsageError
        If the optimizer is not one of nnx, or was made for another model.
    DataError
        If the data have no batch.

    Notes
    -----
    The loss of each step is read, which waits for a GPU. Source: L. N. Smith, "Cyclical learning rates for training
    neural networks", WACV 2017.

    Examples
    --------
    >>> import numpy as np, nnx
    >>> x = nnx.generator(0).normal(size=(256, 4)).astype("float32")
    >>> model = nnx.Linear(4, 1, rng=0)
    >>> search = find_learning_rate(model, nnx.MSE(), nnx.SGD(model, 0.1), (x, x[:, :1]))
    >>> 0.01 < search.suggestion < 1.0
    True
    """
    least, most = as_positive(least, "least"), as_positive(most, "most")
    steps = as_integer(steps, "steps", 3)
    if least >= most:
        raise ArgumentError(f"expected least < most, got {least} and {most}")
    _expect_optimizer(optimizer, model)
    if hasattr(data, "__next__"):
        raise ArgumentError("expected data that can be iterated over again, got an iterator; hand over a DataLoader")
    loader = as_batches(data, batch_size, shuffle=True, seed=seed)
    position = state_of(loader)
    try:
        return _search(*copy.deepcopy((model, loss, optimizer)), _endless(loader), least, most, steps)
    finally:
        if position is not None:
            loader.load_state_dict(position)


def _search(
    model: Module, loss: Any, optimizer: Optimizer, batches: Iterator[Any], least: float, most: float, steps: int
) -> RateSearch:
    """Do the search, with copies."""
    if not model.training:
        model.train()
    ratios = _ratios(optimizer)
    step = make_step(loss, optimizer)
    rates: list[float] = []
    losses: list[float] = []
    smoothed: list[float] = []
    mean = 0.0
    for i, batch in zip(range(steps), batches, strict=False):
        rate = least * (most / least) ** (i / (steps - 1))
        optimizer.learning_rates = [rate * ratio for ratio in ratios]
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", RuntimeWarning)  # in the end the loss overflows, and NumPy would say so
            value = float(step(model, batch)[0])
        if not math.isfinite(value):
            break
        mean = _SMOOTHING * mean + (1.0 - _SMOOTHING) * value
        rates.append(rate)
        losses.append(value)
        smoothed.append(mean / (1.0 - _SMOOTHING ** (i + 1)))
        best = min(smoothed)
        # Measured from the best one, so that it holds for a loss below 0 too.
        if smoothed[-1] - best > (_MOST_GROWTH - 1.0) * max(abs(best), smoothed[0] - best):
            break
    return RateSearch(tuple(rates), tuple(losses), tuple(smoothed))


def _ratios(optimizer: Optimizer) -> list[float]:
    """Return the rates of the optimizer and its groups in the next step, divided by that of the optimizer."""
    number = optimizer.state_dict()["step"]
    first, *others = [rate_at(rate, number) for rate in optimizer.learning_rates]
    return [1.0, *(rate / first if first else 1.0 for rate in others)]


def _endless(loader: Any) -> Iterator[Any]:
    while True:
        yield from rest_of_epoch(loader, 0)


def _expect_optimizer(optimizer: Any, model: Any) -> None:
    if not isinstance(optimizer, Optimizer):
        raise UsageError(f"expected an optimizer of nnx, whose learning rate can be set, got {optimizer!r}")
    if optimizer.model is not model:
        raise UsageError("expected an optimizer made for this model, got one for another; make one for each model")
