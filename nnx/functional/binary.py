"""Losses of a yes-or-no decision for each element."""

from collections.abc import Sequence
from typing import Any

from nnx.autodiff import Pullback, primitive
from nnx.backend import namespace
from nnx.functional.checks import expect_array, expect_real, expect_shape
from nnx.functional.loss_terms import (
    as_signs,
    expect_elements,
    expect_pair,
    expect_probabilities,
    expect_weight,
    reduce_loss,
    traced_pullback,
    unreduce,
)
from nnx.functional.precision import in_float32, rule_in_float32
from nnx.functional.sigmoids import softplus
from nnx.types import Array


@primitive
@in_float32
def bce(input: Array, target: Array, weight: Array | None = None, *, reduction: str = "mean") -> Array:
    r"""Binary cross-entropy of probabilities: :math:`-w \left( t \log p + (1 - t) \log(1 - p) \right)`.

    A model that ends in logits, together with :func:`bce_with_logits`, is more accurate and trains better.

    Parameters
    ----------
    input, target : arrays of one shape, real floating-point
        Probabilities.
    weight : array, optional
        Of a shape that broadcasts to that of ``input``. The mean is over all elements, as in PyTorch, and not divided
        by the sum of the weights.
    reduction : {"mean", "sum", "none"}

    Returns
    -------
    loss : array, shape ()
        For ``"none"`` the shape of ``input``.

    Raises
    ------
    ShapeError
        If the shapes do not fit, or there is no element.
    DTypeError
        If an array holds integers or complex numbers, or the dtypes differ.
    ArgumentError
        If a probability is not in [0, 1]. On a device whose memory cannot be read without waiting, that is not checked.

    Notes
    -----
    Logarithms are at least -100, so the loss is finite; the derivative :math:`(p - t) / (p (1 - p))` has a denominator
    of at least 1e-12. Both as in PyTorch.

    Examples
    --------
    >>> import numpy as np, nnx
    >>> nnx.functional.bce(np.asarray([0.0, 0.5]), np.asarray([1.0, 1.0]), reduction="none").round(4)
    array([100.    ,   0.6931])
    """
    _check_bce(input, target, weight)
    xp = namespace(input, target, weight)
    log, log_rest = _log_or_less(xp.log, input, input <= 0), _log_or_less(xp.log1p, -input, input >= 1)
    values = -(target * log + (1.0 - target) * log_rest)
    return reduce_loss(values if weight is None else weight * values, reduction)


@bce.with_pullback(fresh=True)
@rule_in_float32
def _(
    wanted: Sequence[Any], input: Array, target: Array, weight: Array | None = None, *, reduction: str = "mean"
) -> tuple[Array, Pullback]:
    loss = bce(input, target, weight, reduction=reduction)
    args = (input, target, weight)
    by_target, by_weight = (traced_pullback(bce, wanted, args, i, reduction=reduction) for i in (1, 2))

    def pullback(cotangent: Array) -> Sequence[Array | None]:
        to_input = None
        if wanted[0]:
            xp = namespace(cotangent, input, target, weight)
            spread = input * (1.0 - input)
            scale = unreduce(cotangent, reduction, input.shape)
            scaled = (input - target) / xp.where(spread < 1e-12, 1e-12, spread) * scale
            to_input = scaled if weight is None else scaled * weight
        return to_input, by_target(cotangent), by_weight(cotangent)

    return loss, pullback


@primitive
@in_float32
def bce_with_logits(
    logits: Array,
    target: Array,
    weight: Array | None = None,
    pos_weight: Array | None = None,
    *,
    reduction: str = "mean",
) -> Array:
    r"""Binary cross-entropy of logits: :math:`-w \left( c\, t \log \sigma(x) + (1 - t) \log(1 - \sigma(x)) \right)`.

    Parameters
    ----------
    logits, target : arrays of one shape, real floating-point
        The target holds probabilities. The loss is finite for any finite logits.
    weight : array, optional
        :math:`w`, of a shape that broadcasts to that of the logits. The mean is over all elements, as in PyTorch, and
        not divided by the sum of the weights.
    pos_weight : array, optional
        :math:`c`, of a shape that broadcasts to that of the logits: more than 1 counts positives more.
    reduction : {"mean", "sum", "none"}

    Returns
    -------
    loss : array, shape ()
        For ``"none"`` the shape of ``logits``.

    Raises
    ------
    ShapeError
        If the shapes do not fit, or there is no element.
    DTypeError
        If an array holds integers or complex numbers, or the dtypes differ.

    Notes
    -----
    Computed as :math:`(1 - t) x + (1 + (c - 1) t) \log(1 + e^{-x})`.

    Examples
    --------
    >>> import numpy as np, nnx
    >>> logits, target = np.asarray([0.0, -10000.0]), np.asarray([1.0, 1.0])
    >>> nnx.functional.bce_with_logits(logits, target, reduction="none").round(4)
    array([6.931e-01, 1.000e+04])
    """
    _check_logits(logits, target, weight, pos_weight)
    of_positives = softplus(-logits)
    if pos_weight is not None:
        of_positives = (1.0 + (pos_weight - 1.0) * target) * of_positives
    values = (1.0 - target) * logits + of_positives
    return reduce_loss(values if weight is None else weight * values, reduction)


@bce_with_logits.with_pullback(fresh=True)
@rule_in_float32
def _(
    wanted: Sequence[Any],
    logits: Array,
    target: Array,
    weight: Array | None = None,
    pos_weight: Array | None = None,
    *,
    reduction: str = "mean",
) -> tuple[Array, Pullback]:
    args = (logits, target, weight, pos_weight)
    loss = bce_with_logits(*args, reduction=reduction)

    others = [traced_pullback(bce_with_logits, wanted, args, i, reduction=reduction) for i in (1, 2, 3)]

    def pullback(cotangent: Array) -> Sequence[Array | None]:
        to_logits = None
        if wanted[0]:
            xp = namespace(cotangent, *(arg for arg in args if arg is not None))
            positive = xp.exp(-softplus(-logits))  # the sigmoid, precise where it is small
            if pos_weight is None:
                slope = positive - target
            else:
                slope = (1.0 + (pos_weight - 1.0) * target) * positive - pos_weight * target
            to_logits = slope * unreduce(cotangent, reduction, logits.shape)
            to_logits = to_logits if weight is None else to_logits * weight
        return to_logits, *(other(cotangent) for other in others)

    return loss, pullback


@primitive
@in_float32
def hinge(input: Array, target: Array, *, margin: float = 1.0, reduction: str = "mean") -> Array:
    r"""Hinge loss of a support vector machine: :math:`\max(0, m - t x)`.

    Parameters
    ----------
    input : array of any shape, real floating-point
        Scores, whose sign is the decision.
    target : array of the same shape
        -1 and 1, as signed integers or in the dtype of the input.
    margin : float
        :math:`m`; default 1.
    reduction : {"mean", "sum", "none"}

    Returns
    -------
    loss : array, shape ()
        For ``"none"`` the shape of ``input``.

    Raises
    ------
    ShapeError
        If the shapes differ, or there is no element.
    DTypeError
        If the input holds integers or complex numbers, or the target is of another dtype than said.
    ArgumentError
        If the target has other values. On a device whose memory cannot be read without waiting, that is not checked.

    Notes
    -----
    At the kink, :math:`t x = m`, the derivative is that of the side inside the margin. PyTorch has no such loss: its
    ``HingeEmbeddingLoss`` is of distances, and its ``MultiMarginLoss`` of classes.

    Examples
    --------
    >>> import numpy as np, nnx
    >>> nnx.functional.hinge(np.asarray([0.5, 3.0, 2.0]), np.asarray([1, 1, -1]), reduction="none")
    array([0.5, 0. , 3. ])
    """
    target = _check_hinge(input, target)
    gap = margin - target * input
    return reduce_loss(namespace(gap).where(gap < 0, 0.0, gap), reduction)


@hinge.with_pullback(fresh=True)
@rule_in_float32
def _(
    wanted: Sequence[Any], input: Array, target: Array, *, margin: float = 1.0, reduction: str = "mean"
) -> tuple[Array, Pullback]:
    target = _check_hinge(input, target)
    xp = namespace(input, target)
    gap = margin - target * input
    met = gap < 0

    def pullback(cotangent: Array) -> tuple[Array | None, Array | None]:
        xp = namespace(cotangent, input, target)
        scale = xp.where(met, 0.0, -unreduce(cotangent, reduction, input.shape))
        return scale * target if wanted[0] else None, scale * input if wanted[1] else None

    return reduce_loss(xp.where(met, 0.0, gap), reduction), pullback


def _log_or_less(log: Any, x: Array, is_zero: Array) -> Array:
    """Return a logarithm, but at least -100; its argument is replaced where it is of 0, which would warn."""
    found = log(namespace(x).where(is_zero, 0.5, x))
    return namespace(found).where(is_zero | (found < -100.0), -100.0, found)


def _check_bce(input: Array, target: Array, weight: Array | None) -> None:
    expect_pair(input, target)
    expect_weight(input, weight)
    expect_probabilities(input)
    expect_probabilities(target)


def _check_logits(logits: Array, target: Array, weight: Array | None, pos_weight: Array | None) -> None:
    expect_pair(logits, target, input_name="logits")
    expect_weight(logits, weight, input_name="logits")
    expect_weight(logits, pos_weight, "pos_weight", "logits")


def _check_hinge(input: Array, target: Array) -> Array:
    namespace(input, target)
    expect_real(input)
    expect_array(target, "target")
    expect_shape(target, input.shape, "target", "as the input")
    expect_elements(input)
    return as_signs(target, input)
