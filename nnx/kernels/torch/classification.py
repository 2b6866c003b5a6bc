"""Cross-entropy of torch: one kernel forward and one backward, for class indices."""

import math
from typing import Any

import torch

from nnx.backend import is_cheap_to_read
from nnx.functional import cross_entropy
from nnx.kernels.index_targets import check_indices
from nnx.kernels.torch.automatic import native


@native(cross_entropy, check_indices)
def _(
    logits: Any,
    target: Any,
    weight: Any = None,
    *,
    axis: int = 1,
    reduction: str = "mean",
    ignore_index: int = -100,
    label_smoothing: float = 0.0,
) -> Any:
    axis = axis if logits.ndim > 1 else 0
    scores = torch.movedim(logits, axis, min(1, logits.ndim - 1))
    scores = scores.float() if scores.dtype in (torch.float16, torch.bfloat16) else scores
    index = target.long()
    wrong = None
    if not is_cheap_to_read(target):  # a device would abort the process at a class that is out of range
        wrong = (index != ignore_index) & ((index < 0) | (index >= logits.shape[axis]))
        index = torch.where(wrong, ignore_index, index)
    plain = weight is None and wrong is None
    values = torch.nn.functional.cross_entropy(
        scores,
        index,
        reduction="none" if reduction == "none" or not plain else "sum",
        ignore_index=ignore_index,
        label_smoothing=label_smoothing,
    )
    if plain and reduction != "mean":
        return values.to(logits.dtype)
    counted = (index != ignore_index).to(scores.dtype)
    if weight is not None:
        counted = counted * weight.to(scores.dtype)[torch.where(index == ignore_index, 0, index)]
    if wrong is not None:
        counted = torch.where(wrong, math.nan, counted)
    if not plain:
        values = torch.where(counted == 0, 0.0, values) * counted  # 0 also where the class has probability 0
        values = values if reduction == "none" else values.sum()
    if reduction == "mean":
        total = counted.sum()
        values = values / torch.where(total == 0, 1.0, total)  # torch's own mean of nothing is NaN
    return values.to(logits.dtype)
