"""The layers of ``torch.nn`` and of nnx with one, two or three spatial axes."""

from __future__ import annotations

from typing import Any

import nnx.layers as ours
from nnx.errors import ArgumentError
from nnx.io.pytorch.pair import Convert, Pair, Table, dtype_of, pair_of, refuse
from nnx.layers import Module


def _convolution(kind: type[Any], *names: str) -> Pair:
    def build(module: Any, convert: Convert) -> Module:
        refuse(module, padding_mode="zeros")
        return kind(
            module.in_channels,
            module.out_channels,
            module.kernel_size,
            **{name: getattr(module, name) for name in ("stride", "padding", "dilation", "groups", *names)},
            bias=module.bias is not None,
            dtype=dtype_of(module),
        )

    return Pair(kind.__name__, build)


def _transposed(kind: type[Any]) -> Pair:
    return _convolution(kind, "output_padding")


def _max_pool(kind: type[Any]) -> Pair:
    def build(module: Any, convert: Convert) -> Module:
        refuse(module, return_indices=False)
        named = {name: getattr(module, name) for name in ("stride", "padding", "dilation", "ceil_mode")}
        return kind(module.kernel_size, **named)

    return Pair(kind.__name__, build)


def _average_pool(kind: type[Any]) -> Pair:
    def build(module: Any, convert: Convert) -> Module:
        if hasattr(module, "divisor_override"):
            refuse(module, divisor_override=None)
        named = {name: getattr(module, name) for name in ("stride", "padding", "ceil_mode", "count_include_pad")}
        return kind(module.kernel_size, **named)

    return Pair(kind.__name__, build)


def _adaptive_pool(kind: type[Any]) -> Pair:
    def build(module: Any, convert: Convert) -> Module:
        if hasattr(module, "return_indices"):
            refuse(module, return_indices=False)
        return kind(module.output_size)

    return Pair(kind.__name__, build)


def _upsample(module: Any, convert: Convert) -> Module:
    modes = {"nearest": "nearest", "linear": "linear", "bilinear": "linear", "trilinear": "linear"}
    if module.mode not in modes or module.recompute_scale_factor:
        raise ArgumentError(
            f"torch.nn.{type(module).__name__}: expected a mode of {', '.join(modes)}, without recompute_scale_factor, "
            f"got {module.mode!r}"
        )
    return ours.Upsample(
        module.size, scale=module.scale_factor, mode=modes[module.mode], align_corners=bool(module.align_corners)
    )


SPATIAL: Table = {
    "PixelShuffle": pair_of(ours.PixelShuffle, factor="upscale_factor"),
    "PixelUnshuffle": pair_of(ours.PixelUnshuffle, factor="downscale_factor"),
    "Upsample": Pair("Upsample", _upsample),
    "UpsamplingBilinear2d": Pair("Upsample", _upsample),
    "UpsamplingNearest2d": Pair("Upsample", _upsample),
    **{f"AdaptiveAvgPool{n}d": _adaptive_pool(getattr(ours, f"AdaptiveAvgPool{n}d")) for n in (1, 2, 3)},
    **{f"AdaptiveMaxPool{n}d": _adaptive_pool(getattr(ours, f"AdaptiveMaxPool{n}d")) for n in (1, 2, 3)},
    **{f"AvgPool{n}d": _average_pool(getattr(ours, f"AvgPool{n}d")) for n in (1, 2, 3)},
    **{f"MaxPool{n}d": _max_pool(getattr(ours, f"MaxPool{n}d")) for n in (1, 2, 3)},
    "Conv1d": _convolution(ours.Conv1d),
    "Conv2d": _convolution(ours.Conv2d),
    "Conv3d": _convolution(ours.Conv3d),
    "ConvTranspose1d": _transposed(ours.ConvTranspose1d),
    "ConvTranspose2d": _transposed(ours.ConvTranspose2d),
    "ConvTranspose3d": _transposed(ours.ConvTranspose3d),
}
