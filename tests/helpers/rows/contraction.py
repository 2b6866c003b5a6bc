"""Sums of products over named axes."""

from nnx import functional as F
from rows.draws import normal
from rows.record import Capability, Row


def _einsum(id, subscripts, shapes, unbatched=()):
    return Row(
        f"einsum-{id}",
        lambda *xs: F.einsum(subscripts, *xs),
        normal(*shapes),
        lambda torch, *xs: torch.einsum(subscripts, *xs),
        unbatched=unbatched,
    )


CAPABILITIES = [
    Capability(
        "functional.einsum",
        "an array for each term of the subscripts, an axis for each letter",
        "torch.einsum(subscripts, *arrays)",
        dtypes=("half", "real", "complex", "integer"),
        rows=(
            _einsum("product", "bij,bjk->bik", ((4, 2, 3), (4, 3, 2))),
            _einsum("implicit", "ij,jk", ((4, 3), (3, 2)), unbatched=(1,)),
            _einsum("trace", "bii->b", ((4, 3, 3),)),
            _einsum("three", "bi,ij,bj->b", ((4, 3), (3, 2), (4, 2)), unbatched=(1,)),
        ),
    ),
]
