"""A model in evaluation mode over many batches: its metrics, and its outputs."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from nnx.backend import is_array, namespace
from nnx.layers import Module
from nnx.training.batches import as_batches, one_pass
from nnx.training.diagnosis import expect_finite_outputs
from nnx.training.mixed_precision import Policy, as_policy
from nnx.training.modes import evaluating
from nnx.training.step import TARGET, WEIGHT, as_objective, call_model, parts_of
from nnx.training.totals import Metrics, Totals, as_metrics
from nnx.training.watch import Watch
from nnx.tree import tree_map
from nnx.types import Array, Tree


def evaluate(
    model: Module,
    loss: Any,
    data: Any,
    *,
    metrics: Any = (),
    batch_size: int = 32,
    policy: Policy | str = "float32",
) -> dict[str, Any]:
    """Return a model's loss and metrics over data, in evaluation mode.

    Parameters
    ----------
    model : Module
        The mode of each of its modules is restored afterwards. Nothing is recorded for a backward pass.
    loss : Loss or callable
        A loss, or an objective, as in :class:`nnx.Trainer`.
    data : arrays, DataLoader or iterable of batches
        As in :meth:`nnx.Trainer.fit`.
    metrics : dict or sequence, optional
        As in :class:`nnx.Trainer`.
    batch_size : int
        For arrays.
    policy : Policy or str
        What the model computes in.

    Returns
    -------
    dict
        Numbers by name, the loss that of all batches as one; NumPy arrays for metrics such as a confusion matrix.

    Raises
    ------
    NonFiniteError
        If a loss is NaN or infinite, with the batch and the layer.
    DataError
        If the data have no batch.

    Examples
    --------
    >>> import numpy as np, nnx
    >>> x, y = np.eye(2), np.asarray([0, 0])
    >>> found = evaluate(nnx.ReLU(), nnx.CrossEntropy(), (x, y), metrics=[nnx.metrics.Accuracy()])
    >>> round(found["loss"], 4), found["accuracy"]
    (0.8133, 0.5)
    """
    batches = as_batches(data, batch_size, shuffle=False)
    stated = as_objective(loss)
    objective = as_policy(policy).objective(stated)
    return evaluate_batches(model, loss, objective, stated.divisor, batches, as_metrics(metrics), "batch")


def evaluate_batches(
    model: Module,
    loss: Any,
    objective: Callable[[Any, Any], Any],
    divisor: Callable[[Any, Any], int | Array | None],
    batches: Iterable[Tree],
    metrics: Metrics,
    where: str,
    device: str | None = None,
    after_batch: Callable[[], None] | None = None,
) -> dict[str, Any]:
    """Return the loss and metrics over batches, read once; ``where`` names the batches in errors.

    ``divisor(batch, outputs)`` returns what the objective divided the loss of a batch by.
    What ``after_batch`` raises ends it; the model is then as it was.
    """
    totals, watch = Totals(metrics), Watch(model, loss, lambda number: f"{where} {number}")
    with evaluating(model, loss):
        for batch in one_pass(batches, device):
            watch.begin(batch)
            value, outputs = objective(model, batch)
            watch.examine(batch, value)
            totals.update(batch, value, outputs, divisor(batch, outputs))
            if after_batch is not None:
                after_batch()
        return totals.read(watch)


def predict(
    model: Module, data: Any, *, batch_size: int = 32, policy: Policy | str = "float32", device: str | None = None
) -> Any:
    """Return a model's outputs for all samples, in evaluation mode.

    Parameters
    ----------
    model : Module
    data : array, arrays, DataLoader or iterable of batches
        One array is the model's input. Of tuples and dicts the target is left out, as in :meth:`nnx.Trainer.fit`. A
        loader that shuffles gives its samples in the order of its first epoch, and so are the outputs; give it
        ``shuffle=False`` for those of the data.
    batch_size : int
        For arrays.
    policy : Policy or str
        What the model computes in; the outputs of 16 bits are returned in float32.
    device : str, optional
        Where the batches are moved to, as in :func:`nnx.to_device`; default nowhere.

    Returns
    -------
    outputs : array or tree of arrays, (samples, ...)
        The outputs of the batches, joined along their first axis.

    Raises
    ------
    NonFiniteError
        If an output is NaN or infinite, with the batch and the layer.

    Examples
    --------
    >>> import numpy as np, nnx
    >>> predict(nnx.ReLU(), np.asarray([[-1.0], [2.0]]), batch_size=1)
    array([[0.],
           [2.]])
    """
    found: list[Any] = []
    with evaluating(model):
        model = as_policy(policy).model(model)
        batches = one_pass(as_batches(data, batch_size, shuffle=False), device)
        for number, batch in enumerate(batches, start=1):
            args, kwargs = _inputs(batch)
            outputs = call_model(model, args, kwargs)
            expect_finite_outputs(model, args, kwargs, outputs, f"batch {number}")
            found.append(outputs)
    return tree_map(_joined, found[0], *found[1:])


def _inputs(batch: Any) -> tuple[tuple[Any, ...], Mapping[str, Any]]:
    if isinstance(batch, Mapping) and TARGET not in batch:
        return (), {name: part for name, part in batch.items() if name != WEIGHT}
    return parts_of(batch)[:2]


def _joined(*parts: Any) -> Any:
    return namespace(*parts).concat(parts, axis=0) if is_array(parts[0]) and parts[0].ndim else parts
