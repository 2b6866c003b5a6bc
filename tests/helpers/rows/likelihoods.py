"""Negative log-likelihoods."""

import nnx
from nnx import functional as F
from rows.draws import CLASSES, LOGITS, both, counts, labels, normal, positive
from rows.pairs import NONE, SUM, function, record
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


def _gaussian(torch, mean, variance, target, **options):
    return torch.nn.functional.gaussian_nll_loss(mean, target, variance, **options)


MEAN_AND_VARIANCE = both(normal((4, 3)), positive((4, 3)))
COUNTS = counts((4, 3))


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
    Capability(
        "functional.gaussian_nll",
        "input and target of one shape, variance that broadcasts to it",
        "torch.nn.functional.gaussian_nll_loss",
        wrong=Wrong(((4, 3), (4, 2), (4, 3)), r"expected target of shape \(4, 3\), as the input, got \(4, 2\)"),
        rows=(
            Row(
                "gaussian_nll-mean",
                F.gaussian_nll,
                both(normal((4, 3), (4, 3)), positive((4, 3))),
                lambda torch, *args: torch.nn.functional.gaussian_nll_loss(*args),
                batch="mean",
            ),
            Row(
                "gaussian_nll-full-none",
                lambda x, v, t: F.gaussian_nll(x, t, v, full=True, reduction="none"),
                both(normal((4, 3)), positive((4, 1))),
                lambda torch, x, v, t: _gaussian(torch, x, v, t, full=True, reduction="none"),
                normal((4, 3)),
            ),
        ),
    ),
    function(
        "poisson_nll",
        "poisson_nll_loss",
        ("mean", {}),
        ("full-none", {"full": True, **NONE}),
        ("rate-sum", {"log_input": False, **SUM}),
        inputs=positive((4, 3)),
        constants=COUNTS,
    ),
    Capability(
        "GaussianNLL",
        "input and target of one shape, variance that broadcasts to it",
        "torch.nn.GaussianNLLLoss",
        wrong=Wrong(((4, 3), (4, 2), (4, 3)), "GaussianNLL: expected target of shape"),
        rows=(
            loss(
                "GaussianNLL",
                nnx.GaussianNLL(full=True),
                MEAN_AND_VARIANCE,
                lambda torch, x, v, t: _gaussian(torch, x, v, t, full=True),
                normal((4, 3)),
                order=(0, 2, 1),
                repr="GaussianNLL(full=True)",
            ),
        ),
    ),
    record(nnx.PoissonNLL, "PoissonNLLLoss", constants=COUNTS),
]
