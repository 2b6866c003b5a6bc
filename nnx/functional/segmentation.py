"""Losses for dense predictions in which most examples are easy, or of one class."""

from collections.abc import Sequence
from typing import Any

from nnx.autodiff import Pullback, primitive
from nnx.backend import namespace
from nnx.errors import ArgumentError
from nnx.functional.class_targets import (
    Chosen,
    check_indices,
    check_scores,
    choose,
    mean_divisor,
    one_hot_mask,
    reduce_by,
    unreduce_by,
)
from nnx.functional.loss_terms import expect_pair, reduce_loss, traced_pullback, unreduce
from nnx.functional.precision import in_float32, rule_in_float32
from nnx.functional.sigmoids import softplus
from nnx.functional.softmaxes import log_softmax
from nnx.types import Array


@primitive
@in_float32
def focal(
    logits: Array,
    target: Array,
    weight: Array | None = None,
    *,
    gamma: float = 2.0,
    axis: int = 1,
    reduction: str = "mean",
    ignore_index: int = -100,
) -> Array:
    r"""Focal loss of class indices: :math:`-w_t (1 - p_t)^\gamma \log p_t` with the softmax :math:`p` of the logits.

    It is :func:`cross_entropy` in which examples that are right already count less; with ``gamma=0`` it is that.

    Parameters
    ----------
    logits : array, shape (batch, classes, ...), real floating-point
    target : array, shape (batch, ...), integer
        Class indices.
    weight : array, shape (classes,), optional
        A weight for each class: the :math:`\alpha` of the paper. With reduction ``"mean"``, the sum is divided by the
        sum of the applied weights, as in cross-entropy.
    gamma : float
        At least 0; default 2.
    axis : int
        The axis of the classes; default 1.
    reduction : {"mean", "sum", "none"}
        Over the examples.
    ignore_index : int
        Examples with this class index are ignored.

    Returns
    -------
    loss : array, shape ()
        For ``"none"`` the shape (batch, ...).

    Raises
    ------
    ShapeError
        If the shapes do not fit, or there is no example.
    DTypeError
        If the logits hold integers, or the target does not.
    ArgumentError
        If ``gamma`` is negative, or a class index out of range; see :func:`cross_entropy`.

    Notes
    -----
    Source: T.-Y. Lin et al., "Focal loss for dense object detection", ICCV 2017.

    Examples
    --------
    >>> import numpy as np, nnx
    >>> round(float(nnx.functional.focal(np.zeros((1, 2)), np.asarray([0]))), 4)  # log(2) / 4
    0.1733
    """
    axis, target = _check_focal(logits, target, weight, axis, ignore_index, gamma)
    chosen = choose(logits, target, weight, axis, ignore_index)
    log_p = _log_p(chosen, log_softmax(logits, axis=axis), axis)
    xp = namespace(log_p, weight)
    values = -chosen.weight * _power(-xp.expm1(log_p), gamma) * log_p
    return reduce_by(xp.squeeze(values, axis=axis), mean_divisor(chosen, reduction), reduction)


@focal.with_pullback(fresh=True)
@rule_in_float32
def _(
    wanted: Sequence[Any],
    logits: Array,
    target: Array,
    weight: Array | None = None,
    *,
    gamma: float = 2.0,
    axis: int = 1,
    reduction: str = "mean",
    ignore_index: int = -100,
) -> tuple[Array, Pullback]:
    axis, target = _check_focal(logits, target, weight, axis, ignore_index, gamma)
    options: dict[str, Any] = {"gamma": gamma, "axis": axis, "reduction": reduction, "ignore_index": ignore_index}
    by_weight = traced_pullback(focal, wanted, (logits, target, weight), 2, **options)
    chosen = choose(logits, target, weight, axis, ignore_index)
    divisor = mean_divisor(chosen, reduction)
    xp = namespace(logits, weight)
    all_log_p = log_softmax(logits, axis=axis)
    log_p = _log_p(chosen, all_log_p, axis)
    rest = -xp.expm1(log_p)
    values = -chosen.weight * _power(rest, gamma) * log_p

    def pullback(cotangent: Array) -> tuple[Array | None, None, Array | None]:
        to_logits = None
        if wanted[0]:
            xp = namespace(cotangent, all_log_p, chosen.weight)
            sure = rest == 0  # where log(p) / (1 - p) has the limit -1
            ratio = xp.where(sure, -1.0, log_p / xp.where(sure, 1.0, rest))
            slope = chosen.weight * _power(rest, gamma) * (1.0 - gamma * (1.0 - rest) * ratio)
            share = slope * unreduce_by(cotangent, divisor, reduction, axis)
            found = xp.exp(all_log_p) * share
            to_logits = xp.where(one_hot_mask(chosen, all_log_p.shape, axis), found - share, found)
        return to_logits, None, by_weight(cotangent)

    return reduce_by(xp.squeeze(values, axis=axis), divisor, reduction), pullback


@primitive
@in_float32
def binary_focal(
    logits: Array, target: Array, *, alpha: float | None = 0.25, gamma: float = 2.0, reduction: str = "mean"
) -> Array:
    r"""Focal loss of a decision for each element: :math:`-\alpha_t (1 - p_t)^\gamma \log p_t`.

    For a target of 1, :math:`p_t = \sigma(x)` and :math:`\alpha_t = \alpha`; for 0, :math:`1 - \sigma(x)` and
    :math:`1 - \alpha`. For a probability between, :math:`p_t` and :math:`\alpha_t` are the means of the two, and
    :math:`-\log p_t` is :func:`bce_with_logits`.

    Parameters
    ----------
    logits, target : arrays of one shape, real floating-point
    alpha : float, in [0, 1], or None
        The weight of positives; ``None`` gives all the weight 1.
    gamma : float
        At least 0.
    reduction : {"mean", "sum", "none"}

    Returns
    -------
    loss : array, shape ()
        For ``"none"`` the shape of ``logits``.

    Raises
    ------
    ShapeError
        If the shapes differ, or there is no element.
    DTypeError
        If an array holds integers or complex numbers.
    ArgumentError
        If ``gamma`` is negative, or ``alpha`` not in [0, 1].

    Notes
    -----
    As ``sigmoid_focal_loss`` of torchvision, whose default reduction is ``"none"``. Source: T.-Y. Lin et al., "Focal
    loss for dense object detection", ICCV 2017.

    Examples
    --------
    >>> import numpy as np, nnx
    >>> round(float(nnx.functional.binary_focal(np.zeros(1), np.ones(1), alpha=None)), 4)
    0.1733
    """
    _check_binary_focal(logits, target, alpha, gamma)
    entropy, _, rest = _of_logits(logits, target)
    return reduce_loss(_alphas(target, alpha) * (_power(rest, gamma) * entropy), reduction)


@binary_focal.with_pullback(fresh=True)
@rule_in_float32
def _(
    wanted: Sequence[Any],
    logits: Array,
    target: Array,
    *,
    alpha: float | None = 0.25,
    gamma: float = 2.0,
    reduction: str = "mean",
) -> tuple[Array, Pullback]:
    options: dict[str, Any] = {"alpha": alpha, "gamma": gamma, "reduction": reduction}
    value = binary_focal(logits, target, **options)
    by_target = traced_pullback(binary_focal, wanted, (logits, target), 1, **options)

    def pullback(cotangent: Array) -> tuple[Array | None, Array | None]:
        to_logits = None
        if wanted[0]:
            xp = namespace(cotangent, logits, target)
            entropy, p, rest = _of_logits(logits, target)
            sure = rest == 0
            # The derivative of 1 - p_t, divided by it, which for a target of 0 or 1 stays below 1 where it is 0.
            ratio = (1.0 - 2.0 * target) * p * xp.exp(-softplus(logits)) / xp.where(sure, 1.0, rest)
            slope = _power(rest, gamma) * (p - target + gamma * ratio * entropy)
            to_logits = _alphas(target, alpha) * slope * unreduce(cotangent, reduction, logits.shape)
        return to_logits, by_target(cotangent)

    return value, pullback


def _log_p(chosen: Chosen, log_probabilities: Array, axis: int) -> Array:
    """Return the log-probability of each example's class; 0 where the weight is, since 0 times -inf would be NaN."""
    xp = namespace(log_probabilities, chosen.weight)
    return xp.where(chosen.weight == 0, 0.0, xp.take_along_axis(log_probabilities, chosen.index, axis=axis))


def _of_logits(logits: Array, target: Array) -> tuple[Array, Array, Array]:
    """Return the binary cross-entropy, the probability, and the probability of the other answer."""
    xp = namespace(logits, target)
    minus_log_p, minus_log_q = softplus(-logits), softplus(logits)
    p, q = xp.exp(-minus_log_p), xp.exp(-minus_log_q)
    return target * minus_log_p + (1.0 - target) * minus_log_q, p, p * (1.0 - target) + q * target


def _alphas(target: Array, alpha: float | None) -> Any:
    return 1.0 if alpha is None else alpha * target + (1.0 - alpha) * (1.0 - target)


def _power(x: Array, gamma: float) -> Any:
    return 1.0 if gamma == 0 else x * x if gamma == 2 else x**gamma


def _check_focal(
    logits: Array, target: Array, weight: Array | None, axis: int, ignore_index: int, gamma: float
) -> tuple[int, Array]:
    if not gamma >= 0:
        raise ArgumentError(f"expected gamma >= 0, got {gamma}")
    axis = check_scores(logits, target, weight, axis, "logits")
    return axis, check_indices(logits, target, axis, ignore_index, "logits")


def _check_binary_focal(logits: Array, target: Array, alpha: float | None, gamma: float) -> None:
    expect_pair(logits, target, input_name="logits")
    if not gamma >= 0:
        raise ArgumentError(f"expected gamma >= 0, got {gamma}")
    if alpha is not None and not 0 <= alpha <= 1:
        raise ArgumentError(f"expected alpha in [0, 1] or None, got {alpha}")
