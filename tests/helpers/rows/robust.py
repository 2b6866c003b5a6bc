"""Losses of a difference that grow linearly."""

from typing import Any

import nnx
from nnx import functional as F
from rows.draws import normal
from rows.record import Capability, Row, Wrong, loss

PAIR = "input and target of one shape"
WRONG = ((4, 3), (4, 2))


def function(name: str, torch_name: str, *rows: tuple[str, dict[str, Any]]) -> Capability:
    """Return the record of a function of input and target; a row is its suffix and its options."""

    def row(suffix: str, options: dict[str, Any]) -> Row:
        return Row(
            f"{name}-{suffix}",
            lambda x, t: getattr(F, name)(x, t, **options),
            normal((4, 3), (4, 3)),
            lambda torch, x, t: getattr(torch.nn.functional, torch_name)(x, t, **options),
            batch={"none": "concat"}.get(options.get("reduction", "mean"), options.get("reduction", "mean")),
        )

    return Capability(
        f"functional.{name}",
        PAIR,
        f"torch.nn.functional.{torch_name}",
        wrong=Wrong(WRONG, r"expected target of shape \(4, 3\), as the input, got \(4, 2\)"),
        rows=tuple(row(*made) for made in rows),
    )


def record(cls: type[nnx.Loss], torch_name: str, **options: Any) -> Capability:
    """Return the record of a loss of input and target."""
    shown = ", ".join(f"{name}={value!r}" for name, value in options.items())
    return Capability(
        cls.__name__,
        PAIR,
        f"torch.nn.{torch_name}",
        wrong=Wrong(WRONG, f"{cls.__name__}: expected target of shape"),
        rows=(
            loss(
                cls.__name__,
                cls(**options),
                normal((4, 3)),
                lambda torch, x, t: getattr(torch.nn, torch_name)(**options)(x, t),
                normal((4, 3)),
                repr=f"{cls.__name__}({shown})",
            ),
        ),
    )


NONE, SUM = {"reduction": "none"}, {"reduction": "sum"}
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
