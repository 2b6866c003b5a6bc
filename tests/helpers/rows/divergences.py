"""Divergences between probability distributions."""

import nnx
from nnx import functional as F
from rows.draws import CLASSES, both, normal, probabilities
from rows.pairs import PAIR, WRONG
from rows.record import Capability, Row, Wrong, loss


def _row(id, inputs, constants=lambda rng: (), *, batch="mean", **options):
    return Row(
        f"kl_divergence-{id}",
        lambda x, t: F.kl_divergence(x, t, **options),
        inputs,
        lambda torch, x, t: torch.nn.functional.kl_div(x, t, **{"reduction": "batchmean", **options}),
        constants,
        batch=batch,
    )


X = normal((4, CLASSES))
CAPABILITIES = [
    Capability(
        "functional.kl_divergence",
        PAIR,
        "torch.nn.functional.kl_div",
        wrong=Wrong(WRONG, r"expected target of shape \(4, 3\), as the input, got \(4, 2\)"),
        rows=(
            _row("batchmean", both(X, probabilities(4))),
            _row("sum-log", both(X, X), log_target=True, reduction="sum", batch="sum"),
            _row("none", both(X, probabilities(4)), reduction="none", batch="concat"),
        ),
    ),
    Capability(
        "KLDivergence",
        PAIR,
        "torch.nn.KLDivLoss",
        wrong=Wrong(WRONG, "KLDivergence: expected target of shape"),
        rows=(
            loss(
                "KLDivergence",
                nnx.KLDivergence(),
                X,
                lambda torch, x, t: torch.nn.functional.kl_div(x, t, reduction="batchmean"),
                probabilities(4),
                repr="KLDivergence()",
            ),
        ),
    ),
]
