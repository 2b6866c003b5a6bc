"""What the cross-entropies of torch and JAX have in common: they are for class indices."""

from typing import Any

from nnx.autodiff.dispatch import Declined
from nnx.backend import is_floating
from nnx.functional.classification import check_cross_entropy
from nnx.functional.loss_terms import REDUCTIONS


def check_indices(
    logits: Any,
    target: Any,
    weight: Any = None,
    *,
    axis: int = 1,
    reduction: str = "mean",
    ignore_index: int = -100,
    label_smoothing: float = 0.0,
) -> Declined | None:
    """Check the arguments of a cross-entropy as its portable body does, and decline what a library's own does not do.

    Torch does not differentiate smoothed labels for the weights of the classes.
    """
    check_cross_entropy(logits, target, weight, axis, ignore_index, label_smoothing)
    if reduction not in REDUCTIONS or is_floating(target):
        return Declined("it is for class indices")
    if weight is not None and label_smoothing:
        return Declined("it smooths labels only without weights of classes")
    return None
