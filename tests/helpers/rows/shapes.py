"""Layers that reshape, and layers that stand for a function."""

import nnx
from nnx import functional as F
from rows.draws import normal
from rows.record import Capability, Wrong, layer

ANY = ("half", "real", "complex", "integer")

CAPABILITIES = [
    Capability(
        "Flatten",
        "x with the axes to join",
        "torch.nn.Flatten(start_axis, end_axis)",
        dtypes=ANY,
        wrong=Wrong(((3,),), r"Flatten: expected an array that has axis 1, got one with 1 axis"),
        rows=(
            layer(
                "Flatten",
                lambda _: nnx.Flatten(),
                normal((4, 3, 2)),
                lambda torch, p, x: torch.flatten(x, 1),
                repr="Flatten()",
            ),
            layer(
                "Flatten-inner-axes",
                lambda _: nnx.Flatten(1, -2),
                normal((4, 3, 2, 2)),
                lambda torch, p, x: torch.flatten(x, 1, -2),
                repr="Flatten(end_axis=-2)",
            ),
        ),
    ),
    Capability(
        "Unflatten",
        "x with the axis to split",
        "torch.nn.Unflatten(axis, shape)",
        dtypes=ANY,
        wrong=Wrong(((4, 5),), r"Unflatten: expected axis 1 to have a length that splits into \(3, 2\), got"),
        rows=(
            layer(
                "Unflatten",
                lambda _: nnx.Unflatten(1, (3, 2)),
                normal((4, 6)),
                lambda torch, p, x: x.unflatten(1, (3, 2)),
                repr="Unflatten(axis=1, shape=(3, 2))",
            ),
        ),
    ),
    Capability(
        "Identity",
        "x of any shape",
        "torch.nn.Identity",
        dtypes=ANY,
        rows=(layer("Identity", lambda _: nnx.Identity(), normal((4, 3)), lambda torch, p, x: x, repr="Identity()"),),
    ),
    Capability(
        "Lambda",
        "what its function takes",
        "a function",
        rows=(
            layer(
                "Lambda",
                lambda _: nnx.Lambda(F.sigmoid),
                normal((4, 3)),
                lambda torch, p, x: torch.sigmoid(x),
                repr="Lambda(function=sigmoid)",
            ),
        ),
    ),
]
