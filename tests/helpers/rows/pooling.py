"""Pooling by maximum and mean: windows, adaptive and global; functions and layers."""

from functools import partial

import nnx
from nnx import functional as F
from rows.draws import normal
from rows.record import Capability, Row, Wrong, layer

IMAGE = (2, 2, 4, 5)
WINDOWED = "x (batch, channels, *sizes) with 1 to 3 sizes, or channels last"
MISSING = r"expected input with a batch axis, a channel axis and one to three spatial axes, .*, got \(4, 3\)"


def channels_last(function, **options):
    """Return PyTorch's function with the channels of input and output last."""
    return lambda torch, x: getattr(torch.nn.functional, function)(x.movedim(-1, 1), **options).movedim(1, -1)


def named(function, **options):
    return lambda torch, x: getattr(torch.nn.functional, function)(x, **options)


def pool_layer(name, function, shape, **options):
    """Return the row of a layer whose arguments PyTorch's function has too."""
    kind = getattr(nnx, name)
    shown = ", ".join(f"{key}={value!r}" for key, value in options.items())
    return layer(
        name,
        lambda _: kind(**options),
        normal(shape),
        lambda torch, p, x: getattr(torch.nn.functional, function)(x, **options),
        repr=f"{name}({shown})",
    )


def layer_records(name, torch_name, function, **options):
    """Return the records of a layer with one, two and three spatial axes."""
    shapes = {1: (2, 2, 5), 2: IMAGE, 3: (2, 1, 4, 3, 5)}
    sizes = {1: "width", 2: "height, width", 3: "depth, height, width"}
    return [
        Capability(
            f"{name}{count}d",
            f"x (batch, channels, {sizes[count]}) or (batch, {sizes[count]}, channels)",
            f"torch.nn.{torch_name}{count}d",
            wrong=Wrong(((3,),), rf"{name}{count}d: expected input of shape \(batch, channels, .*\), got \(3,\)"),
            rows=(pool_layer(f"{name}{count}d", f"{function}{count}d", shapes[count], **options),),
        )
        for count in (1, 2, 3)
    ]


CAPABILITIES = [
    Capability(
        "functional.max_pool",
        WINDOWED,
        "torch.nn.functional.max_pool2d",
        wrong=Wrong(((4, 3),), MISSING),
        rows=(
            Row("max_pool", partial(F.max_pool, kernel_size=2), normal(IMAGE), named("max_pool2d", kernel_size=2)),
            Row(
                "max_pool-overlapping",
                partial(F.max_pool, kernel_size=(2, 3), stride=1, padding=(0, 1), dilation=(2, 1)),
                normal(IMAGE),
                named("max_pool2d", kernel_size=(2, 3), stride=1, padding=(0, 1), dilation=(2, 1)),
            ),
            Row(
                "max_pool-apart-NHWC",
                partial(F.max_pool, kernel_size=2, stride=3, padding=1, ceil_mode=True, layout="NHWC"),
                normal((2, 4, 5, 2)),
                channels_last("max_pool2d", kernel_size=2, stride=3, padding=1, ceil_mode=True),
            ),
        ),
    ),
    Capability(
        "functional.average_pool",
        WINDOWED,
        "torch.nn.functional.avg_pool2d",
        wrong=Wrong(((4, 3),), MISSING),
        rows=(
            Row(
                "average_pool",
                partial(F.average_pool, kernel_size=2),
                normal(IMAGE),
                named("avg_pool2d", kernel_size=2),
            ),
            Row(
                "average_pool-overlapping",
                partial(F.average_pool, kernel_size=(2, 3), stride=1, padding=(0, 1), count_include_pad=False),
                normal(IMAGE),
                named("avg_pool2d", kernel_size=(2, 3), stride=1, padding=(0, 1), count_include_pad=False),
            ),
            Row(
                "average_pool-apart-NHWC",
                partial(F.average_pool, kernel_size=2, stride=3, padding=1, ceil_mode=True, layout="NHWC"),
                normal((2, 4, 5, 2)),
                channels_last("avg_pool2d", kernel_size=2, stride=3, padding=1, ceil_mode=True),
            ),
        ),
    ),
    Capability(
        "functional.adaptive_max_pool",
        WINDOWED,
        "torch.nn.functional.adaptive_max_pool2d",
        wrong=Wrong(((4, 3),), MISSING),
        rows=(
            Row(
                "adaptive_max_pool",
                partial(F.adaptive_max_pool, output_size=(2, 3)),
                normal(IMAGE),
                named("adaptive_max_pool2d", output_size=(2, 3)),
            ),
        ),
    ),
    Capability(
        "functional.adaptive_average_pool",
        WINDOWED,
        "torch.nn.functional.adaptive_avg_pool2d",
        wrong=Wrong(((4, 3),), MISSING),
        rows=(
            Row(
                "adaptive_average_pool",
                partial(F.adaptive_average_pool, output_size=(2, 3)),
                normal(IMAGE),
                named("adaptive_avg_pool2d", output_size=(2, 3)),
            ),
        ),
    ),
    Capability(
        "functional.global_max_pool",
        WINDOWED,
        "torch.amax over the spatial axes, but for ties",
        wrong=Wrong(((4, 3),), MISSING),
        rows=(Row("global_max_pool", F.global_max_pool, normal(IMAGE), lambda torch, x: x.amax((2, 3))),),
    ),
    Capability(
        "functional.global_average_pool",
        WINDOWED,
        "torch.mean over the spatial axes",
        wrong=Wrong(((4, 3),), MISSING),
        rows=(
            Row("global_average_pool", F.global_average_pool, normal((2, 2, 3, 9)), lambda torch, x: x.mean((2, 3))),
        ),
    ),
    *layer_records("MaxPool", "MaxPool", "max_pool", kernel_size=3, stride=2, padding=1),
    *layer_records("AvgPool", "AvgPool", "avg_pool", kernel_size=3, stride=2, padding=1),
    *layer_records("AdaptiveMaxPool", "AdaptiveMaxPool", "adaptive_max_pool", output_size=2),
    *layer_records("AdaptiveAvgPool", "AdaptiveAvgPool", "adaptive_avg_pool", output_size=2),
    Capability(
        "GlobalMaxPool",
        WINDOWED,
        "torch.amax over the spatial axes, but for ties",
        wrong=Wrong(((4, 3),), f"GlobalMaxPool: {MISSING}"),
        rows=(
            layer(
                "GlobalMaxPool",
                lambda _: nnx.GlobalMaxPool(),
                normal((2, 2, 3)),
                lambda torch, p, x: x.amax(2),
                repr="GlobalMaxPool()",
            ),
        ),
    ),
    Capability(
        "GlobalAvgPool",
        WINDOWED,
        "torch.mean over the spatial axes",
        wrong=Wrong(((4, 3),), f"GlobalAvgPool: {MISSING}"),
        rows=(
            layer(
                "GlobalAvgPool",
                lambda _: nnx.GlobalAvgPool(layout="NHWC"),
                normal((2, 3, 2)),
                lambda torch, p, x: x.mean(1),
                repr="GlobalAvgPool(layout='NHWC')",
            ),
        ),
    ),
]
