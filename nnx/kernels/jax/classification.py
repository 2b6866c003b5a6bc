"""Cross-entropy compiled by XLA into one pass forward and one backward, for class indices."""

import math
from typing import Any

import jax
from jax import numpy as jnp

from nnx.functional import cross_entropy
from nnx.functional.checks import as_class_indices
from nnx.kernels.index_targets import check_indices
from nnx.kernels.jax.automatic import native


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
    classes = logits.shape[axis]
    index = as_class_indices(target)
    kept = index != ignore_index
    outside = (index < 0) | (index >= classes)
    safe = jnp.expand_dims(jnp.where(outside | ~kept, 0, index), axis)
    log_p = jax.nn.log_softmax(logits.astype(jnp.promote_types(logits.dtype, jnp.float32)), axis=axis)
    values = -jnp.squeeze(jnp.take_along_axis(log_p, safe, axis=axis), axis)
    if label_smoothing:
        values = (1.0 - label_smoothing) * values - label_smoothing * jnp.mean(log_p, axis=axis)
    counted = jnp.where(kept & outside, math.nan, kept.astype(log_p.dtype))
    if weight is not None:
        counted = counted * jnp.squeeze(weight.astype(log_p.dtype)[safe], axis)
    values = counted * jnp.where(counted == 0, 0.0, values)
    if reduction != "none":
        values = jnp.sum(values)
    if reduction == "mean":
        total = jnp.sum(counted)
        values = values / jnp.where(total == 0, 1.0, total)
    return values.astype(logits.dtype)
