"""Vectors looked up by index."""

from typing import Any

import jax
import jax.numpy as jnp

from nnx.autodiff.dispatch import Declined
from nnx.functional import embedding
from nnx.functional.embeddings import check_embedding
from nnx.kernels.jax.automatic import native


def _check(indices: Any, weight: Any, *, padding_index: int | None = None) -> Declined | None:
    check_embedding(indices, weight, padding_index)
    return Declined("XLA adds up 16-bit gradients in 16 bits") if weight.dtype.itemsize == 2 else None


@native(embedding, _check)
def _(indices: Any, weight: Any, *, padding_index: int | None = None) -> Any:
    if padding_index is not None:
        fixed = jnp.arange(weight.shape[0])[:, None] == padding_index
        weight = jnp.where(fixed, jax.lax.stop_gradient(weight), weight)
    return jnp.take(weight, indices, axis=0)
