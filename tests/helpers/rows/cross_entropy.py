"""Cross-entropy, from logits."""

from typing import Any

import nnx
from nnx import functional as F
from rows.draws import CLASSES, LOGITS, both, labels, normal, one_hot, positive, probabilities
from rows.record import Capability, Draw, Row, Wrong, loss

WEIGHT = positive((CLASSES,))
IMAGES = normal((2, CLASSES, 2, 2))


def _last(torch, logits, *rest, **options):
    return torch.nn.functional.cross_entropy(torch.movedim(logits, -1, 1), *rest, **options)


def _differentiable_weights(torch, logits, weight, target):
    # PyTorch does not differentiate for the class weights, so the definition itself.
    log_p = torch.log_softmax(logits, 1)[torch.arange(len(target)), target]
    return -(weight[target] * log_p).sum() / weight[target].sum()


def cross_entropy_row(
    id: str,
    inputs: Draw,
    constants: Draw = lambda rng: (),
    *,
    batch: str | None,
    weighted: bool = False,
    last: bool = False,
    **options: Any,
) -> Row:
    """Return a row; with ``weighted`` the first constant is the weight of the classes, which comes last in a call."""

    def call(logits, *rest):
        weight, target = rest if weighted else (None, *rest)
        return F.cross_entropy(logits, target, weight, axis=-1 if last else 1, **options)

    def by_torch(torch, logits, *rest):
        weight, target = rest if weighted else (None, *rest)
        function = _last if last else lambda torch, *args, **kw: torch.nn.functional.cross_entropy(*args, **kw)
        return function(torch, logits, target, weight, **options)

    unbatched = (1,) if weighted else ()
    return Row(f"cross_entropy-{id}", call, inputs, by_torch, constants, batch=batch, unbatched=unbatched)


TAKES = "logits (batch, classes, ...), class indices (batch, ...) or probabilities like them, weight (classes) or None"
CAPABILITIES = [
    Capability(
        "functional.cross_entropy",
        TAKES,
        "torch.nn.functional.cross_entropy",
        wrong=Wrong(((4, 3), (4, 2)), "expected"),
        rows=(
            cross_entropy_row("mean", LOGITS, labels(4), batch="mean"),
            cross_entropy_row("ignore", LOGITS, labels(4, ignored=7), batch=None, ignore_index=7, label_smoothing=0.2),
            cross_entropy_row(
                "weight-ignore-smooth",
                LOGITS,
                both(WEIGHT, labels(4, ignored=-100)),
                weighted=True,
                batch=None,
                label_smoothing=0.2,
            ),
            cross_entropy_row(
                "images-weight-none",
                IMAGES,
                both(WEIGHT, labels(2, 2, 2)),
                weighted=True,
                batch="concat",
                reduction="none",
            ),
            cross_entropy_row(
                "last-sum", normal((4, 2, CLASSES)), labels(4, 2), batch="sum", last=True, reduction="sum"
            ),
            cross_entropy_row("images-one-hot", IMAGES, one_hot(2, 2, 2, axis=1), batch="mean"),
            cross_entropy_row("probabilities-none", both(LOGITS, probabilities(4)), batch="concat", reduction="none"),
            cross_entropy_row(
                "probabilities-weight-smooth",
                LOGITS,
                both(WEIGHT, probabilities(4)),
                weighted=True,
                batch="mean",
                label_smoothing=0.1,
            ),
            Row(
                "cross_entropy-differentiable-weight",
                lambda logits, weight, target: F.cross_entropy(logits, target, weight),
                both(LOGITS, WEIGHT),
                _differentiable_weights,
                labels(4),
                batch=None,
            ),
        ),
    ),
    Capability(
        "CrossEntropy",
        TAKES,
        "torch.nn.CrossEntropyLoss",
        wrong=Wrong(((4, 3), (4, 2)), "CrossEntropy: expected"),
        rows=(
            loss(
                "CrossEntropy",
                nnx.CrossEntropy(label_smoothing=0.1),
                LOGITS,
                lambda torch, x, t: torch.nn.functional.cross_entropy(x, t, label_smoothing=0.1),
                labels(4),
                repr="CrossEntropy(label_smoothing=0.1)",
            ),
        ),
    ),
]
