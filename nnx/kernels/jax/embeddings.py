"""Vectors looked up by index."""

from typing import Any

import jax
import jax.numpy as jnp

from nnx.functional import embedding
from nnx.functional.embeddings import check_embedding
from nnx.kernels.jax.automatic import native


def _check(indices: Any, weight: Any, *, padding_index: int | None = None) -> None:
    check_embedding(indices, weight, padding_index)


@native(embedding, _check)
def _(indices: Any, weight: Any, *, padding_index: int | None = None) -> Any:
    if padding_index is not None:
        fixed = jnp.arange(weight.shape[0])[:, None] == padding_index
        weight = jnp.where(fixed, jax.lax.stop_gradient(weight), weight)
    return jnp.take(weight, indices, axis=0)
