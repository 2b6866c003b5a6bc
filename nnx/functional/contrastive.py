"""A loss of pairs of vectors, each of which is contrasted with all others of the batch."""

import math
from collections.abc import Sequence
from typing import Any

from nnx.autodiff import Pullback, primitive
from nnx.backend import namespace
from nnx.errors import ArgumentError, ShapeError
from nnx.functional.loss_terms import expect_pair, reduce_loss, unreduce
from nnx.functional.precision import in_float32, rule_in_float32
from nnx.functional.softmaxes import softmax
from nnx.functional.special import logsumexp
from nnx.types import Array

_TINY = 1e-24


@primitive
@in_float32
def info_nce(
    queries: Array, keys: Array, *, temperature: float = 0.1, symmetric: bool = False, reduction: str = "mean"
) -> Array:
    r"""Contrast each query's own key with the other keys of the batch.

    With the cosine :math:`c_{ij}` of query :math:`i` and key :math:`j`, the mean over the queries of

    .. math:: -\log \frac{e^{c_{ii} / \tau}}{\sum_j e^{c_{ij} / \tau}}

    Parameters
    ----------
    queries, keys : arrays, shape (batch, features), real floating-point
        Row i of both is a pair; all other keys are its negatives. The rows are brought to length 1 first.
    temperature : float
        :math:`\tau`, positive.
    symmetric : bool
        Whether to take the mean with the same loss of keys and queries exchanged, as CLIP does.
    reduction : {"mean", "sum", "none"}
        Over the batch.

    Returns
    -------
    loss : array, shape ()
        For ``"none"`` the shape (batch,).

    Raises
    ------
    ShapeError
        If the shapes differ, are not (batch, features), or there is no element.
    DTypeError
        If an array holds integers or complex numbers, or the dtypes differ.
    ArgumentError
        If ``temperature`` is not positive.

    Notes
    -----
    Source: A. van den Oord et al., "Representation learning with contrastive predictive coding", 2018. The symmetric
    form: A. Radford et al., "Learning transferable visual models from natural language supervision", ICML 2021.

    Examples
    --------
    >>> import numpy as np, nnx
    >>> queries = np.eye(2)
    >>> round(float(nnx.functional.info_nce(queries, 3.0 * queries, temperature=1.0)), 4)
    0.3133
    """
    _check_info_nce(queries, keys, temperature)
    q, k = _unit(queries)[0], _unit(keys)[0]
    own = namespace(q, k).sum(q * k, axis=1) / temperature
    return reduce_loss(_of_similarity((q @ k.T) / temperature, own, symmetric), reduction)


@info_nce.with_pullback(fresh=True)
@rule_in_float32
def _(
    wanted: Sequence[Any],
    queries: Array,
    keys: Array,
    *,
    temperature: float = 0.1,
    symmetric: bool = False,
    reduction: str = "mean",
) -> tuple[Array, Pullback]:
    _check_info_nce(queries, keys, temperature)
    (q, q_length), (k, k_length) = _unit(queries), _unit(keys)
    similarity = (q @ k.T) / temperature
    own = namespace(q, k).sum(q * k, axis=1) / temperature
    values = _of_similarity(similarity, own, symmetric)

    def pullback(cotangent: Array) -> tuple[Array | None, Array | None]:
        xp = namespace(cotangent, similarity)
        # One scale for each query, to multiply with the rows of softmax(similarity) - identity.
        scale = xp.broadcast_to(unreduce(cotangent, reduction, values.shape) / temperature, values.shape)
        weights = softmax(similarity, axis=1) * scale[:, None]
        if symmetric:
            weights = 0.5 * (weights + softmax(similarity, axis=0) * scale[None, :])
        own_scale = scale[:, None]
        to_queries = _through_unit(weights @ k - own_scale * k, q, q_length) if wanted[0] else None
        to_keys = _through_unit(weights.T @ q - own_scale * q, k, k_length) if wanted[1] else None
        return to_queries, to_keys

    return reduce_loss(values, reduction), pullback


def _of_similarity(similarity: Array, own: Array, symmetric: bool) -> Array:
    values = logsumexp(similarity, axis=1) - own
    return 0.5 * (values + logsumexp(similarity, axis=0) - own) if symmetric else values


def _unit(x: Array) -> tuple[Array, Array]:
    """Return rows of length 1, or 0 for those of length 0, and their lengths of shape (rows, 1)."""
    xp = namespace(x)
    square = xp.sum(x * x, axis=1, keepdims=True)
    length = xp.sqrt(xp.where(square < _TINY, _TINY, square))
    return x / length, length


def _through_unit(cotangent: Array, unit: Array, length: Array) -> Array:
    """Return the cotangent of a vector from that of its direction: what is along the vector does not count."""
    xp = namespace(cotangent, unit, length)
    return (cotangent - unit * xp.sum(unit * cotangent, axis=1, keepdims=True)) / length


def _check_info_nce(queries: Array, keys: Array, temperature: float) -> None:
    expect_pair(queries, keys, "keys", "queries")
    if queries.ndim != 2:
        raise ShapeError(f"expected queries of shape (batch, features), got {tuple(queries.shape)}")
    if not 0 < temperature < math.inf:
        raise ArgumentError(f"expected temperature > 0, got {temperature}")
