"""Special functions."""

from nnx import functional as F
from rows.draws import normal
from rows.record import Capability, Row

CAPABILITIES = [
    Capability(
        "functional.erf",
        "x of any shape",
        "torch.special.erf",
        rows=(Row("erf", F.erf, lambda rng: (rng.normal(size=(4, 3)) * 2,), lambda torch, x: torch.special.erf(x)),),
    ),
    Capability(
        "functional.logsumexp",
        "x with the axes",
        "torch.logsumexp(x, axis, keepdims)",
        rows=(
            Row("logsumexp", F.logsumexp, normal((4, 3)), lambda torch, x: torch.logsumexp(x, (0, 1)), batch=None),
            Row(
                "logsumexp-axis-1",
                lambda x: F.logsumexp(x, axis=1, keepdims=True),
                normal((4, 3, 2)),
                lambda torch, x: torch.logsumexp(x, 1, keepdim=True),
            ),
        ),
    ),
]
