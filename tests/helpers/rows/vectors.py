"""Losses of distances and similarities between vectors."""

from functools import partial

import nnx
from nnx import functional as F
from rows.draws import normal, signs
from rows.record import Capability, Row, Wrong, loss

TWO, THREE = normal((4, 3), (4, 3)), normal((4, 3), (4, 3), (4, 3))
TWO_WRONG, THREE_WRONG = ((4, 3), (4, 2), (4,)), ((4, 3), (4, 2), (4, 3))


def _cosine(torch, *args, **options):
    return torch.nn.functional.cosine_embedding_loss(*args, **options)


def _triplet(torch, *args, **options):
    return torch.nn.functional.triplet_margin_loss(*args, **options)


def _info_nce(torch, q, k, symmetric=False, temperature=0.1, reduction="mean"):
    q, k = (x / x.norm(dim=1, keepdim=True) for x in (q, k))
    similarity, own = q @ k.T / temperature, torch.arange(len(q))
    by_rows = torch.nn.functional.cross_entropy(similarity, own, reduction=reduction)
    if not symmetric:
        return by_rows
    return (by_rows + torch.nn.functional.cross_entropy(similarity.T, own, reduction=reduction)) / 2


def _row(function, torch_function, suffix, *draws, batch="mean", **options):
    name = f"{function.__name__}-{suffix}"
    return Row(
        name, partial(function, **options), draws[0], partial(torch_function, **options), *draws[1:], batch=batch
    )


CAPABILITIES = [
    Capability(
        "functional.cosine_embedding",
        "x1 and x2 (..., features), target (...) of 1 and -1",
        "torch.nn.functional.cosine_embedding_loss",
        wrong=Wrong(TWO_WRONG, r"expected x2 of shape \(4, 3\), as the x1, got \(4, 2\)"),
        rows=(
            _row(F.cosine_embedding, _cosine, "mean", TWO, signs((4,))),
            _row(F.cosine_embedding, _cosine, "none", TWO, signs((4,)), batch="concat", margin=0.2, reduction="none"),
        ),
    ),
    Capability(
        "functional.triplet_margin",
        "anchor, positive and negative (..., features)",
        "torch.nn.functional.triplet_margin_loss",
        wrong=Wrong(THREE_WRONG, r"expected positive of shape \(4, 3\), as the anchor, got \(4, 2\)"),
        rows=(
            _row(F.triplet_margin, _triplet, "mean", THREE),
            _row(F.triplet_margin, _triplet, "swap", THREE, batch="sum", swap=True, p=3.0, margin=2.0, reduction="sum"),
            _row(F.triplet_margin, _triplet, "none", THREE, batch="concat", p=1.0, margin=3.0, reduction="none"),
        ),
    ),
    Capability(
        "functional.info_nce",
        "queries and keys (batch, features)",
        "cross_entropy(cosines / temperature, torch.arange(batch))",
        wrong=Wrong(((4, 3), (4, 2)), r"expected keys of shape \(4, 3\), as the queries, got \(4, 2\)"),
        rows=(
            _row(F.info_nce, _info_nce, "mean", TWO, batch=None),
            _row(F.info_nce, _info_nce, "symmetric", TWO, batch=None, symmetric=True, reduction="none"),
        ),
    ),
    Capability(
        "CosineEmbedding",
        "x1 and x2 (..., features), target (...) of 1 and -1",
        "torch.nn.CosineEmbeddingLoss",
        wrong=Wrong(TWO_WRONG, "CosineEmbedding: expected x2 of shape"),
        rows=(loss("CosineEmbedding", nnx.CosineEmbedding(), TWO, _cosine, signs((4,)), repr="CosineEmbedding()"),),
    ),
    Capability(
        "TripletMargin",
        "anchor, positive and negative (..., features)",
        "torch.nn.TripletMarginLoss",
        wrong=Wrong(THREE_WRONG, "TripletMargin: expected positive of shape"),
        rows=(loss("TripletMargin", nnx.TripletMargin(), THREE, _triplet, repr="TripletMargin()"),),
    ),
    Capability(
        "InfoNCE",
        "queries and keys (batch, features)",
        "cross_entropy(cosines / temperature, torch.arange(batch))",
        wrong=Wrong(((4, 3), (4, 2)), "InfoNCE: expected keys of shape"),
        rows=(loss("InfoNCE", nnx.InfoNCE(), TWO, _info_nce, batch=None, repr="InfoNCE()"),),
    ),
]
