"""Negative log-likelihoods of targets under a predicted distribution."""

from collections.abc import Sequence
from typing import Any

from nnx.autodiff import Pullback, primitive
from nnx.backend import namespace
from nnx.functional.class_targets import (
    check_indices,
    check_scores,
    choose,
    divisor_of,
    one_hot_mask,
    picked,
    reduce_by,
    unreduce_by,
)
from nnx.functional.loss_terms import traced_pullback
from nnx.functional.precision import in_float32, rule_in_float32
from nnx.types import Array


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
    return reduce_by(values, divisor_of(chosen, reduction), reduction)


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
    divisor = divisor_of(chosen, reduction)
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


def _check_nll(
    log_probabilities: Array, target: Array, weight: Array | None, axis: int, ignore_index: int
) -> tuple[int, Array]:
    axis = check_scores(log_probabilities, target, weight, axis, "log_probabilities")
    return axis, check_indices(log_probabilities, target, axis, ignore_index, "log_probabilities")
