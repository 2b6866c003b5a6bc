"""Cross-entropy for class indices along the last axis: the loss and its slope together, in one call."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from nnx.autodiff import Pullback, TracedArray
from nnx.autodiff.dispatch import Declined
from nnx.backend import namespace
from nnx.functional import cross_entropy
from nnx.kernels.numba.compiling import compiled
from nnx.kernels.numba.exponential import exp
from nnx.kernels.numba.rows import largest, total
from nnx.kernels.numpy.elementwise import DTYPES

_BLOCK = 4096  # numbers that stay in the first cache
_FAR = 1e200  # a product of sums of at most so many classes stays finite, so that one logarithm does for many examples


@compiled
def _loss_and_slope(logits: Any, indices: Any, out: Any, ignored: int, is_mean: bool, wanted: bool) -> Any:
    """Return the loss of rows of logits; if wanted, write what it changes by with each of them into ``out``."""
    examples, classes = logits.shape
    counted = 0
    for index in indices:
        if index != ignored:
            counted += 1
            if not 0 <= index < classes:
                raise IndexError
    share = out.dtype.type(1.0 / max(1, counted) if is_mean else 1.0)
    loss, product = 0.0, 1.0
    flat = out.reshape(-1)
    together = max(1, _BLOCK // classes)
    for first in range(0, examples, together):
        last = min(examples, first + together)
        for i in range(first, last):
            row, shifted = logits[i], out[i]
            most = largest(row)
            for j in range(shifted.size):
                shifted[j] = row[j] - most
            if indices[i] != ignored:
                loss += most - logits[i, indices[i]]  # one number of a row would count references to it
        block = flat[first * classes : last * classes]
        for j in range(block.size):
            block[j] = exp(block[j])
        for i in range(first, last):
            powers = out[i]
            whole = total(powers)
            factor = share / whole
            if indices[i] == ignored:
                factor *= 0  # NaN stays, as in a product with a mask
            else:
                product *= whole
                if product > _FAR:
                    loss += math.log(product)
                    product = 1.0
            if wanted:
                for j in range(powers.size):
                    powers[j] *= factor
                if indices[i] != ignored:
                    out[i, indices[i]] -= share
    return (loss + math.log(product)) * share


@cross_entropy.kernel("numpy", tier="compiled", fresh=True)
def _(
    wanted: Sequence[Any],
    logits: Any,
    target: Any,
    weight: Any = None,
    *,
    axis: int = 1,
    reduction: str = "mean",
    ignore_index: int = -100,
    label_smoothing: float = 0.0,
) -> tuple[Any, Pullback] | Declined:
    if type(target) is not np.ndarray or target.dtype.kind not in "iu" or weight is not None or label_smoothing:
        return Declined("it is for class indices, without weight or smoothing")
    if type(ignore_index) is not int or not -_FARTHEST <= ignore_index < _FARTHEST:
        return Declined("the index to ignore is not an integer of 64 bits")
    shape, dtype = logits.shape, logits.dtype
    if not shape or axis not in (-1, len(shape) - 1) or target.shape != shape[:-1] or not logits.size:
        return Declined("the classes are not along the last axis, or the target has another shape")
    if dtype not in DTYPES or not logits.flags.c_contiguous or (reduction != "mean" and reduction != "sum"):
        return Declined("the logits are not contiguous and native, of float32 or float64, or the loss is not reduced")
    rows = logits if len(shape) == 2 else logits.reshape((-1, shape[-1]))
    indices = target if len(shape) == 2 else target.reshape(-1)
    if indices.dtype is not _INDEX:
        indices = indices.astype(np.intp)

    slope: Any = np.empty(rows.shape, dtype)
    is_mean = reduction == "mean"
    try:
        loss = _loss_and_slope(rows, indices, slope, ignore_index, is_mean, wanted[0])
    except IndexError:
        return Declined("a class index is out of range")

    def pullback(g: Any) -> Sequence[Any]:
        nonlocal slope
        if not wanted[0]:
            return None, None, None
        given, slope = slope, None  # it is the caller's then
        if given is None:
            given = np.empty(rows.shape, dtype)
            _loss_and_slope(rows, indices, given, ignore_index, is_mean, True)
        if len(shape) != 2:
            given = given.reshape(shape)
        if type(g) is TracedArray:  # the pullback is linear in g, so the factor is enough; no portable body needed
            return namespace(g).multiply(given, g), None, None
        if g != 1:
            given *= g
        return given, None, None

    return dtype.type(loss), pullback


_INDEX = np.dtype(np.intp)
_FARTHEST = 2**63
