"""Interpolation and pixel shuffling."""

from functools import partial

import nnx
from nnx import functional as F
from rows.draws import normal
from rows.record import Capability, Row, Wrong, layer

ANY = ("half", "real", "complex", "integer")
WINDOWED = "x (batch, channels, *sizes) with 1 to 3 sizes, or channels last"
MISSING = r"expected input with a batch axis, a channel axis and one to three spatial axes, .*, got \(4, 3\)"


def interpolate(**options):
    return lambda torch, x: torch.nn.functional.interpolate(x, **options)


def shuffle(name, factor=2):
    return lambda torch, *args: getattr(torch.nn.functional, name)(args[-1], factor)


def last(function):
    return lambda torch, x: function(torch, x.movedim(-1, 1)).movedim(1, -1)


CAPABILITIES = [
    Capability(
        "functional.upsample",
        WINDOWED,
        "torch.nn.functional.interpolate",
        wrong=Wrong(((4, 3),), MISSING),
        rows=(
            Row("upsample", partial(F.upsample, scale=2), normal((2, 2, 3, 2)), interpolate(scale_factor=2)),
            Row(
                "upsample-linear",
                partial(F.upsample, size=(5, 3), mode="linear"),
                normal((2, 1, 3, 4)),
                interpolate(size=(5, 3), mode="bilinear"),
            ),
            Row(
                "upsample-corners-NHWC",
                partial(F.upsample, size=5, mode="linear", align_corners=True, layout="NHWC"),
                normal((2, 3, 1)),
                last(interpolate(size=5, mode="linear", align_corners=True)),
            ),
        ),
    ),
    Capability(
        "functional.pixel_shuffle",
        "x (batch, channels * factor**2, height, width), 1 or 3 sizes too, or channels last",
        "torch.nn.functional.pixel_shuffle",
        dtypes=ANY,
        wrong=Wrong(((1, 6, 2, 2),), r"expected a number of channels that 2\*\*2 divides, got .* \(1, 6, 2, 2\)"),
        rows=(
            Row("pixel_shuffle", partial(F.pixel_shuffle, factor=2), normal((2, 4, 2, 1)), shuffle("pixel_shuffle")),
            Row(
                "pixel_shuffle-NHWC",
                partial(F.pixel_shuffle, factor=2, layout="NHWC"),
                normal((2, 2, 1, 8)),
                last(shuffle("pixel_shuffle")),
            ),
        ),
    ),
    Capability(
        "functional.pixel_unshuffle",
        "x (batch, channels, height * factor, width * factor), 1 or 3 sizes too, or channels last",
        "torch.nn.functional.pixel_unshuffle",
        dtypes=ANY,
        wrong=Wrong(((1, 1, 3, 2),), r"expected spatial axes that 2 divides, got an input of shape \(1, 1, 3, 2\)"),
        rows=(
            Row(
                "pixel_unshuffle",
                partial(F.pixel_unshuffle, factor=2),
                normal((2, 1, 4, 2)),
                shuffle("pixel_unshuffle"),
            ),
        ),
    ),
    Capability(
        "Upsample",
        WINDOWED,
        "torch.nn.Upsample",
        wrong=Wrong(((4, 3),), f"Upsample: {MISSING}"),
        rows=(
            layer(
                "Upsample",
                lambda _: nnx.Upsample(scale=2, mode="linear"),
                normal((2, 2, 2, 3)),
                lambda torch, p, x: torch.nn.functional.interpolate(x, scale_factor=2, mode="bilinear"),
                repr="Upsample(scale=2, mode='linear')",
            ),
        ),
    ),
    Capability(
        "PixelShuffle",
        "x (batch, channels * factor**2, height, width), 1 or 3 sizes too, or channels last",
        "torch.nn.PixelShuffle",
        dtypes=ANY,
        wrong=Wrong(((1, 6, 2, 2),), r"PixelShuffle: expected a number of channels that 2\*\*2 divides"),
        rows=(
            layer(
                "PixelShuffle",
                lambda _: nnx.PixelShuffle(2),
                normal((2, 4, 2, 1)),
                shuffle("pixel_shuffle"),
                repr="PixelShuffle(factor=2)",
            ),
        ),
    ),
    Capability(
        "PixelUnshuffle",
        "x (batch, channels, height * factor, width * factor), 1 or 3 sizes too, or channels last",
        "torch.nn.PixelUnshuffle",
        dtypes=ANY,
        wrong=Wrong(((1, 1, 3, 2),), r"PixelUnshuffle: expected spatial axes that 2 divides"),
        rows=(
            layer(
                "PixelUnshuffle",
                lambda _: nnx.PixelUnshuffle(2),
                normal((2, 1, 4, 2)),
                shuffle("pixel_unshuffle"),
                repr="PixelUnshuffle(factor=2)",
            ),
        ),
    ),
]
