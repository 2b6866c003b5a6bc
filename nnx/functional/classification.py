"""Cross-entropy of logits with class indices or probabilities."""

import math
from collections.abc import Sequence
from typing import Any

from nnx.autodiff import Pullback, primitive, stop_gradient, vjp
from nnx.backend import device_of, dtype_name, is_cheap_to_read, is_floating, namespace
from nnx.errors import ArgumentError, DTypeError, ShapeError
from nnx.functional.activations import log_softmax
from nnx.functional.checks import (
    as_class_indices,
    expect_array,
    expect_real,
    expect_same_dtype,
    expect_shape,
    first_outside,
    normalize_axis,
)
from nnx.functional.loss_terms import reduce_loss
from nnx.types import Array, Namespace


@primitive
def cross_entropy(
    logits: Array,
    target: Array,
    weight: Array | None = None,
    *,
    axis: int = 1,
    reduction: str = "mean",
    ignore_index: int = -100,
    label_smoothing: float = 0.0,
) -> Array:
    r"""Cross-entropy of a target and the softmax of logits: :math:`-\sum_k w_k t_k \log s_k(x)`.

    Parameters
    ----------
    logits : array, shape (batch, classes, ...)
        Real floating-point. The loss is finite if the logits are and their differences do not overflow the dtype.
        A logit of -inf gives its class probability 0.
    target : array
        With an integer dtype, class indices of shape (batch, ...): that of the logits without the class axis.
        With a floating-point dtype, one-hot vectors or probabilities of the shape of the logits.
    weight : array, shape (classes,), optional
        A weight for each class. With reduction ``"mean"``, the sum is divided by the sum of the applied weights for
        class indices, and by the number of examples for probabilities, as in PyTorch.
    axis : int
        The axis of the classes; default 1. Use -1 if channels come last.
    reduction : {"mean", "sum", "none"}
        Over the examples.
    ignore_index : int
        Examples with this class index are ignored; if all are, the loss is 0.
    label_smoothing : float, in [0, 1)
        The target becomes :math:`(1 - e) t + e / K`.

    Returns
    -------
    loss : array, shape ()
        For ``"none"`` the shape (batch, ...).

    Raises
    ------
    ShapeError
        If the shapes do not fit, or there is no example.
    DTypeError
        If the logits hold integers, or the target is an integer one-hot array or holds booleans.
    ArgumentError
        If a class index is out of range. On a device whose memory cannot be read without waiting, the loss is NaN
        instead.

    Examples
    --------
    >>> import numpy as np, nnx
    >>> logits = np.asarray([[0.0, 10000.0], [0.0, 0.0]])
    >>> nnx.functional.cross_entropy(logits, np.asarray([0, 1]), reduction="none").round(4)
    array([1.000e+04, 6.931e-01])
    """
    axis, target = _check_classes(logits, target, weight, axis, ignore_index, label_smoothing)
    xp = namespace(logits, target, weight)
    weights, divisor = _target_weights(logits, target, weight, axis, ignore_index, label_smoothing, reduction)
    values = -xp.sum(weights * _where_it_counts(weights, log_softmax(logits, axis=axis)), axis=axis)
    total = reduce_loss(values, "none" if reduction == "none" else "sum")
    return total if divisor is None else total / divisor


@cross_entropy.with_pullback(fresh=True)
def _(
    wanted: Sequence[Any],
    logits: Array,
    target: Array,
    weight: Array | None = None,
    *,
    axis: int = 1,
    reduction: str = "mean",
    ignore_index: int = -100,
    label_smoothing: float = 0.0,
) -> tuple[Array, Pullback]:
    axis, target = _check_classes(logits, target, weight, axis, ignore_index, label_smoothing)
    xp = namespace(logits, target, weight)
    weights, divisor = _target_weights(logits, target, weight, axis, ignore_index, label_smoothing, reduction)
    log_probabilities = log_softmax(logits, axis=axis)
    values = -xp.sum(weights * _where_it_counts(weights, log_probabilities), axis=axis)
    total = reduce_loss(values, "none" if reduction == "none" else "sum")
    smooth = 1.0 - label_smoothing

    def by_weight(weight: Array) -> Array:  # rarely wanted, so differentiated operation by operation
        options: dict[str, Any] = {"reduction": reduction, "ignore_index": ignore_index}
        return cross_entropy.function(logits, target, weight, axis=axis, label_smoothing=label_smoothing, **options)

    weight_pullback = vjp(by_weight, weight)[1] if weight is not None and wanted[2] else None

    def pullback(cotangent: Array) -> tuple[Array | None, Array | None, Array | None]:
        xp = namespace(cotangent, log_probabilities, weights)
        scale = cotangent if divisor is None else cotangent / divisor
        if reduction == "none":
            scale = xp.expand_dims(scale, axis=axis)
        to_logits = to_target = None
        if wanted[0]:
            mass = xp.sum(weights, axis=axis, keepdims=True)  # 1 per example, unless weighted or ignored
            to_logits = scale * (xp.exp(log_probabilities) * mass - weights)
        if wanted[1]:
            scaled = -smooth * scale * _where_it_counts(weights, log_probabilities)
            to_target = scaled if weight is None else scaled * _along(weight, logits.ndim, axis)
        return to_logits, to_target, None if weight_pullback is None else weight_pullback(cotangent)[0]

    return total if divisor is None else total / divisor, pullback


def _where_it_counts(weights: Array, log_probabilities: Array) -> Array:
    """Return the log-probabilities, with 0 for a -inf of weight 0: their product counts as 0, and would be NaN."""
    xp = namespace(weights, log_probabilities)
    nothing = (weights == 0) & (log_probabilities == -math.inf)
    return xp.where(nothing, xp.zeros_like(log_probabilities), log_probabilities)


def _target_weights(
    logits: Array,
    target: Array,
    weight: Array | None,
    axis: int,
    ignore_index: int,
    label_smoothing: float,
    reduction: str,
) -> tuple[Array, Any]:
    """Return w_k t_k for each logit, and the divisor of the sum."""
    xp = namespace(logits, target, weight)
    classes = logits.shape[axis]
    divisor: Any = None
    by_index = not is_floating(target)
    if by_index:
        one_hot, kept = _one_hot(xp, xp.expand_dims(target, axis=axis), logits, axis, ignore_index)
    else:
        one_hot, kept = target, None
    soft = one_hot if label_smoothing == 0 else (1.0 - label_smoothing) * one_hot + label_smoothing / classes
    weights = soft if weight is None else soft * _along(weight, logits.ndim, axis)
    if kept is not None:
        weights = xp.where(kept, weights, xp.zeros_like(weights))
    if reduction == "mean":
        divisor = math.prod(logits.shape) // classes
        if by_index:
            counted = xp.astype(kept, logits.dtype)
            if weight is not None:
                counted = counted * xp.sum(one_hot * _along(weight, logits.ndim, axis), axis=axis, keepdims=True)
            applied = xp.sum(xp.where(kept, counted, xp.zeros_like(counted)))
            divisor = xp.where(applied == 0, xp.ones_like(applied), applied)
    return weights, divisor


def _one_hot(xp: Namespace, index: Array, logits: Array, axis: int, ignore_index: int) -> tuple[Array, Array]:
    """Return one-hot vectors, and which examples are not ignored; an index out of range gives NaN."""
    classes = logits.shape[axis]
    numbers = _along(xp.arange(classes, dtype=index.dtype, device=device_of(logits)), logits.ndim, axis)
    one_hot = xp.astype(index == numbers, logits.dtype)
    kept = index != ignore_index
    if not is_cheap_to_read(stop_gradient(index)):
        wrong = kept & ((index < 0) | (index >= classes))
        one_hot = xp.where(wrong, xp.full_like(one_hot, math.nan), one_hot)
    return one_hot, kept


def _along(vector: Array, ndim: int, axis: int) -> Array:
    """Return a vector as an array that lies along one axis of an ``ndim``-dimensional array."""
    return namespace(vector).reshape(vector, (1,) * axis + (-1,) + (1,) * (ndim - axis - 1))


def _check_classes(
    logits: Array, target: Array, weight: Array | None, axis: int, ignore_index: int, label_smoothing: float
) -> tuple[int, Array]:
    """Check the arguments; return the axis, from 0, and the target, class indices in a dtype for comparisons."""
    namespace(logits, target, weight)
    expect_real(logits, "logits")
    axis = normalize_axis(axis, logits.ndim)
    if math.prod(logits.shape) == 0:
        raise ShapeError(f"expected at least one example, got logits of shape {tuple(logits.shape)}")
    if not 0 <= label_smoothing < 1:
        raise ArgumentError(f"expected label_smoothing in [0, 1), got {label_smoothing}")
    classes = logits.shape[axis]
    if weight is not None:
        expect_shape(weight, (classes,), "weight", "one for each class")
        expect_same_dtype(logits, weight, "weight", "logits")
    expect_array(target, "target")
    if is_floating(target):
        # Class indices as floats, a common slip, would otherwise only be a puzzling shape.
        if tuple(target.shape) in (_without(logits, axis), (*_without(logits, axis), 1)) and classes > 1:
            raise DTypeError(
                f"expected class indices of an integer dtype, got {dtype_name(target.dtype)}; cast them with "
                "xp.astype(target, xp.int32)"
            )
        expect_shape(target, logits.shape, "target", "as the logits")
        expect_same_dtype(logits, target, "target", "logits")
        return axis, target
    if tuple(target.shape) == tuple(logits.shape) and logits.ndim > 1:
        raise DTypeError(
            f"expected class indices of shape {_without(logits, axis)} or a floating-point one-hot target, got "
            f"{dtype_name(target.dtype)} of shape {tuple(target.shape)}; convert a one-hot target with "
            f"xp.astype(target, xp.{dtype_name(logits.dtype)})"
        )
    expect_shape(target, _without(logits, axis), "target", "the logits' without the class axis")
    target = as_class_indices(target)
    _check_labels(target, classes, ignore_index)
    return axis, target


def _without(logits: Array, axis: int) -> tuple[int, ...]:
    shape = tuple(logits.shape)
    return shape[:axis] + shape[axis + 1 :]


def _check_labels(target: Array, classes: int, ignore_index: int) -> None:
    found = first_outside(stop_gradient(target), 0, classes, ignored=ignore_index)
    if found is not None:
        raise ArgumentError(
            f"expected class indices from 0 to {classes - 1}, got {found}; "
            f"use ignore_index ({ignore_index}) for examples to ignore"
        )
