"""One step of training: a function of a model and a batch."""

import copy
import inspect
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple, Protocol

from nnx.autodiff import value_and_grad
from nnx.backend import namespace
from nnx.errors import ArgumentError, DataError, ShapeError, UsageError
from nnx.functional.checks import counted, first_where, nearest
from nnx.layers import Module
from nnx.losses import Loss
from nnx.types import Array, Tree

TARGET, WEIGHT = "target", "sample_weight"
"""The keys of the target and of the samples' weights in a batch that is a dict."""


class Optimizer(Protocol):
    """Anything that takes a step with gradients by dotted path, as :class:`nnx.SGD` does."""

    def step(self, gradients: Mapping[str, Array]) -> None:
        """Change the model's parameters."""


class Parts(NamedTuple):
    """The parts of a batch: the arguments of the model, the target of the loss, and the weights of the samples."""

    args: tuple[Any, ...]
    kwargs: Mapping[str, Any]
    target: Any
    weight: Array | None = None


def make_step(
    objective: Callable[[Any, Any], tuple[Array, Any]] | Loss,
    optimizer: Optimizer,
    *,
    before_update: Callable[[Tree, Array, Any, Any], Mapping[str, Array] | None] | None = None,
) -> Callable[[Module, Tree], tuple[Array, Any]]:
    """Return a function that takes one training step, and returns the loss and the outputs of the model.

    It is just this::

        def step(model, batch):
            (value, outputs), gradients = nnx.value_and_grad(objective, has_aux=True)(model, batch)
            optimizer.step(gradients)
            return value, outputs

    Parameters
    ----------
    objective : callable or Loss
        ``objective(model, batch) -> (value, outputs)``; the value, an array of shape (), is minimized. A batch is any
        tree that the objective understands. A loss stands for ``supervised(loss)``.
    optimizer : Optimizer
        Made for the model that the step is called with.
    before_update : callable, optional
        Called as ``before_update(batch, value, outputs, gradients)``; returns the gradients for the update, such as
        clipped ones, or ``None`` for no update. If it raises, there is none either.

    Returns
    -------
    step : callable
        ``step(model, batch) -> (value, outputs)``. Nothing is read from a device.

    Examples
    --------
    >>> import numpy as np, nnx
    >>> model = nnx.Linear(1, 1, rng=0)
    >>> step = make_step(nnx.MSE(), nnx.SGD(model, learning_rate=0.1))
    >>> x = np.asarray([[1.0], [2.0]], np.float32)
    >>> losses = [float(step(model, (x, 3 * x))[0]) for _ in range(50)]
    >>> losses[-1] < 0.01 * losses[0]
    True

    Two inputs, in a batch that is a dict, and an objective of your own:

    >>> def distance(model, batch):
    ...     a, b = model(batch["a"]), model(batch["b"])
    ...     return nnx.functional.mse(a, b), (a, b)
    >>> value, (a, b) = make_step(distance, nnx.SGD(model, 0.1))(model, {"a": x, "b": x})
    >>> float(value)
    0.0
    """
    differentiate = value_and_grad(as_objective(objective), has_aux=True)

    def step(model: Module, batch: Tree) -> tuple[Array, Any]:
        (value, outputs), gradients = differentiate(model, batch)
        if before_update is not None:
            gradients = before_update(batch, value, outputs, gradients)
        if gradients is not None:
            optimizer.step(gradients)
        return value, outputs

    return step


def as_objective(loss: Any) -> Callable[[Any, Any], tuple[Array, Any]]:
    """Return the objective that a loss stands for, or the user's own, with a check of what it returns."""
    return supervised(loss) if isinstance(loss, Loss) else partial(_checked, loss)


def _checked(objective: Callable[[Any, Any], Any], model: Any, batch: Any) -> tuple[Array, Any]:
    found = objective(model, batch)
    if not isinstance(found, tuple) or len(found) != 2:
        raise ArgumentError(f"expected an objective that returns (value, outputs), got {type(found).__name__}")
    return found


def supervised(loss: Callable[[Any, Any], Array]) -> Callable[[Any, Any], tuple[Array, Any]]:
    """Return the objective ``loss(model(inputs), target)`` for batches that hold inputs and a target.

    ======================================== ==================================
    batch                                    the loss
    ======================================== ==================================
    ``(x, target)``                          ``loss(model(x), target)``
    ``(a, b, target)``                       ``loss(model(a, b), target)``
    ``{"a": a, "b": b, "target": target}``   ``loss(model(a=a, b=b), target)``
    the same with ``"sample_weight": w``     ``sum(w * losses) / sum(w)``
    ``(x,)`` or ``x``, as for an autoencoder ``loss(model(x), x)``
    ======================================== ==================================

    Parameters
    ----------
    loss : callable
        Takes what the model returns, which may be a tuple, and the target. Usually a :class:`nnx.Loss`. For batches
        with weights of the samples it must be one that can give a loss for each sample.

    Returns
    -------
    objective : callable
        ``objective(model, batch) -> (value, outputs)``.

    Raises
    ------
    DataError
        From the objective, if a batch is empty, a dict without a target, has other inputs than the model takes, or a
        negative weight. Where reading the weights would wait for a device, they are not looked at.
    ShapeError
        From the objective, if there is not one weight for each loss.
    ArgumentError
        From the objective, if samples have weights and the loss has no ``reduction="none"``.

    Examples
    --------
    >>> import numpy as np, nnx
    >>> value, outputs = supervised(nnx.MSE())(nnx.ReLU(), (np.asarray([-1.0, 2.0]), np.asarray([0.0, 4.0])))
    >>> float(value), outputs
    (2.0, array([0., 2.]))
    """

    def objective(model: Any, batch: Any) -> tuple[Array, Any]:
        args, kwargs, target, weight = parts_of(batch)
        outputs = call_model(model, args, kwargs)
        return (loss(outputs, target) if weight is None else _weighted(loss, outputs, target, weight)), outputs

    return objective


def _weighted(loss: Any, outputs: Any, target: Any, weight: Array) -> Array:
    if "none" not in getattr(loss, "reductions", ()):
        raise ArgumentError(
            f"expected a loss that can give one for each sample, since the batch has {WEIGHT!r}, got "
            f"{getattr(loss, '__name__', type(loss).__name__)}; choose one with reduction='none', or write an objective"
        )
    each = copy.copy(loss)
    vars(each)["reduction"] = "none"
    losses = each.forward(outputs, target)
    xp = namespace(losses, weight)
    if weight.ndim == 1 and losses.ndim > 1 and weight.shape[0] == losses.shape[0]:  # the losses of a sample have one
        losses = xp.mean(xp.reshape(losses, (losses.shape[0], -1)), axis=1)
    if tuple(weight.shape) != tuple(losses.shape):
        raise ShapeError(
            f"expected {WEIGHT!r} of shape {tuple(losses.shape)}, one for each loss, got {tuple(weight.shape)}"
        )
    if (negative := first_where(weight, lambda host: host < 0)) is not None:
        raise DataError(f"expected {WEIGHT!r} >= 0, got {negative}; leave a sample out with a weight of 0")
    weight = xp.astype(weight, losses.dtype)
    return xp.sum(weight * losses) / xp.sum(weight)


def settle_on(model: Module, batch: Any) -> None:
    """Settle the open sizes of a model, if it has any, on the inputs of a batch."""
    try:
        model.parameters()
    except UsageError:
        args, kwargs, _, _ = parts_of(batch)
        expect_arguments(model, args, kwargs)
        model.settle(*args, **kwargs)


def call_model(model: Any, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
    """Return what a model returns for the arguments that a batch gives; a DataError if it takes others."""
    try:
        return model(*args, **kwargs)
    except TypeError:
        expect_arguments(model, args, kwargs)
        raise


def expect_arguments(model: Any, args: Sequence[Any], kwargs: Mapping[str, Any]) -> None:
    """Raise DataError unless a model takes the arguments that a batch gives."""
    forward = model.forward if isinstance(model, Module) else model
    signature = inspect.signature(forward)
    try:
        signature.bind(*args, **kwargs)
    except TypeError:
        takes, given = [*signature.parameters], [*map(str, kwargs)] or [counted(len(args), "input")]
        unknown = [name for name in kwargs if name not in takes]
        near = nearest(unknown[0], {*takes, TARGET, WEIGHT} - kwargs.keys()) if unknown else ""
        raise DataError(
            f"expected a batch with what {type(model).__name__} takes, {', '.join(takes)}, got {', '.join(given)}{near}"
        ) from None


def parts_of(batch: Any) -> Parts:
    """Split a batch into the arguments of the model and the target, by the table of :func:`supervised`."""
    if isinstance(batch, Mapping):
        if TARGET not in batch:
            raise DataError(
                f"expected a batch with a {TARGET!r}, got one with {', '.join(map(repr, batch)) or 'nothing'}; "
                "rename the target, or write an objective(model, batch)"
            )
        kwargs = {name: part for name, part in batch.items() if name not in (TARGET, WEIGHT)}
        return Parts((), kwargs, batch[TARGET], batch.get(WEIGHT))
    if not isinstance(batch, (tuple, list)):
        return Parts((batch,), {}, batch)
    if not batch:
        raise DataError("expected a batch with inputs and a target, got an empty one; check the loader")
    return Parts(tuple(batch[:-1]) or (batch[0],), {}, batch[-1])
