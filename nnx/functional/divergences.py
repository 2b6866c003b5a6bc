"""Divergences between probability distributions."""

from collections.abc import Sequence
from typing import Any

from nnx.autodiff import Pullback, primitive
from nnx.backend import namespace
from nnx.errors import ShapeError
from nnx.functional.loss_terms import expect_pair, reduce_loss, unreduce
from nnx.functional.precision import in_float32, rule_in_float32
from nnx.types import Array


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
