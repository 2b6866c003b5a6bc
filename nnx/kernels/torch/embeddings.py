"""Vectors looked up by index."""

from typing import Any

import torch

from nnx.autodiff.dispatch import Declined
from nnx.functional import embedding
from nnx.functional.embeddings import check_embedding
from nnx.kernels.torch.automatic import native


def _check(indices: Any, weight: Any, *, padding_index: int | None = None) -> Declined | None:
    check_embedding(indices, weight, padding_index)
    if weight.is_complex():
        return Declined("torch has no derivative of it for complex numbers")
    if weight.dtype.itemsize == 2 and weight.device.type == "cpu":
        return Declined("on a CPU torch adds up 16-bit gradients in 16 bits")
    return None


@native(embedding, _check)
def _(indices: Any, weight: Any, *, padding_index: int | None = None) -> Any:
    return torch.nn.functional.embedding(indices.long(), weight, padding_index)
