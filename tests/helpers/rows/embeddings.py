"""Vectors looked up by index."""

import numpy as np

import nnx
from nnx import functional as F
from rows.draws import CLASSES, labels, normal
from rows.record import Capability, Row


def _padded(weight, index):
    """Look up in a table with one more row, of padding: that row has no derivative, as no constant has one."""
    xp = nnx.namespace(weight)
    table = xp.concat([weight, xp.zeros((1, weight.shape[1]), dtype=weight.dtype, device=weight.device)])
    return F.embedding(index, table, padding_index=CLASSES)


def _torch(torch, weight, index):
    return torch.nn.functional.embedding(index, weight)


def _torch_padded(torch, weight, index):
    table = torch.cat([weight, torch.zeros_like(weight[:1])])
    return torch.nn.functional.embedding(index, table, CLASSES)


CAPABILITIES = [
    Capability(
        "functional.embedding",
        "indices (...), of integers, weight (num_embeddings, features)",
        "torch.nn.functional.embedding(indices, weight, padding_index)",
        dtypes=("half", "real", "complex"),
        rows=(
            Row(
                "embedding",
                lambda weight, index: F.embedding(index, weight),
                normal((CLASSES, 2)),
                _torch,
                labels(4, 2),
                unbatched=(0,),
            ),
            Row(
                "embedding-padding",
                _padded,
                normal((CLASSES, 2)),
                _torch_padded,
                lambda rng: (np.asarray([3, 0, 3, 2, 0]),),
                unbatched=(0,),
            ),
        ),
    ),
    Capability(
        "Embedding",
        "tokens (...), of integers",
        "torch.nn.Embedding",
        dtypes=("half", "real", "complex"),
        rows=(
            Row(
                "layer-Embedding",
                lambda module, index: module(index),
                lambda rng: (),
                lambda torch, p, index: _torch(torch, p["weight"], index),
                labels(4, 2),
                make=lambda dtype: nnx.Embedding(CLASSES, 2, rng=0, dtype=dtype),
                repr="Embedding(num_embeddings=3, features=2)",
            ),
        ),
    ),
]
