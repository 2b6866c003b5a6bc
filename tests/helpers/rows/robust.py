"""Losses of a difference that grow linearly."""

import nnx
from rows.pairs import NONE, SUM, function, record

CAPABILITIES = [
    function("mae", "l1_loss", ("mean", {}), ("sum", SUM), ("none", NONE)),
    function("huber", "huber_loss", ("mean", {"delta": 0.7}), ("none", {"delta": 1.5, **NONE})),
    function(
        "smooth_l1",
        "smooth_l1_loss",
        ("mean", {"beta": 0.7}),
        ("none", {"beta": 1.5, **NONE}),
        ("beta-zero", {"beta": 0.0, **SUM}),
    ),
    record(nnx.MAE, "L1Loss"),
    record(nnx.Huber, "HuberLoss", delta=0.5),
    record(nnx.SmoothL1, "SmoothL1Loss", beta=0.5),
]
