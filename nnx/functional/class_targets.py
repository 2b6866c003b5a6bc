"""Targets of classifiers: their checks, and class indices as what picks a log-probability of each example."""

import math
from typing import Any, NamedTuple

from nnx.autodiff import stop_gradient
from nnx.backend import device_of, dtype_name, is_cheap_to_read, is_floating, namespace
from nnx.errors import ArgumentError, DTypeError, ShapeError
from nnx.functional.checks import (
    as_class_indices,
    expect_array,
    expect_real,
    expect_same_dtype,
    expect_shape,
    first_where,
    normalize_axis,
)
from nnx.functional.loss_terms import reduce_loss
from nnx.functional.precision import narrow_dtype, widen
from nnx.types import Array, Shape


class Chosen(NamedTuple):
    """The class of each example, for arrays of scores that have the classes along one axis.

    The arrays have the shape of the scores, with length 1 along the axis of the classes.

    Attributes
    ----------
    index : array
        From 0 to the number of classes - 1; 0 for an example that is ignored, or whose class is out of range.
    counted : array
        1, or 0 if the example is ignored, or NaN if its class is out of range, which was not to be read.
    weight : array
        The same times the weight of the class.
    """

    index: Array
    counted: Array
    weight: Array


def choose(scores: Array, target: Array, weight: Array | None, axis: int, ignore_index: int) -> Chosen:
    """Return the classes of the examples from checked arguments, the axis counted from 0."""
    xp = namespace(scores, target, weight)
    index = xp.expand_dims(target, axis=axis)
    kept = index != ignore_index
    outside = (index < 0) | (index >= scores.shape[axis])
    counted = xp.astype(kept, scores.dtype)
    if not is_cheap_to_read(stop_gradient(target)):
        counted = xp.where(kept & outside, math.nan, counted)
    index = xp.where(outside | ~kept, 0, index)
    if weight is None:
        return Chosen(index, counted, counted)
    return Chosen(index, counted, counted * xp.reshape(xp.take(weight, xp.reshape(index, (-1,)), axis=0), index.shape))


def picked(chosen: Chosen, log_probabilities: Array, axis: int) -> Array:
    """Return the weighted log-probability of each example's class, with length 1 along the axis.

    A weight of 0 counts as 0 even if the class has probability 0.
    """
    xp = namespace(log_probabilities, chosen.index, chosen.weight)
    found = xp.take_along_axis(log_probabilities, chosen.index, axis=axis)
    return chosen.weight * xp.where(chosen.weight == 0, 0.0, found)


def one_hot_mask(chosen: Chosen, shape: Shape, axis: int) -> Array:
    """Return where, in an array of scores, the classes of the examples are."""
    xp = namespace(chosen.index)
    numbers = xp.arange(shape[axis], dtype=chosen.index.dtype, device=device_of(chosen.index))
    return chosen.index == along(numbers, len(shape), axis)


def mean_divisor(chosen: Chosen, reduction: str) -> Any:
    """Return what the sum over the examples is divided by: for a mean the sum of the weights, or 1 if that is 0."""
    if reduction != "mean":
        return 1.0
    xp = namespace(chosen.weight)
    total = xp.sum(chosen.weight)
    return xp.where(total == 0, 1.0, total)


def count_each(
    scores: Array, target: Array, weight: Array | None, axis: int, ignore_index: int
) -> Array | tuple[int, ...]:
    """Return what each example adds to the divisor of a mean, in float32 or wider; the target was checked before.

    For class indices the weight of the class, 0 if the example is ignored. Where each is 1, as for probabilities, the
    shape of the examples; for indices if they can be read without waiting for a device.
    """
    axis = _class_axis(scores, axis)
    if is_floating(target):
        return without(scores.shape, axis)
    if (narrow := narrow_dtype((scores,))) is not None:
        scores, weight = widen((scores, weight), narrow)
    target = as_class_indices(target)
    if weight is None:
        if is_cheap_to_read(target) and first_where(target, lambda host: host == ignore_index) is None:
            return without(scores.shape, axis)
        return namespace(scores, target).astype(target != ignore_index, scores.dtype)
    chosen = choose(scores, target, weight, axis, ignore_index)
    return namespace(chosen.weight).squeeze(chosen.weight, axis=axis)


def reduce_by(values: Array, divisor: Any, reduction: str) -> Array:
    """Apply a reduction whose mean is a sum over something else than the number of values."""
    total = reduce_loss(values, "sum" if reduction == "mean" else reduction)
    return total / divisor if reduction == "mean" else total


def unreduce_by(cotangent: Array, divisor: Any, reduction: str, axis: int) -> Array:
    """Return the cotangent of each example, to multiply with arrays that have an axis of classes."""
    if reduction == "none":
        return namespace(cotangent).expand_dims(cotangent, axis=axis)
    return cotangent / divisor if reduction == "mean" else cotangent


def along(vector: Array, ndim: int, axis: int) -> Array:
    """Return a vector as an array that lies along one axis of an ``ndim``-dimensional array."""
    return namespace(vector).reshape(vector, (1,) * axis + (-1,) + (1,) * (ndim - axis - 1))


def soft(target: Array, weight: Array | None, axis: int, label_smoothing: float) -> Array:
    """Return w_k t_k for each logit."""
    found = target
    if label_smoothing:
        found = (1.0 - label_smoothing) * target + label_smoothing / target.shape[axis]
    return found if weight is None else found * along(weight, target.ndim, axis)


def expected(weights: Array, log_probabilities: Array, axis: int) -> Array:
    """Return the weighted sum of the log-probabilities over the classes."""
    xp = namespace(weights, log_probabilities)
    return xp.sum(weights * where_it_counts(weights, log_probabilities), axis=axis)


def where_it_counts(weights: Array, log_probabilities: Array) -> Array:
    """Return the log-probabilities, with 0 for a -inf of weight 0: their product counts as 0, and would be NaN."""
    xp = namespace(weights, log_probabilities)
    return xp.where((weights == 0) & (log_probabilities == -math.inf), 0.0, log_probabilities)


def check_scores(scores: Array, target: Array, weight: Array | None, axis: int, name: str) -> int:
    """Check the scores of classes and the weights of the classes; return the axis counted from 0."""
    namespace(scores, target, weight)
    expect_real(scores, name)
    axis = _class_axis(scores, axis)
    if math.prod(scores.shape) == 0:
        raise ShapeError(f"expected at least one example, got {name} of shape {tuple(scores.shape)}")
    if weight is not None:
        expect_array(weight, "weight")
        expect_shape(weight, (scores.shape[axis],), "weight", "one for each class")
        expect_same_dtype(scores, weight, "weight", name)
    expect_array(target, "target")
    return axis


def _class_axis(scores: Array, axis: int) -> int:
    """Return the axis of the classes, counted from 0; the only one of the scores of one example."""
    return 0 if axis == 1 == scores.ndim else normalize_axis(axis, scores.ndim)


def check_indices(scores: Array, target: Array, axis: int, ignore_index: int, name: str) -> Array:
    """Check a target of class indices; return it in a dtype for comparisons."""
    shape = without(scores.shape, axis)
    if tuple(target.shape) == tuple(scores.shape) and scores.ndim > 1:
        raise DTypeError(
            f"expected class indices of shape {shape} or a floating-point one-hot target, got "
            f"{dtype_name(target.dtype)} of shape {tuple(target.shape)}; convert a one-hot target with "
            f"xp.astype(target, xp.{dtype_name(scores.dtype)})"
        )
    expect_shape(target, shape, "target", f"that of the {name} without the class axis")
    target = as_class_indices(target)
    classes = scores.shape[axis]
    wrong = first_where(target, lambda t: (t != ignore_index) & ((t < 0) | (t >= classes)))
    if wrong is not None:
        raise ArgumentError(
            f"expected class indices from 0 to {classes - 1}, got {wrong}; "
            f"use ignore_index ({ignore_index}) for examples to ignore"
        )
    return target


def check_probabilities(scores: Array, target: Array, axis: int, name: str) -> None:
    """Check a target of one-hot vectors or probabilities."""
    shape = without(scores.shape, axis)
    # Class indices as floats, a common slip, would otherwise only be a puzzling shape.
    if tuple(target.shape) in (shape, (*shape, 1)) and scores.shape[axis] > 1:
        raise DTypeError(
            f"expected class indices of an integer dtype, got {dtype_name(target.dtype)}; cast them with "
            "xp.astype(target, xp.int32)"
        )
    expect_shape(target, scores.shape, "target", f"as the {name}")
    expect_same_dtype(scores, target, "target", name)


def without(shape: Shape, axis: int) -> Shape:
    """Return a shape without one axis, counted from 0."""
    return (*shape[:axis], *shape[axis + 1 :])
