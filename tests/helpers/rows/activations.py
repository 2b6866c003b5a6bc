"""Elementwise activations and softmax, as functions and as layers."""

import nnx
from nnx import functional as F
from rows.draws import normal, off_zero
from rows.record import Capability, Row, Wrong, layer


def _softmax(axis):
    return lambda torch, x: torch.softmax(x, axis)


CAPABILITIES = [
    Capability(
        "functional.relu",
        "x of any shape",
        "torch.relu",
        rows=(Row("relu", F.relu, off_zero((4, 3)), lambda torch, x: torch.relu(x)),),
    ),
    Capability(
        "functional.sigmoid",
        "x of any shape",
        "torch.sigmoid",
        rows=(Row("sigmoid", F.sigmoid, normal((4, 3)), lambda torch, x: torch.sigmoid(x)),),
    ),
    Capability(
        "functional.exponential",
        "x of any shape",
        "torch.exp",
        dtypes=("half", "real", "complex"),
        rows=(Row("exponential", F.exponential, normal((4, 3)), lambda torch, x: torch.exp(x)),),
    ),
    Capability(
        "functional.softmax",
        "x with the axis",
        "torch.softmax(x, axis)",
        wrong=Wrong(((),), "expected"),
        rows=(
            Row("softmax", F.softmax, normal((4, 3)), _softmax(-1)),
            Row("softmax-1d", F.softmax, normal((3,)), _softmax(-1), batch=None),
            Row("softmax-axis-1", lambda x: F.softmax(x, axis=1), normal((4, 3, 2)), _softmax(1)),
        ),
    ),
    Capability(
        "functional.log_softmax",
        "x with the axis",
        "torch.log_softmax(x, axis)",
        wrong=Wrong(((),), "expected"),
        rows=(
            Row("log_softmax", F.log_softmax, normal((4, 3)), lambda torch, x: torch.log_softmax(x, -1)),
            Row(
                "log_softmax-axis-0",
                lambda x: F.log_softmax(x, axis=0),
                normal((4, 3)),
                lambda torch, x: torch.log_softmax(x, 0),
                batch=None,
            ),
        ),
    ),
    Capability(
        "ReLU",
        "x of any shape",
        "torch.nn.ReLU",
        rows=(layer("ReLU", lambda _: nnx.ReLU(), off_zero((4, 3)), lambda torch, p, x: torch.relu(x), repr="ReLU()"),),
    ),
    Capability(
        "Sigmoid",
        "x of any shape",
        "torch.nn.Sigmoid",
        rows=(
            layer(
                "Sigmoid",
                lambda _: nnx.Sigmoid(),
                normal((4, 3)),
                lambda torch, p, x: torch.sigmoid(x),
                repr="Sigmoid()",
            ),
        ),
    ),
    Capability(
        "Exponential",
        "x of any shape",
        "torch.exp",
        dtypes=("half", "real", "complex"),
        rows=(
            layer(
                "Exponential",
                lambda _: nnx.Exponential(),
                normal((4, 3)),
                lambda torch, p, x: x.exp(),
                repr="Exponential()",
            ),
        ),
    ),
    Capability(
        "Softmax",
        "x with the axis",
        "torch.nn.Softmax(axis)",
        wrong=Wrong(((),), "Softmax: expected"),
        rows=(
            layer(
                "Softmax",
                lambda _: nnx.Softmax(),
                normal((4, 3)),
                lambda torch, p, x: torch.softmax(x, -1),
                repr="Softmax()",
            ),
            layer(
                "Softmax-axis-1",
                lambda _: nnx.Softmax(axis=1),
                normal((4, 3, 2)),
                lambda torch, p, x: torch.softmax(x, 1),
                repr="Softmax(axis=1)",
            ),
        ),
    ),
]
