"""Connectionist temporal classification."""

import itertools

import numpy as np

import nnx
from nnx import functional as F
from rows.draws import CLASSES, normal
from rows.record import Capability, Row, Wrong, loss

TAKES = "log-probabilities (batch, time, classes), target (batch, length), their lengths (batch) or None"
WRONG = ((2, 3), (2, 1))
X = normal((2, 4, CLASSES))


def targets(*arrays):
    return lambda rng: tuple(np.asarray(array) for array in arrays)


def spelled(path, blank):
    return [k for k, _ in itertools.groupby(path) if k != blank]


def _by_enumeration(torch, log_p, target, times=None, lengths=None, blank=0, reduction="mean"):
    """Add up all paths that spell the target; PyTorch's own has no second derivative, and wants a log-softmax."""
    found = []
    for i, labels in enumerate(target.tolist()):
        count = log_p.shape[1] if times is None else int(times[i])
        labels = labels if lengths is None else labels[: int(lengths[i])]
        paths = [p for p in itertools.product(range(log_p.shape[2]), repeat=count) if spelled(p, blank) == labels]
        of_paths = torch.stack([sum(log_p[i, t, k] for t, k in enumerate(path)) for path in paths])
        found.append(-torch.logsumexp(of_paths, 0) / (max(1, len(labels)) if reduction == "mean" else 1))
    values = torch.stack(found)
    return values if reduction == "none" else getattr(values, reduction)()


CAPABILITIES = [
    Capability(
        "functional.ctc",
        TAKES,
        "torch.nn.functional.ctc_loss",
        wrong=Wrong(WRONG, r"expected log_probabilities of shape \(batch, time, classes\), .* got \(2, 3\)"),
        rows=(
            Row("ctc-mean", F.ctc, X, _by_enumeration, targets([[1, 2], [1, 1]]), batch="mean"),
            Row(
                "ctc-lengths",
                lambda *args: F.ctc(*args, blank=2, reduction="none"),
                X,
                lambda torch, *args: _by_enumeration(torch, *args, blank=2, reduction="none"),
                targets([[1, 0], [0, 9]], [3, 4], [2, 1]),
            ),
            Row(
                "ctc-time-first",
                lambda x, t: F.ctc(x, t, batch_first=False, reduction="sum"),
                normal((3, 2, CLASSES)),
                lambda torch, x, t: _by_enumeration(torch, x.transpose(0, 1), t, reduction="sum"),
                targets([[2], [1]]),
                batch=None,
            ),
        ),
    ),
    Capability(
        "CTC",
        TAKES,
        "torch.nn.CTCLoss",
        wrong=Wrong(WRONG, r"CTC: expected log_probabilities of shape"),
        rows=(loss("CTC", nnx.CTC(), X, _by_enumeration, targets([[1, 2], [1, 1]]), repr="CTC()"),),
    ),
]
