"""The losses of ``torch.nn`` and of nnx."""

from __future__ import annotations

from typing import Any

import nnx.losses as ours
from nnx.io.pytorch.calls import CTCCall
from nnx.io.pytorch.pair import Convert, Pair, Table, constant, pair_of
from nnx.layers import Module


def _cross_entropy(module: Any, convert: Convert) -> Module:
    return ours.CrossEntropy(
        constant(module.weight),
        reduction=module.reduction,
        ignore_index=module.ignore_index,
        label_smoothing=module.label_smoothing,
    )


def _bce(module: Any, convert: Convert) -> Module:
    return ours.BCE(constant(module.weight), reduction=module.reduction)


def _bce_with_logits(module: Any, convert: Convert) -> Module:
    weight, positive = constant(module.weight), constant(module.pos_weight)
    return ours.BCEWithLogits(weight, pos_weight=positive, reduction=module.reduction)


def _nll(module: Any, convert: Convert) -> Module:
    return ours.NLL(constant(module.weight), reduction=module.reduction, ignore_index=module.ignore_index)


def _ctc(module: Any, convert: Convert) -> Module:
    return CTCCall(module.blank, module.zero_infinity, module.reduction)


LOSSES: Table = {
    "CTCLoss": Pair("CTC", _ctc, "called as in PyTorch; a target too long for its input is an error"),
    "BCELoss": Pair("BCE", _bce, constants=("weight",)),
    "BCEWithLogitsLoss": Pair("BCEWithLogits", _bce_with_logits, constants=("weight", "pos_weight")),
    "CosineEmbeddingLoss": pair_of(ours.CosineEmbedding, reduction="reduction", margin="margin"),
    "CrossEntropyLoss": Pair("CrossEntropy", _cross_entropy, constants=("weight",)),
    "GaussianNLLLoss": pair_of(ours.GaussianNLL, reduction="reduction", full="full", eps="eps"),
    "HuberLoss": pair_of(ours.Huber, reduction="reduction", delta="delta"),
    "KLDivLoss": pair_of(ours.KLDivergence, reduction="reduction", log_target="log_target"),
    "L1Loss": pair_of(ours.MAE, reduction="reduction"),
    "MSELoss": pair_of(ours.MSE, reduction="reduction"),
    "NLLLoss": Pair("NLL", _nll, constants=("weight",)),
    "PoissonNLLLoss": pair_of(ours.PoissonNLL, reduction="reduction", log_input="log_input", full="full", eps="eps"),
    "SmoothL1Loss": pair_of(ours.SmoothL1, reduction="reduction", beta="beta"),
    "TripletMarginLoss": pair_of(
        ours.TripletMargin, reduction="reduction", margin="margin", p="p", eps="eps", swap="swap"
    ),
}
