"""Divergences between probability distributions."""

from collections.abc import Sequence
from typing import Any

from nnx.autodiff import Pullback, primitive
from nnx.backend import namespace
from nnx.errors import ShapeError
from nnx.functional.checks import expect_choice
from nnx.functional.loss_terms import REDUCTIONS, expect_pair, reduce_loss, traced_pullback, unreduce
from nnx.functional.precision import in_float32, rule_in_float32
from nnx.types import Array

KL_REDUCTIONS = ("batchmean", *REDUCTIONS)


@primitive
@in_float32
def kl_divergence_standard_normal(mean: Array, variance: Array, *, reduction: str = "mean") -> Array:
    r"""Kullback-Leibler divergence of :math:`N(\mu, v)` from the standard normal distribution.

    .. math:: \tfrac{1}{2} \sum_j \left( \mu_j^2 + v_j - \log v_j - 1 \right)

    Parameters
    ----------
    mean : array, shape (batch, latent)
    variance : array, shape (batch, latent)
        Positive.
    reduction : {"mean", "sum", "none"}
        Over the batch; the latent axis is always summed. So weight it accordingly when adding it to a mean over all
        elements, such as that of :func:`mse`: the loss of an autoencoder sums over the pixels too.

    Returns
    -------
    loss : array, shape ()
        For ``"none"`` the shape (batch,).

    Raises
    ------
    ShapeError
        If the shapes differ, or are not (batch, latent).
    DTypeError
        If an array holds integers or complex numbers.

    Notes
    -----
    Source: D. P. Kingma and M. Welling, "Auto-encoding variational Bayes", ICLR 2014, appendix B.

    Examples
    --------
    >>> import numpy as np, nnx
    >>> mean, variance = np.asarray([[2.0]]), np.asarray([[1.0]])
    >>> float(nnx.functional.kl_divergence_standard_normal(mean, variance))
    2.0
    """
    expect_pair(mean, variance, "variance", "mean")
    if mean.ndim != 2:
        raise ShapeError(f"expected mean of shape (batch, latent), got {tuple(mean.shape)}")
    xp = namespace(mean, variance)
    terms = mean * mean + variance - xp.log(variance) - 1.0
    return reduce_loss(0.5 * xp.sum(terms, axis=1), reduction)


@kl_divergence_standard_normal.with_pullback(fresh=True)
@rule_in_float32
def _(wanted: Sequence[Any], mean: Array, variance: Array, *, reduction: str = "mean") -> tuple[Array, Pullback]:
    loss = kl_divergence_standard_normal(mean, variance, reduction=reduction)
    kept_mean = mean if wanted[0] else None
    kept_variance = variance if wanted[1] else None
    shape = mean.shape[:1]

    def pullback(cotangent: Array) -> tuple[Array | None, Array | None]:
        scale = unreduce(cotangent, reduction, shape)
        if reduction == "none":
            scale = scale[:, None]
        return (
            None if kept_mean is None else scale * kept_mean,
            None if kept_variance is None else scale * (0.5 - 0.5 / kept_variance),
        )

    return loss, pullback


@primitive
@in_float32
def kl_divergence(input: Array, target: Array, *, log_target: bool = False, reduction: str = "batchmean") -> Array:
    r"""Kullback-Leibler divergence of predictions from a target: the sum of :math:`t (\log t - x)` for each example.

    The default reduction is ``"batchmean"``, and not ``"mean"`` as for all other losses: only the sum over the classes
    is a divergence, so only the sum over everything divided by the length of the first axis is a mean of divergences.

    Parameters
    ----------
    input : array, shape (batch, ...)
        Predicted log-probabilities :math:`x`, such as those of :func:`log_softmax`. Real floating-point.
    target : array of the same shape
        Probabilities :math:`t`; their logarithms with ``log_target``.
    log_target : bool
        Whether the target holds logarithms.
    reduction : {"batchmean", "mean", "sum", "none"}
        ``"mean"`` is over all elements.

    Returns
    -------
    loss : array, shape ()
        For ``"none"`` the shape of ``input``: the summands.

    Raises
    ------
    ShapeError
        If the shapes differ, there is no element, or for ``"batchmean"`` no axis.
    DTypeError
        If an array holds integers or complex numbers.

    Notes
    -----
    A target of 0 counts as 0, also where the prediction is -inf. The derivative for such a target, which is infinite,
    is taken as 0.

    Examples
    --------
    >>> import numpy as np, nnx
    >>> p, q = np.asarray([[0.5, 0.5]]), np.asarray([[0.25, 0.75]])
    >>> round(float(nnx.functional.kl_divergence(np.log(p), q)), 4)
    0.1308
    """
    _check_kl(input, target, reduction)
    xp = namespace(input, target)
    if log_target:
        return _reduce_kl(xp.exp(target) * (target - input), reduction)
    zero = target == 0
    ratio = xp.log(xp.where(zero, 1.0, target)) - xp.where(zero, 0.0, input)
    return _reduce_kl(target * ratio, reduction)


@kl_divergence.with_pullback(fresh=True)
@rule_in_float32
def _(
    wanted: Sequence[Any], input: Array, target: Array, *, log_target: bool = False, reduction: str = "batchmean"
) -> tuple[Array, Pullback]:
    loss = kl_divergence(input, target, log_target=log_target, reduction=reduction)
    options: dict[str, Any] = {"log_target": log_target, "reduction": reduction}
    by_target = traced_pullback(kl_divergence, wanted, (input, target), 1, **options)
    shape = input.shape[:1] if reduction == "batchmean" else input.shape
    how = "mean" if reduction == "batchmean" else reduction

    def pullback(cotangent: Array) -> tuple[Array | None, Array | None]:
        to_input = None
        if wanted[0]:
            probabilities = namespace(cotangent, target).exp(target) if log_target else target
            to_input = probabilities * -unreduce(cotangent, how, shape)
        return to_input, by_target(cotangent)

    return loss, pullback


def _check_kl(input: Array, target: Array, reduction: str) -> None:
    expect_pair(input, target)
    expect_choice(reduction, KL_REDUCTIONS, "reduction")
    if reduction == "batchmean" and not input.shape:
        raise ShapeError("expected input of shape (batch, ...), got ()")


def _reduce_kl(values: Array, reduction: str) -> Array:
    if reduction == "batchmean":
        return reduce_loss(values, "sum") / values.shape[0]
    return reduce_loss(values, reduction)
