"""Losses of a yes-or-no decision for each element."""

from dataclasses import replace

import nnx
from nnx import functional as F
from rows.draws import both, normal, positive, signs, uniform
from rows.pairs import BATCH, NONE, SUM, function, record
from rows.record import Capability, Row, Wrong, loss

ONE = uniform((4, 3))
LOGITS_AND_TARGET = both(normal((4, 3)), ONE)
WEIGHT = positive((3,))


def _weighted_bce(torch, x, t, w):
    return -(w * (t * torch.log(x) + (1.0 - t) * torch.log1p(-x))).mean()  # PyTorch has no derivative for the weight


def _hinge(torch, x, t, reduction="mean"):
    values = torch.clamp(1.0 - t * x, min=0.0)
    return values if reduction == "none" else getattr(values, reduction)()


def _bce_with_logits(torch, x, t, w, c):
    by_logits = -(c * t * torch.nn.functional.logsigmoid(x) + (1 - t) * torch.nn.functional.logsigmoid(-x))
    return (w * by_logits).mean()


_BCE = function("bce", "binary_cross_entropy", ("mean", {}), ("none", NONE), inputs=ONE, constants=ONE)
_WITH_LOGITS = function(
    "bce_with_logits",
    "binary_cross_entropy_with_logits",
    ("mean", {}),
    ("sum", SUM),
    ("none", NONE),
    inputs=LOGITS_AND_TARGET,
    input_name="logits",
)


def _and_row(record: Capability, row: Row) -> Capability:
    return replace(record, rows=(*record.rows, row))


CAPABILITIES = [
    _and_row(
        _BCE,
        Row("bce-weight", F.bce, both(uniform((4, 3), (4, 3)), WEIGHT), _weighted_bce, batch="mean", unbatched=(2,)),
    ),
    _and_row(
        _WITH_LOGITS,
        Row(
            "bce_with_logits-weights",
            F.bce_with_logits,
            both(LOGITS_AND_TARGET, positive((4, 1)), WEIGHT),
            _bce_with_logits,
            batch="mean",
            unbatched=(3,),
        ),
    ),
    Capability(
        "functional.hinge",
        "input and a target of -1 and 1, of one shape",
        "max(0, margin - target * input)",
        wrong=Wrong(((4, 3), (4, 2)), "expected"),
        rows=tuple(
            Row(
                f"hinge-{reduction}",
                lambda x, t, r=reduction: F.hinge(x, t, reduction=r),
                normal((4, 3)),
                lambda torch, x, t, r=reduction: _hinge(torch, x, t, r),
                signs((4, 3)),
                batch=BATCH[reduction],
            )
            for reduction in ("mean", "none")
        ),
    ),
    record(nnx.BCE, "BCELoss", ONE, ONE),
    record(nnx.BCEWithLogits, "BCEWithLogitsLoss", normal((4, 3)), ONE),
    Capability(
        "Hinge",
        "input and a target of -1 and 1, of one shape",
        "max(0, margin - target * input)",
        wrong=Wrong(((4, 3), (4, 2)), "Hinge: expected"),
        rows=(loss("Hinge", nnx.Hinge(), normal((4, 3)), _hinge, signs((4, 3)), repr="Hinge()"),),
    ),
]
