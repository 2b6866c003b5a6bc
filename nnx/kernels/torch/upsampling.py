"""Interpolation by torch's own function."""

import functools
from typing import Any

import torch

from nnx.autodiff.dispatch import Declined
from nnx.functional import upsample
from nnx.functional.axis_maps import AxisMap
from nnx.functional.checks import expect_real
from nnx.functional.interpolation_maps import Scale, expect_options, interpolations
from nnx.functional.spatial import PerAxis, expect_any_spatial
from nnx.kernels.torch.automatic import native
from nnx.kernels.torch.precision import in_float32_on_host

_LINEAR = {1: "linear", 2: "bilinear", 3: "trilinear"}


def _check(
    x: Any,
    *,
    size: PerAxis | None = None,
    scale: Scale | None = None,
    mode: str = "nearest",
    align_corners: bool = False,
    layout: str = "NCHW",
) -> Declined | None:
    expect_real(x)
    axes = expect_any_spatial(x, layout)
    sizes = [x.shape[axis] for axis in axes.spatial]
    maps = interpolations(sizes, size, scale, mode, align_corners)
    if x.shape[axes.channels] == 0 or x.shape[0] == 0:
        return Declined("torch takes no input without channels or examples")
    scales = expect_options(len(sizes), size, scale, mode, align_corners)
    if mode == "nearest" and not all(map(_is_exact, maps, scales)):
        return Declined("torch computes positions in float32, and here rounds one to the next element")
    return None


@functools.lru_cache(maxsize=1024)
def _is_exact(along: AxisMap, scale: float | None) -> bool:
    """Return whether torch takes the nearest elements that the map has."""
    (indices,) = along.indices
    ratio = along.size / len(indices) if scale is None else 1.0 / scale
    positions = torch.arange(len(indices), dtype=torch.float32) * torch.tensor(ratio, dtype=torch.float32)
    return tuple(positions.long().clamp(max=along.size - 1).tolist()) == indices


@native(upsample, _check)
@in_float32_on_host
def _(
    x: Any,
    *,
    size: PerAxis | None = None,
    scale: Scale | None = None,
    mode: str = "nearest",
    align_corners: bool = False,
    layout: str = "NCHW",
) -> Any:
    axes = expect_any_spatial(x, layout)
    options: dict[str, Any] = {"size": size, "scale_factor": scale}
    if mode == "linear":
        options |= {"mode": _LINEAR[len(axes.spatial)], "align_corners": align_corners}
    if axes.last:
        return torch.nn.functional.interpolate(x.movedim(-1, 1), **options).movedim(1, -1)
    return torch.nn.functional.interpolate(x, **options)
