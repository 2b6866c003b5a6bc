"""Records of losses that are called on an input and a target of one shape."""

from typing import Any

import nnx
from nnx import functional as F
from rows.draws import normal
from rows.record import Capability, Draw, Row, Wrong, loss

PAIR = "input and target of one shape"
WRONG = ((4, 3), (4, 2))
PAIRS, ONE = normal((4, 3), (4, 3)), normal((4, 3))
NONE, SUM = {"reduction": "none"}, {"reduction": "sum"}
BATCH = {"none": "concat", "sum": "sum", "mean": "mean"}


def function(
    name: str,
    torch_name: str,
    *rows: tuple[str, dict[str, Any]],
    inputs: Draw = PAIRS,
    constants: Draw = lambda rng: (),
    input_name: str = "input",
) -> Capability:
    """Return the record of a function of input and target; a row is its suffix and its options."""

    def row(suffix: str, options: dict[str, Any]) -> Row:
        return Row(
            f"{name}-{suffix}",
            lambda x, t: getattr(F, name)(x, t, **options),
            inputs,
            lambda torch, x, t: getattr(torch.nn.functional, torch_name)(x, t, **options),
            constants,
            batch=BATCH[options.get("reduction", "mean")],
        )

    return Capability(
        f"functional.{name}",
        PAIR,
        f"torch.nn.functional.{torch_name}",
        wrong=Wrong(WRONG, rf"expected target of shape \(4, 3\), as the {input_name}, got \(4, 2\)"),
        rows=tuple(row(*made) for made in rows),
    )


def record(
    cls: type[nnx.Loss],
    torch_name: str,
    inputs: Draw = ONE,
    constants: Draw = ONE,
    **options: Any,
) -> Capability:
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
                inputs,
                lambda torch, x, t: getattr(torch.nn, torch_name)(**options)(x, t),
                constants,
                repr=f"{cls.__name__}({shown})",
            ),
        ),
    )
