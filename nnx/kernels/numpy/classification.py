"""The native body of cross-entropy, for class indices."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from nnx.autodiff import Pullback, TracedArray
from nnx.autodiff.dispatch import Declined
from nnx.backend import namespace
from nnx.functional import cross_entropy
from nnx.functional.loss_terms import REDUCTIONS

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
    if type(target) is not np.ndarray or target.dtype.kind not in "iu" or weight is not None or label_smoothing:
        return Declined("it is for class indices, without weight or smoothing")
    shape, ndim = logits.shape, logits.ndim
    last = -ndim <= axis < ndim and axis % ndim == ndim - 1
    fits = last or 0 <= axis < ndim
    if not (fits and logits.dtype.char in "fd" and logits.dtype.isnative and logits.size and reduction in REDUCTIONS):
        return Declined("the logits are not native float32 or float64 with this axis and at least one element")
    classes, count = shape[axis], target.size
    if target.shape != (shape[:-1] if last else (*shape[:axis], *shape[axis + 1 :])):
        return Declined("the target has another shape than the logits without the axis of the classes")
    indices = target.reshape(-1).astype(np.intp, copy=False)
    kept = None
    unsigned = indices.view(np.uintp)  # in which a negative index is a large one
    if 0 <= ignore_index < classes or unsigned[unsigned.argmax()] >= classes:
        kept = indices != ignore_index
        indices = np.where(kept, indices, 0)
        if indices.min() < 0 or indices.max() >= classes:
            return Declined("a class index is out of range")
    starts = np.arange(0, count * classes, classes)
    chosen = starts + indices
    rows = (logits if last else np.moveaxis(logits, axis, -1)).reshape((count, classes))
    # argmax and take are several times as fast as max.
    shifted = rows - rows.take(starts + rows.argmax(axis=1))[:, None]
    powers = np.exp(shifted)
    totals = _sum(powers, axis=1, keepdims=True)
    values = np.log(totals[:, 0]) - shifted.take(chosen)
    if kept is not None:
        values = np.where(kept, values, 0)
        count = max(1, int(np.count_nonzero(kept)))
    divisor = logits.dtype.type(count if reduction == "mean" else 1)

    def pullback(g: Any) -> Sequence[Any]:
        traced = type(g) is TracedArray
        if traced and reduction == "none":
            options = {"axis": axis, "reduction": reduction, "ignore_index": ignore_index}
            return cross_entropy.portable_pullback(wanted, logits, target, weight, **options)(g)
        to_rows = powers / totals
        to_rows.put(chosen, to_rows.take(chosen) - 1)
        if kept is not None:
            to_rows *= kept[:, None]
        if not traced:
            to_rows *= g.reshape((-1, 1)) if reduction == "none" else g / divisor
        to_logits = to_rows.reshape(shape) if last else _moved_back(to_rows, shape, axis)
        if traced:  # the pullback is linear in g, so the factor is enough; no portable body needed
            to_logits = namespace(g).multiply(to_logits, g / divisor)
        return to_logits, None, None

    if reduction == "none":
        return values.reshape(target.shape), pullback
    return _sum(values) / divisor, pullback


def _moved_back(rows: Any, shape: Any, axis: int) -> Any:
    """Return rows of classes as an array of a shape that has the classes along an axis."""
    return np.moveaxis(rows.reshape((*shape[:axis], *shape[axis + 1 :], shape[axis])), -1, axis)
