"""What takes or adds at indices, and windows."""

import nnx
from nnx import functional as F
from rows.draws import CLASSES, labels, normal
from rows.record import Capability, Row

EVERY = ("half", "real", "complex", "integer")

CAPABILITIES = [
    Capability(
        "functional.one_hot",
        "index (...), of integers",
        "torch.nn.functional.one_hot(index, classes)",
        dtypes=("real", "complex", "integer"),
        derivatives="zero: it is constant",
        rows=(
            Row(
                "one_hot",  # it has no derivative itself, so a product with it
                lambda x, index: x * F.one_hot(index, CLASSES, dtype=nnx.backend.dtype_name(x.dtype)),
                normal((4, CLASSES)),
                lambda torch, x, index: x * torch.nn.functional.one_hot(index, CLASSES).to(x.dtype),
                labels(4),
            ),
        ),
    ),
    Capability(
        "functional.gather",
        "x and index of as many axes, of equal lengths but for the axis",
        "torch.gather(x, axis, index)",
        dtypes=EVERY,
        rows=(
            Row(
                "gather",
                lambda x, index: F.gather(x, index, axis=1),
                normal((4, CLASSES, 2)),
                lambda torch, x, index: torch.gather(x, 1, index),
                labels(4, 5, 2),
            ),
        ),
    ),
    Capability(
        "functional.index_add",
        "x, index (n), values like x with n along the axis",
        "torch.index_add(x, axis, index, values)",
        dtypes=EVERY,
        rows=(
            Row(
                "index_add",
                lambda x, values, index: F.index_add(x, index, values, axis=1),
                normal((4, CLASSES, 2), (4, 5, 2)),
                lambda torch, x, values, index: torch.index_add(x, 1, index, values),
                labels(5),
                unbatched=(2,),
            ),
        ),
    ),
    Capability(
        "functional.pad",
        "x of any shape, a pair of widths for each axis",
        "torch.nn.functional.pad(x, widths from the last axis on, value=value)",
        dtypes=EVERY,
        rows=(
            Row(
                "pad",
                lambda x: F.pad(x, [(0, 0), (1, 2)], value=2.0),
                normal((4, 3)),
                lambda torch, x: torch.nn.functional.pad(x, (1, 2), value=2.0),
            ),
        ),
    ),
    Capability(
        "functional.sliding_window",
        "x with the axis, at least as long as the window",
        "torch.Tensor.unfold(axis, size, step)",
        dtypes=EVERY,
        rows=(
            Row(
                "sliding_window",
                lambda x: F.sliding_window(x, 3, axis=1, step=2),
                normal((4, 8, 2)),
                lambda torch, x: x.unfold(1, 3, 2),
            ),
        ),
    ),
]
