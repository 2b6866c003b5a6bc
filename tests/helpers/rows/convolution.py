"""Convolution and its transpose, over one to three spatial axes."""

from typing import Any

import nnx
from nnx import functional as F
from rows.draws import normal
from rows.record import Capability, Row, Wrong, layer

DTYPES = ("half", "real", "complex")
AXES = {1: "width", 2: "height, width", 3: "depth, height, width"}
LAST = (0, 2, 3, 1)  # from NCHW to NHWC
FIRST = (0, 3, 1, 2)

TRANSPOSED = F.transposed_convolution


def _row(id: str, function: Any, torch_name: str, x: Any, weight: Any, bias: Any = None, torch: Any = None, **options):
    """Return the row of a function; ``torch`` are PyTorch's options where they differ, and how it pads before that."""
    shapes = (x, weight) if bias is None else (x, weight, bias)
    last = options.get("layout") == "NHWC"
    of_torch = {"pad": (0, 0), **(options if torch is None else torch)}
    pad = of_torch.pop("pad")

    def by_torch(library, x, weight, bias=None):
        x = library.nn.functional.pad(x.permute(FIRST) if last else x, pad)
        y = getattr(library.nn.functional, torch_name)(x, weight, bias, **of_torch)
        return y.permute(LAST) if last else y

    return Row(id, lambda *xs: function(*xs, **options), normal(*shapes), by_torch, unbatched=(1, 2))


def _layer(name: str, x: tuple[int, ...], kernel: Any, shown: str, bias: bool = True, **options: Any):
    """Return the record of a layer of 2 input and 4 output channels."""
    spatial = int(name[-2])
    function = f"conv_transpose{spatial}d" if "Transpose" in name else f"conv{spatial}d"

    def make(dtype):
        return getattr(nnx, name)(2, 4, kernel, bias=bias, rng=0, dtype=dtype, **options)

    def by_torch(torch, p, x):
        return getattr(torch.nn.functional, function)(x, p["weight"], p.get("bias"), **options)

    axes = AXES[spatial]
    return Capability(
        name,
        f"x (batch, in_channels, {axes}); channels last with layout",
        f"torch.nn.{name}",
        dtypes=DTYPES,
        wrong=Wrong(((1, 3, *x[2:]),), rf"{name}: expected input of shape \(batch, 2, {axes}\), got \(1, 3"),
        rows=(
            layer(name, make, normal(x), by_torch, repr=f"{name}(in_channels=2, out_channels=4, kernel_size={shown})"),
        ),
    )


CAPABILITIES = [
    Capability(
        "functional.convolution",
        "x (batch, in, height, width), weight (out, in / groups, height, width), bias (out) or None",
        "torch.nn.functional.conv2d(x, weight, bias)",
        dtypes=DTYPES,
        wrong=Wrong(
            ((2, 3, 4, 4), (3, 2, 3, 2), (3,)),
            r"expected input of shape \(batch, 2, height, width\), got \(2, 3",
        ),
        rows=(
            _row("convolution", F.convolution, "conv2d", (2, 2, 4, 5), (3, 2, 3, 2), (3,)),
            _row("convolution-1x1", F.convolution, "conv2d", (2, 2, 2, 3), (3, 2, 1, 1), (3,)),
            _row(
                "convolution-options",
                F.convolution,
                "conv2d",
                (1, 4, 5, 7),
                (2, 2, 2, 3),
                stride=(3, 2),
                padding=(1, 2),
                dilation=(2, 1),
                groups=2,
            ),
            _row(
                "convolution-same-channels-last",
                F.convolution,
                "conv2d",
                (2, 3, 4, 2),
                (3, 2, 3, 2),
                (3,),
                torch={"pad": (0, 1, 1, 1)},
                padding="same",
                layout="NHWC",
            ),
            _row("convolution-1d-depthwise", F.convolution, "conv1d", (2, 2, 5), (4, 1, 3), groups=2, padding=1),
        ),
    ),
    Capability(
        "functional.transposed_convolution",
        "x (batch, in, height, width), weight (in, out / groups, height, width), bias (out) or None",
        "torch.nn.functional.conv_transpose2d(x, weight, bias)",
        dtypes=DTYPES,
        wrong=Wrong(
            ((2, 3, 3, 2), (2, 3, 2, 3), (3,)),
            r"expected input of shape \(batch, 2, height, width\), got \(2, 3",
        ),
        rows=(
            _row(
                "transposed_convolution", F.transposed_convolution, "conv_transpose2d", (2, 2, 3, 2), (2, 3, 2, 3), (3,)
            ),
            _row(
                "transposed_convolution-options",
                TRANSPOSED,
                "conv_transpose2d",
                (1, 4, 2, 3),
                (4, 1, 3, 2),
                stride=(2, 3),
                padding=(1, 0),
                output_padding=(1, 2),
                dilation=(2, 1),
                groups=2,
            ),
            _row(
                "transposed_convolution-same-channels-last",
                TRANSPOSED,
                "conv_transpose2d",
                (2, 1, 2, 2),
                (2, 3, 4, 4),
                (3,),
                torch={"stride": 2, "padding": 1},
                stride=2,
                padding="same",
                layout="NHWC",
            ),
        ),
    ),
    _layer("Conv1d", (2, 2, 5), 3, "3"),
    _layer("Conv2d", (2, 2, 3, 4), (3, 2), "(3, 2), padding=1, groups=2", padding=1, groups=2),
    _layer("Conv3d", (1, 2, 2, 3, 2), 2, "2"),
    _layer("ConvTranspose1d", (2, 2, 3), 2, "2, stride=2", stride=2),
    _layer("ConvTranspose2d", (2, 2, 2, 3), (2, 3), "(2, 3), bias=False", bias=False),
    _layer("ConvTranspose3d", (1, 2, 1, 2, 2), 2, "2"),
]
