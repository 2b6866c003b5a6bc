"""Scores and targets of classes, compared by example; nothing is read from a device."""

from typing import Any, NamedTuple

from nnx.backend import device_of, dtype_name, is_array, is_floating, namespace
from nnx.errors import DTypeError, ShapeError
from nnx.functional.checks import as_class_indices
from nnx.types import Array


class Predictions(NamedTuple):
    """The predicted and the true class of each example, of shape (batch, ...), and which examples are of no use.

    Attributes
    ----------
    predicted, true : arrays of class indices
        The true class of an example that is ignored is -1.
    undefined : array of bool
        Where a NaN leaves the prediction undefined, unless the example is ignored.
    ignored : array of bool
        Where the target is the index to ignore.
    """

    predicted: Array
    true: Array
    undefined: Array
    ignored: Array


def compare(output: Array, target: Array, ignore_index: int) -> Predictions:
    """Return the predicted and the true class of each example; at a tie the lowest class counts as predicted.

    Parameters
    ----------
    output : array, shape (batch, classes, ...)
    target : array, shape (batch, ...) of integers or the shape of ``output`` and floating-point
    ignore_index : int
        Examples with this class index are ignored.

    Raises
    ------
    ShapeError
        If the shapes do not fit, there is no example, or fewer than two classes.
    DTypeError
        If ``output`` does not hold floating-point numbers, or the target's dtype does not fit its shape.
    """
    _check_output(output)
    xp, shape = namespace(output, target), tuple(output.shape)
    undefined = xp.any(xp.isnan(output), axis=1)
    if tuple(target.shape) == shape and is_floating(target):
        undefined = xp.logical_or(undefined, xp.any(xp.isnan(target), axis=1))
        return Predictions(xp.argmax(output, axis=1), xp.argmax(target, axis=1), undefined, xp.zeros_like(undefined))
    indices = (shape[0], *shape[2:])
    if tuple(target.shape) == indices and not is_floating(target):
        predicted = xp.argmax(output, axis=1)
        true = _like_indices(target, predicted)
        ignored = true == ignore_index
        return Predictions(predicted, xp.where(ignored, -1, true), undefined & ~ignored, ignored)
    raise _misfit(target, shape, indices)


def is_among_largest(output: Array, found: Predictions, k: int) -> Array:
    """Return for each example whether the score of its class is among the ``k`` largest; ties go to lower classes."""
    xp = namespace(output)
    true = xp.expand_dims(found.true, axis=1)
    classes = xp.arange(output.shape[1], dtype=true.dtype, device=device_of(output))
    classes = xp.reshape(classes, (1, -1, *(1,) * (output.ndim - 2)))
    is_true = classes == true
    # The rank of the true class is the number of classes ahead of it: no sort, which the standard lacks for top k.
    score = xp.sum(xp.where(is_true, output, xp.zeros_like(output)), axis=1, keepdims=True)
    is_ahead = xp.logical_or(output > score, xp.logical_and(output == score, classes < true))
    rank = xp.sum(xp.astype(is_ahead, xp.int32), axis=1)
    return xp.logical_and(rank < k, xp.any(is_true, axis=1))  # a class out of range has no score


def count(mask: Array) -> Array:
    """Return how often a mask is true, as an integer array of shape ()."""
    return namespace(mask).count_nonzero(mask)


def _like_indices(target: Array, predicted: Array) -> Array:
    """Return class indices in the library's default dtype: indices of two dtypes cannot always be compared."""
    xp = namespace(target)
    if target.dtype == predicted.dtype:
        return target
    return xp.astype(target, predicted.dtype) if xp.isdtype(target.dtype, "integral") else as_class_indices(target)


def _check_output(output: Any) -> None:
    if not is_array(output):
        raise ShapeError(
            f"expected an output that is one array of shape (batch, classes, ...), got {type(output).__name__}; "
            "pass the part of it that has the scores"
        )
    shape = tuple(output.shape)
    if output.ndim < 2 or 0 in shape:
        raise ShapeError(f"expected output of shape (batch, classes, ...) with at least one example, got {shape}")
    if shape[1] < 2:
        raise ShapeError(
            f"expected output of shape (batch, classes, ...) with scores of two classes or more, got {shape}; "
            "numbers, as in a regression, are not classes: give an error of them to nnx.metrics.Mean"
        )
    if not is_floating(output):
        raise DTypeError(
            f"expected scores of a floating-point dtype, got {dtype_name(output.dtype)}; "
            "pass the model's output, not its argmax"
        )


def _misfit(target: Array, shape: tuple[int, ...], indices: tuple[int, ...]) -> ShapeError | DTypeError:
    got = f"{dtype_name(target.dtype)} of shape {tuple(target.shape)}"
    message = (
        f"expected a target of integer class indices of shape {indices} or of floating-point one-hot vectors "
        f"of shape {shape}, got {got}"
    )
    if tuple(target.shape) == indices:
        return DTypeError(f"{message}; cast the indices, for example with xp.astype(target, xp.int32)")
    if tuple(target.shape) == shape:
        return DTypeError(f"{message}; cast the vectors, for example with xp.astype(target, xp.float32)")
    if tuple(target.shape) == (indices[0], 1, *indices[1:]):
        return ShapeError(f"{message}; drop the axis of length 1, for example with target[:, 0]")
    return ShapeError(message)
