"""Cross-entropy of logits, and negative log-likelihood of log-probabilities."""

import math
from collections.abc import Sequence
from typing import Any

from nnx.autodiff import Pullback, primitive
from nnx.backend import is_floating, namespace
from nnx.errors import ArgumentError
from nnx.functional.class_targets import (
    Chosen,
    along,
    check_indices,
    check_probabilities,
    check_scores,
    choose,
    expected,
    mean_divisor,
    one_hot_mask,
    picked,
    reduce_by,
    soft,
    unreduce_by,
    where_it_counts,
    without,
)
from nnx.functional.loss_terms import traced_pullback
from nnx.functional.precision import in_float32, rule_in_float32
from nnx.functional.softmaxes import log_softmax
from nnx.types import Array


@primitive
@in_float32
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
        The axis of the classes; default 1, or 0 for the logits (classes,) of one example. Use -1 if channels come last.
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
    axis, target = check_cross_entropy(logits, target, weight, axis, ignore_index, label_smoothing)
    log_probabilities = log_softmax(logits, axis=axis)
    if is_floating(target):
        count = math.prod(without(logits.shape, axis))
        weights = soft(target, weight, axis, label_smoothing)
        return reduce_by(-expected(weights, log_probabilities, axis), count, reduction)
    chosen = choose(logits, target, weight, axis, ignore_index)
    values = _of_indices(chosen, log_probabilities, weight, axis, label_smoothing)
    return reduce_by(values, mean_divisor(chosen, reduction), reduction)


@cross_entropy.with_pullback(fresh=True)
@rule_in_float32
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
    axis, target = check_cross_entropy(logits, target, weight, axis, ignore_index, label_smoothing)
    options: dict[str, Any] = {"axis": axis, "ignore_index": ignore_index, "label_smoothing": label_smoothing}
    by_weight = traced_pullback(cross_entropy, wanted, (logits, target, weight), 2, reduction=reduction, **options)
    log_probabilities = log_softmax(logits, axis=axis)
    is_soft = is_floating(target)
    divisor: Any
    if is_soft:
        weights, divisor = soft(target, weight, axis, label_smoothing), math.prod(without(logits.shape, axis))
        values = -expected(weights, log_probabilities, axis)
    else:
        chosen = choose(logits, target, weight, axis, ignore_index)
        divisor = mean_divisor(chosen, reduction)
        values = _of_indices(chosen, log_probabilities, weight, axis, label_smoothing)

    def pullback(cotangent: Array) -> tuple[Array | None, Array | None, Array | None]:
        scale = unreduce_by(cotangent, divisor, reduction, axis)
        to_logits = to_target = None
        if wanted[0] and is_soft:
            xp = namespace(cotangent, log_probabilities, weights)
            mass = xp.sum(weights, axis=axis, keepdims=True)  # 1 for each example, unless weighted
            to_logits = scale * (xp.exp(log_probabilities) * mass - weights)
        elif wanted[0]:
            to_logits = _to_logits(scale, chosen, log_probabilities, weight, axis, label_smoothing)
        if wanted[1] and is_soft:
            scaled = (label_smoothing - 1.0) * scale * where_it_counts(weights, log_probabilities)
            to_target = scaled if weight is None else scaled * along(weight, logits.ndim, axis)
        return to_logits, to_target, by_weight(cotangent)

    return reduce_by(values, divisor, reduction), pullback


@primitive
@in_float32
def nll(
    log_probabilities: Array,
    target: Array,
    weight: Array | None = None,
    *,
    axis: int = 1,
    reduction: str = "mean",
    ignore_index: int = -100,
) -> Array:
    r"""Negative log-likelihood of class indices: :math:`-w_t \log p_t`.

    Parameters
    ----------
    log_probabilities : array, shape (batch, classes, ...)
        Real floating-point, such as the output of :func:`log_softmax` along the axis of the classes; for logits, use
        :func:`cross_entropy`.
    target : array, shape (batch, ...), integer
        Class indices.
    weight : array, shape (classes,), optional
        A weight for each class. With reduction ``"mean"``, the sum is divided by the sum of the applied weights.
    axis : int
        The axis of the classes; default 1. Use -1 if channels come last.
    reduction : {"mean", "sum", "none"}
        Over the examples.
    ignore_index : int
        Examples with this class index are ignored; if all are, the loss is 0.

    Returns
    -------
    loss : array, shape ()
        For ``"none"`` the shape (batch, ...).

    Raises
    ------
    ShapeError
        If the shapes do not fit, or there is no example.
    DTypeError
        If the log-probabilities hold integers, or the target does not.
    ArgumentError
        If a class index is out of range. On a device whose memory cannot be read without waiting, the loss is NaN
        instead.

    Examples
    --------
    >>> import numpy as np, nnx
    >>> p = np.asarray([[0.25, 0.75], [0.5, 0.5]])
    >>> nnx.functional.nll(np.log(p), np.asarray([0, 1]), reduction="none").round(4)
    array([1.3863, 0.6931])
    """
    axis, target = _check_nll(log_probabilities, target, weight, axis, ignore_index)
    chosen = choose(log_probabilities, target, weight, axis, ignore_index)
    found = picked(chosen, log_probabilities, axis)
    values = -namespace(found).squeeze(found, axis=axis)
    return reduce_by(values, mean_divisor(chosen, reduction), reduction)


@nll.with_pullback(fresh=True)
@rule_in_float32
def _(
    wanted: Sequence[Any],
    log_probabilities: Array,
    target: Array,
    weight: Array | None = None,
    *,
    axis: int = 1,
    reduction: str = "mean",
    ignore_index: int = -100,
) -> tuple[Array, Pullback]:
    axis, target = _check_nll(log_probabilities, target, weight, axis, ignore_index)
    chosen, shape = choose(log_probabilities, target, weight, axis, ignore_index), tuple(log_probabilities.shape)
    divisor = mean_divisor(chosen, reduction)
    args, options = (log_probabilities, target, weight), {"axis": axis, "ignore_index": ignore_index}
    by_weight = traced_pullback(nll, wanted, args, 2, reduction=reduction, **options)

    def pullback(cotangent: Array) -> tuple[Array | None, None, Array | None]:
        to_input = None
        if wanted[0]:
            xp = namespace(cotangent, chosen.weight)
            share = chosen.weight * unreduce_by(cotangent, divisor, reduction, axis)
            to_input = xp.where(one_hot_mask(chosen, shape, axis), -share, 0.0)
        return to_input, None, by_weight(cotangent)

    found = picked(chosen, log_probabilities, axis)
    values = -namespace(found).squeeze(found, axis=axis)
    return reduce_by(values, divisor, reduction), pullback


def _of_indices(
    chosen: Chosen, log_probabilities: Array, weight: Array | None, axis: int, label_smoothing: float
) -> Array:
    """Return the loss of each example."""
    xp = namespace(log_probabilities, chosen.weight)
    found = picked(chosen, log_probabilities, axis)
    if label_smoothing:
        ones = xp.ones_like(log_probabilities)
        weights = ones if weight is None else ones * along(weight, log_probabilities.ndim, axis)
        total = xp.expand_dims(expected(weights, log_probabilities, axis), axis=axis)
        total = chosen.counted * xp.where(chosen.counted == 0, 0.0, total)
        found = (1.0 - label_smoothing) * found + (label_smoothing / log_probabilities.shape[axis]) * total
    return -xp.squeeze(found, axis=axis)


def _to_logits(
    scale: Array, chosen: Chosen, log_probabilities: Array, weight: Array | None, axis: int, label_smoothing: float
) -> Array:
    """Return the cotangent of the logits: the probabilities times the target's mass, minus the target."""
    xp = namespace(scale, chosen.weight, log_probabilities, weight)
    share = (1.0 - label_smoothing) * scale * chosen.weight
    probabilities = xp.exp(log_probabilities)
    if label_smoothing:
        rest = (label_smoothing / log_probabilities.shape[axis]) * scale * chosen.counted
        if weight is None:
            found = probabilities * (share + log_probabilities.shape[axis] * rest) - rest
        else:
            rests = rest * along(weight, log_probabilities.ndim, axis)
            found = probabilities * (share + xp.sum(rests, axis=axis, keepdims=True)) - rests
    else:
        found = probabilities * share
    return xp.where(one_hot_mask(chosen, log_probabilities.shape, axis), found - share, found)


def check_cross_entropy(
    logits: Array, target: Array, weight: Array | None, axis: int, ignore_index: int, label_smoothing: float
) -> tuple[int, Array]:
    """Check the arguments; return the axis counted from 0, and the target, class indices in a dtype for comparisons."""
    axis = check_scores(logits, target, weight, axis, "logits")
    if not 0 <= label_smoothing < 1:
        raise ArgumentError(f"expected label_smoothing in [0, 1), got {label_smoothing}")
    if not is_floating(target):
        return axis, check_indices(logits, target, axis, ignore_index, "logits")
    check_probabilities(logits, target, axis, "logits")
    return axis, target


def _check_nll(
    log_probabilities: Array, target: Array, weight: Array | None, axis: int, ignore_index: int
) -> tuple[int, Array]:
    axis = check_scores(log_probabilities, target, weight, axis, "log_probabilities")
    return axis, check_indices(log_probabilities, target, axis, ignore_index, "log_probabilities")
