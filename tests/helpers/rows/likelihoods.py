"""Negative log-likelihoods."""

import nnx
from nnx import functional as F
from rows.draws import CLASSES, LOGITS, both, labels, normal, positive
from rows.record import Capability, Row, Wrong, loss

WEIGHT = positive((CLASSES,))
TAKES = "log-probabilities (batch, classes, ...), class indices (batch, ...), weight (classes) or None"


def _weighted(torch, log_p, weight, target):
    # PyTorch does not differentiate for the class weights, so the definition itself.
    kept = target != -100
    picked = weight[target[kept]]
    return -(picked * log_p[kept, target[kept]]).sum() / picked.sum()


def _nll(torch, x, t):
    return torch.nn.functional.nll_loss(x, t)


CAPABILITIES = [
    Capability(
        "functional.nll",
        TAKES,
        "torch.nn.functional.nll_loss",
        wrong=Wrong(
            ((4, 3), (4, 2)),
            r"expected target of shape \(4,\), that of the log_probabilities without .*, got \(4, 2\)",
        ),
        rows=(
            Row(
                "nll-mean",
                F.nll,
                LOGITS,
                _nll,
                labels(4),
                batch="mean",
            ),
            Row(
                "nll-images-none",
                lambda x, t: F.nll(x, t, axis=-1, reduction="none"),
                normal((2, 2, CLASSES)),
                lambda torch, x, t: torch.nn.functional.nll_loss(torch.movedim(x, -1, 1), t, reduction="none"),
                labels(2, 2),
            ),
            Row(
                "nll-weight-ignore",
                lambda x, w, t: F.nll(x, t, w),
                both(LOGITS, WEIGHT),
                _weighted,
                labels(4, ignored=-100),
                batch=None,
            ),
        ),
    ),
    Capability(
        "NLL",
        TAKES,
        "torch.nn.NLLLoss",
        wrong=Wrong(((4, 3), (4, 2)), "NLL: expected target of shape"),
        rows=(
            loss(
                "NLL",
                nnx.NLL(),
                LOGITS,
                _nll,
                labels(4),
                repr="NLL()",
            ),
        ),
    ),
]
