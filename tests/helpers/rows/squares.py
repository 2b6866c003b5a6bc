"""Losses that are means of squares."""

import nnx
from nnx import functional as F
from rows.draws import CLASSES, LOGITS, both, normal, one_hot, probabilities
from rows.record import Capability, Row, Wrong, loss

REDUCTIONS = ("mean", "sum", "none")
BATCH = {"none": "concat", "sum": "sum", "mean": "mean"}

CAPABILITIES = [
    Capability(
        "functional.mse",
        "input and target of one shape",
        "torch.nn.functional.mse_loss",
        wrong=Wrong(((4, 3), (4, 2)), "expected"),
        rows=tuple(
            Row(
                f"mse-{reduction}",
                lambda x, t, r=reduction: F.mse(x, t, reduction=r),
                normal((4, 3), (4, 3)),
                lambda torch, x, t, r=reduction: torch.nn.functional.mse_loss(x, t, reduction=r),
                batch=BATCH[reduction],
            )
            for reduction in REDUCTIONS
        ),
    ),
    Capability(
        "functional.mses",
        "input and target of one shape, with the class axis",
        "mse_loss(torch.softmax(input, axis), target)",
        wrong=Wrong(((4, 3), (4, 2)), "expected"),
        rows=(
            *(
                Row(
                    f"mses-{reduction}",
                    lambda x, t, r=reduction: F.mses(x, t, reduction=r),
                    both(normal((4, CLASSES)), probabilities(4)),
                    lambda torch, x, t, r=reduction: torch.nn.functional.mse_loss(torch.softmax(x, 1), t, reduction=r),
                    batch=BATCH[reduction],
                )
                for reduction in REDUCTIONS
            ),
            Row(
                "mses-axis-last",
                lambda x, t: F.mses(x, t, axis=-1),
                both(normal((4, 2, CLASSES)), probabilities(4, 2)),
                lambda torch, x, t: torch.nn.functional.mse_loss(torch.softmax(x, -1), t),
                batch="mean",
            ),
        ),
    ),
    Capability(
        "MSE",
        "input and target of one shape",
        "torch.nn.MSELoss",
        wrong=Wrong(((4, 3), (4, 2)), "MSE: expected"),
        rows=(
            loss(
                "MSE",
                nnx.MSE(),
                normal((4, 3)),
                lambda torch, x, t: torch.nn.functional.mse_loss(x, t),
                normal((4, 3)),
                repr="MSE()",
            ),
        ),
    ),
    Capability(
        "MSES",
        "input and target of one shape, with the class axis",
        "MSELoss of torch.softmax(input, axis)",
        wrong=Wrong(((4, 3), (4, 2)), "MSES: expected"),
        rows=(
            loss(
                "MSES",
                nnx.MSES(),
                LOGITS,
                lambda torch, x, t: torch.nn.functional.mse_loss(torch.softmax(x, 1), t),
                one_hot(4),
                repr="MSES()",
            ),
        ),
    ),
]
