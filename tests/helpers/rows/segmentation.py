"""Losses for dense predictions: focal and Dice."""

from functools import partial

import nnx
from nnx import functional as F
from rows.draws import CLASSES, LOGITS, both, labels, normal, positive, uniform
from rows.pairs import PAIR, WRONG
from rows.record import Capability, Row, Wrong, loss

FOCAL = "logits (batch, classes, ...), class indices (batch, ...), weight (classes) or None"
IMAGES, ONE = uniform((2, 3, 2, 2)), uniform((4, 3))


def _reduced(values, reduction):
    return values if reduction == "none" else getattr(values, reduction)()


def _focal(torch, logits, target, gamma=2.0, reduction="mean"):
    entropy = torch.nn.functional.cross_entropy(logits, target, reduction="none")
    return _reduced((1.0 - torch.exp(-entropy)) ** gamma * entropy, reduction)


def _weighted(torch, logits, weight, target):
    log_p = torch.log_softmax(logits, 1)[torch.arange(4), target]
    return -(weight[target] * (1.0 - log_p.exp()) ** 1.5 * log_p).sum() / weight[target].sum()


def _binary(torch, x, t, alpha=0.25, gamma=2.0, reduction="mean"):
    entropy = torch.nn.functional.binary_cross_entropy_with_logits(x, t, reduction="none")
    p = torch.sigmoid(x)
    rest = p * (1 - t) + (1 - p) * t
    alphas = 1.0 if alpha is None else alpha * t + (1 - alpha) * (1 - t)
    return _reduced(alphas * rest**gamma * entropy, reduction)


def _dice(torch, p, t, axis=(2, 3), smooth=1.0, reduction="mean"):
    return _reduced(1 - (2 * (p * t).sum(axis) + smooth) / ((p + t).sum(axis) + smooth), reduction)


CAPABILITIES = [
    Capability(
        "functional.focal",
        FOCAL,
        "(1 - p)**gamma * cross_entropy",
        wrong=Wrong(WRONG, r"expected target of shape \(4,\), that of the logits without the class axis"),
        rows=(
            Row("focal-mean", F.focal, LOGITS, _focal, labels(4), batch="mean"),
            Row(
                "focal-images",
                partial(F.focal, gamma=0.5, reduction="none"),
                normal((2, CLASSES, 2)),
                partial(_focal, gamma=0.5, reduction="none"),
                labels(2, 2),
            ),
            Row(
                "focal-weight",
                lambda x, w, t: F.focal(x, t, w, gamma=1.5),
                both(LOGITS, positive((CLASSES,))),
                _weighted,
                labels(4),
                batch=None,
            ),
        ),
    ),
    Capability(
        "functional.binary_focal",
        PAIR,
        "sigmoid_focal_loss of torchvision",
        wrong=Wrong(WRONG, r"expected target of shape \(4, 3\), as the logits, got \(4, 2\)"),
        rows=(
            Row("binary_focal-mean", F.binary_focal, both(normal((4, 3)), ONE), _binary, batch="mean"),
            Row(
                "binary_focal-none",
                partial(F.binary_focal, alpha=None, gamma=0.5, reduction="none"),
                normal((4, 3)),
                partial(_binary, alpha=None, gamma=0.5, reduction="none"),
                ONE,
            ),
        ),
    ),
    Capability(
        "functional.dice",
        "input and target (batch, classes, ...)",
        "1 - (2 * (p * t).sum(axis) + smooth) / ((p + t).sum(axis) + smooth)",
        wrong=Wrong(WRONG, r"expected target of shape \(4, 3\), as the input, got \(4, 2\)"),
        rows=(
            Row("dice-mean", F.dice, both(IMAGES, IMAGES), _dice, batch="mean"),
            Row(
                "dice-none",
                partial(F.dice, axis=-1, smooth=0.1, reduction="none"),
                both(ONE, ONE),
                partial(_dice, axis=-1, smooth=0.1, reduction="none"),
            ),
        ),
    ),
    Capability(
        "Focal",
        FOCAL,
        "(1 - p)**gamma * cross_entropy",
        wrong=Wrong(WRONG, "Focal: expected target of shape"),
        rows=(loss("Focal", nnx.Focal(), LOGITS, _focal, labels(4), repr="Focal()"),),
    ),
    Capability(
        "BinaryFocal",
        PAIR,
        "sigmoid_focal_loss of torchvision",
        wrong=Wrong(WRONG, "BinaryFocal: expected target of shape"),
        rows=(loss("BinaryFocal", nnx.BinaryFocal(), normal((4, 3)), _binary, ONE, repr="BinaryFocal()"),),
    ),
    Capability(
        "Dice",
        "input and target (batch, classes, ...)",
        "1 - (2 * (p * t).sum(axis) + smooth) / ((p + t).sum(axis) + smooth)",
        wrong=Wrong(WRONG, "Dice: expected target of shape"),
        rows=(loss("Dice", nnx.Dice(), IMAGES, _dice, IMAGES, repr="Dice()"),),
    ),
]
