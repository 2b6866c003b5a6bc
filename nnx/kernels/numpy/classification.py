"""The native body of cross-entropy, for class indices."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from nnx.autodiff import Pullback, TracedArray
from nnx.autodiff.dispatch import Declined
from nnx.backend import namespace
from nnx.functional import cross_entropy

_sum = np.add.reduce  # numpy.sum is a wrapper around this, which doubles the time for a small array


@cross_entropy.kernel("numpy", fresh=True)
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
    is_common = (
        (type(target) is np.ndarray and target.dtype.kind in "iu" and target.ndim == 1 and logits.ndim == 2)
        and (weight is None and not label_smoothing and reduction == "mean" and axis in (1, -1) and ignore_index < 0)
        and (
            logits.dtype.kind == "f"
            and logits.dtype.itemsize > 2
            and logits.dtype.isnative
            and logits.size
            and target.shape[0] == logits.shape[0]
        )
    )
    if not is_common:
        return Declined(
            "it is for the mean over logits of shape (batch, classes) and class indices, without weight or smoothing"
        )
    count, classes = logits.shape
    indices = target.astype(np.intp, copy=False)
    unsigned = indices.view(np.uintp)  # in which a negative index is a large one
    if unsigned[unsigned.argmax()] >= classes:
        return Declined("a class index is out of range, or is that of an example to ignore")
    starts = np.arange(0, count * classes, classes)
    chosen = starts + indices
    # argmax and take are several times as fast as max.
    shifted = logits - logits.take(starts + logits.argmax(axis=1))[:, None]
    powers = np.exp(shifted)
    totals = _sum(powers, axis=1, keepdims=True)
    loss = _sum(np.log(totals[:, 0]) - shifted.take(chosen)) / logits.dtype.type(count)

    def pullback(g: Any) -> Sequence[Any]:
        to_logits = powers / totals
        to_logits.put(chosen, to_logits.take(chosen) - 1)
        if type(g) is TracedArray:  # the pullback is linear in g, so the factor is enough; no portable body needed
            return namespace(g).multiply(to_logits, g / count), None, None
        to_logits *= g / logits.dtype.type(count)
        return to_logits, None, None

    return loss, pullback
