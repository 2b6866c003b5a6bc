"""One step of training: a function of a model and a batch."""

import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple, Protocol

from nnx.autodiff import stop_gradient, value_and_grad
from nnx.backend import is_array, namespace, unrecorded
from nnx.errors import ArgumentError, DataError, UsageError
from nnx.functional.checks import counted, nearest
from nnx.layers import Module
from nnx.losses import Loss
from nnx.losses.weighting import samples_in, weighted
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
    return step_from(value_and_grad(as_objective(objective), has_aux=True), optimizer, before_update)


def step_from(
    differentiate: Callable[[Module, Tree], Any],
    optimizer: Optimizer,
    before_update: Callable[[Tree, Array, Any, Any], Mapping[str, Array] | None] | None,
) -> Callable[[Module, Tree], tuple[Array, Any]]:
    """Return the function of :func:`make_step`, from one that returns ``((value, outputs), gradients)``."""

    def step(model: Module, batch: Tree) -> tuple[Array, Any]:
        (value, outputs), gradients = differentiate(model, batch)
        if before_update is not None:
            gradients = before_update(batch, value, outputs, gradients)
        if gradients is not None:
            optimizer.step(gradients)
        return value, outputs

    return step


def as_objective(loss: Any) -> "DividedObjective":
    """Return the objective that a loss stands for, or the user's own, with a check of what it returns."""
    if isinstance(loss, DividedObjective):
        return loss
    return Supervised(loss) if isinstance(loss, Loss) else _Own(loss)


def supervised(loss: Callable[[Any, Any], Array]) -> "DividedObjective":
    r"""Return the objective ``loss(model(inputs), target)`` for batches that hold inputs and a target.

    ======================================== ==================================
    batch                                    the loss
    ======================================== ==================================
    ``(x, target)``                          ``loss(model(x), target)``
    ``(a, b, target)``                       ``loss(model(a, b), target)``
    ``{"a": a, "b": b, "target": target}``   ``loss(model(a=a, b=b), target)``
    the same with ``"sample_weight": w``     ``sum(w * losses) / sum(w)``; see the notes
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
        ``objective(model, batch) -> (value, outputs)``. Its method ``divisor(batch, outputs)`` returns what the loss
        was divided by, see :meth:`nnx.Loss.divisor`; for a plain function that is the number of samples.

    Raises
    ------
    DataError
        From the objective, if a batch is empty, a dict without a target, has other inputs than the model takes, or a
        negative weight. Where reading the weights would wait for a device, they are not looked at.
    ShapeError
        From the objective, if there is not one weight for each loss.
    ArgumentError
        From the objective, if samples have weights and the loss has no ``reduction="none"``.

    Notes
    -----
    A weight of a sample is one of each of its terms, such as the elements of its target, or there is one weight for
    each term. With what the loss itself counts a term as, such as the weight of a class or 0 for an ignored target, the
    mean is :math:`\sum_i w_i l_i / \sum_i w_i c_i`: weights of 1 change nothing. A loss that is a sum is
    :math:`\sum_i w_i l_i`.

    Examples
    --------
    >>> import numpy as np, nnx
    >>> value, outputs = supervised(nnx.MSE())(nnx.ReLU(), (np.asarray([-1.0, 2.0]), np.asarray([0.0, 4.0])))
    >>> float(value), outputs
    (2.0, array([0., 2.]))
    """
    return Supervised(loss)


class DividedObjective:
    """What is minimized: ``objective(model, batch) -> (value, outputs)``, and what the value was divided by."""

    def __init__(self, loss: Callable[[Any, Any], Any]) -> None:
        self.loss = loss

    def __call__(self, model: Any, batch: Any) -> tuple[Array, Any]:
        """Return the value and the outputs of the model."""
        raise NotImplementedError

    def divisor(self, batch: Tree, outputs: Any) -> int | Array | None:
        """Return what the value was divided by, ``None`` if by nothing; an array is not read from its device."""
        found = self._divisor(batch, outputs)
        return unrecorded(stop_gradient(found)) if is_array(found) else found

    def _divisor(self, batch: Tree, outputs: Any) -> int | Array | None:
        raise NotImplementedError


class Supervised(DividedObjective):
    """The objective of a loss; made by :func:`supervised`."""

    def __call__(self, model: Any, batch: Any) -> tuple[Array, Any]:
        """Return the loss and the outputs of the model."""
        args, kwargs, target, weight = parts_of(batch)
        outputs, loss = call_model(model, args, kwargs), self.loss
        if weight is None:
            return loss(outputs, target), outputs
        if not isinstance(loss, Loss) or "none" not in loss.reductions:
            raise ArgumentError(
                f"expected a loss that can give one for each sample, since the batch has {WEIGHT!r}, got "
                f"{getattr(loss, '__name__', type(loss).__name__)}; choose one with reduction='none', or write an "
                "objective"
            )
        terms, counts = loss.terms(outputs, target), loss.counts(outputs, target)
        return weighted(terms, counts, weight, loss.reduction), outputs

    def _divisor(self, batch: Tree, outputs: Any) -> int | Array | None:
        if not isinstance(self.loss, Loss):
            return samples_in(batch)
        _, _, target, weight = parts_of(batch)
        return self.loss.divisor(outputs, target, sample_weight=weight)


class _Own(DividedObjective):
    """A user's own objective. If it has no ``divisor``, it is taken for a mean over samples, or over their weights."""

    def __call__(self, model: Any, batch: Any) -> tuple[Array, Any]:
        found = self.loss(model, batch)
        if not isinstance(found, tuple) or len(found) != 2:
            raise ArgumentError(f"expected an objective that returns (value, outputs), got {type(found).__name__}")
        return found

    def _divisor(self, batch: Tree, outputs: Any) -> int | Array | None:
        if (own := _own_divisor(self.loss)) is not None:
            return own(batch, outputs)
        weight = batch.get(WEIGHT) if isinstance(batch, Mapping) else None
        return namespace(weight).sum(weight) if is_array(weight) else samples_in(batch)


def divisor_of(objective: Any, inner: DividedObjective) -> Callable[[Any, Any], int | Array | None]:
    """Return the ``divisor`` of an objective, or of what it wraps by :func:`functools.wraps`.

    If there is none, it is taken for a function around ``inner``, and divides by what that does.
    """
    return _own_divisor(objective) or inner.divisor


def _own_divisor(objective: Any) -> Callable[[Any, Any], int | Array | None] | None:
    return getattr(inspect.unwrap(objective, stop=lambda found: hasattr(found, "divisor")), "divisor", None)


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
