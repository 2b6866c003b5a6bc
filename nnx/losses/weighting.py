"""Weights of the samples in a loss: each of its terms counts as often as its sample's weight says."""

import math
from typing import Any

from nnx.backend import is_array, is_floating, namespace
from nnx.errors import DataError, ShapeError
from nnx.functional.checks import first_where
from nnx.tree import tree_flatten
from nnx.types import Array, Shape


def samples_in(tree: Any) -> int:
    """Return the number of samples of a tree: the length of the first axis of its first array that has one, or 1."""
    first = tree[0] if type(tree) is tuple and tree else tree  # the usual case, without looking at all of it
    for leaf in (first,) if is_array(first) and first.ndim else tree_flatten(tree).values():
        if is_array(leaf) and leaf.ndim:
            return int(leaf.shape[0])
    return 1


def total_of(counts: Shape | Array) -> int | Array:
    """Return the sum of what each term counts; a shape stands for ones."""
    return math.prod(counts) if isinstance(counts, tuple) else namespace(counts).sum(counts)


def weighted_total(counts: Shape | Array, weight: Array) -> Array:
    """Return the sum of the terms' counts, each times the weight of its sample or its own; as :func:`weighted`."""
    xp = namespace(weight)
    _expect_fitting(weight, counts if isinstance(counts, tuple) else tuple(counts.shape))
    if not is_floating(weight) or getattr(weight.dtype, "itemsize", 4) == 2:
        weight = xp.astype(weight, xp.float32)
    if isinstance(counts, tuple):
        share, total = math.prod(counts) / math.prod(weight.shape), xp.sum(weight)
        return total if share == 1.0 else share * total
    xp = namespace(weight, counts)
    return xp.sum(xp.astype(_of_terms(weight, tuple(counts.shape)), counts.dtype) * counts)


def weighted(terms: Array, counts: Shape | Array, weight: Array, reduction: str) -> Array:
    r"""Return the reduction of the terms of a loss, weighted: :math:`\sum_i w_i l_i / \sum_i w_i c_i` for a mean.

    Where the divisor is 0, because no sample counts, the loss is 0.

    Raises
    ------
    ShapeError
        If there is neither one weight for each sample nor one for each term.
    DataError
        If a weight is negative; where reading them would wait for a device, they are not looked at.
    """
    xp, shape = namespace(terms, weight), tuple(terms.shape)
    losses = xp.astype(_of_terms(weight, shape), terms.dtype) * terms
    if (negative := first_where(weight, lambda host: host < 0)) is not None:
        raise DataError(f"expected 'sample_weight' >= 0, got {negative}; leave a sample out with a weight of 0")
    if reduction == "none":
        return losses
    if reduction == "sum":
        return xp.sum(losses)
    divisor = xp.astype(weighted_total(shape if isinstance(counts, tuple) else counts, weight), terms.dtype)
    return xp.sum(losses) / xp.where(divisor == 0, 1.0, divisor)


def _of_terms(weight: Array, shape: Shape) -> Array:
    """Return weights that broadcast to the terms, those of a sample having one."""
    _expect_fitting(weight, shape)
    return namespace(weight).reshape(weight, tuple(weight.shape) + (1,) * (len(shape) - weight.ndim))


def _expect_fitting(weight: Array, shape: Shape) -> None:
    if (found := tuple(weight.shape)) not in (shape, shape[:1]):
        raise ShapeError(f"expected 'sample_weight' of shape {shape}, one for each loss, got {found}")
