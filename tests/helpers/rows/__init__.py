"""Everything that the battery goes through: capability records and their rows, one file a family.

A new function, layer or loss joins the battery by its record in the file of its family.
"""

from typing import Any

from rows import (
    activations,
    alignment,
    attention,
    binary,
    containers,
    contraction,
    convolution,
    cross_entropy,
    divergences,
    embeddings,
    indexing,
    likelihoods,
    linear,
    normalization,
    optimizers,
    pooling,
    recurrent,
    regularization,
    robust,
    segmentation,
    shapes,
    special,
    squares,
    transformers,
    upsampling,
    variational,
    vectors,
    weight_normalization,
)
from rows.record import Capability, Row, Wrong

FAMILIES = {
    "Linear maps": linear,
    "Reshaping and functions as layers": shapes,
    "Convolution": convolution,
    "Pooling": pooling,
    "Upsampling": upsampling,
    "Activations": activations,
    "Containers": containers,
    "Special functions": special,
    "Sums of products": contraction,
    "Indexing, padding and windows": indexing,
    "Embeddings": embeddings,
    "Attention and positions": attention,
    "Normalization": normalization,
    "Transformers": transformers,
    "Weight normalization": weight_normalization,
    "Regularization": regularization,
    "Recurrent": recurrent,
    "Squares": squares,
    "Absolute differences": robust,
    "Cross-entropy": cross_entropy,
    "Binary decisions": binary,
    "Likelihoods": likelihoods,
    "Divergences": divergences,
    "Dense predictions": segmentation,
    "Pairs of vectors": vectors,
    "Alignment of sequences": alignment,
    "Variational": variational,
    "Optimizers": optimizers,
}
CAPABILITIES: list[Capability] = [record for family in FAMILIES.values() for record in family.CAPABILITIES]
CAPABILITY_OF = {row.id: record for record in CAPABILITIES for row in record.rows}


def _rows(kind: str) -> list[Any]:
    return [row for record in CAPABILITIES if record.kind == kind for row in record.rows]


FUNCTIONS, LAYERS, LOSSES = _rows("functions"), _rows("layers"), _rows("losses")
OPTIMIZERS = _rows("optimizers")
ROWS = [*FUNCTIONS, *LAYERS, *LOSSES]

__all__ = [
    "CAPABILITIES",
    "CAPABILITY_OF",
    "FAMILIES",
    "FUNCTIONS",
    "LAYERS",
    "LOSSES",
    "OPTIMIZERS",
    "ROWS",
    "Row",
    "Wrong",
]
