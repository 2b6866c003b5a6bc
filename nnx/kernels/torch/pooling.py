"""Pooling by torch's own functions."""

from typing import Any

import torch

from nnx.autodiff.dispatch import Declined
from nnx.functional import adaptive_average_pool, adaptive_max_pool, average_pool, max_pool
from nnx.functional.pooling_windows import adaptive_sizes, pool_windows
from nnx.functional.spatial import Axes, Windows
from nnx.kernels.torch.automatic import native
from nnx.kernels.torch.precision import in_float32_on_host

_BY_COUNT = {
    name: {count: getattr(torch.nn.functional, f"{name}{count}d") for count in (1, 2, 3)}
    for name in ("max_pool", "avg_pool", "adaptive_max_pool", "adaptive_avg_pool")
}

_NO_CHANNELS = Declined("torch takes no input without channels")


def _check_max_pool(x: Any, **options: Any) -> Declined | None:
    return _declined(x, *pool_windows(x, **options))


@native(max_pool, _check_max_pool)
def _(x: Any, *, layout: str = "NCHW", **options: Any) -> Any:
    axes, over = pool_windows(x, **options, layout=layout)
    padding, _ = zip(*over.padding, strict=True)
    return _call("max_pool", x, axes, over.kernel, over.stride, padding, over.dilation, options.get("ceil_mode", False))


def _check_average_pool(x: Any, *, count_include_pad: bool = True, **options: Any) -> Declined | None:
    axes, over = pool_windows(x, **options)
    if any(size < length for size, length in zip(over.sizes, over.kernel, strict=True)):
        return Declined("torch does not take a window that is larger than the input, whatever its padding")
    return _declined(x, axes, over)


@native(average_pool, _check_average_pool)
@in_float32_on_host
def _(x: Any, *, layout: str = "NCHW", count_include_pad: bool = True, **options: Any) -> Any:
    axes, over = pool_windows(x, **options, layout=layout)
    padding, _ = zip(*over.padding, strict=True)
    ceil_mode = options.get("ceil_mode", False)
    return _call("avg_pool", x, axes, over.kernel, over.stride, padding, ceil_mode, count_include_pad)


def _check_adaptive_pool(x: Any, **options: Any) -> Declined | None:
    axes, _ = adaptive_sizes(x, **options)
    return _NO_CHANNELS if x.shape[axes.channels] == 0 else None


@native(adaptive_max_pool, _check_adaptive_pool)
def _(x: Any, **options: Any) -> Any:
    axes, pairs = adaptive_sizes(x, **options)
    return _call("adaptive_max_pool", x, axes, tuple(count for _, count in pairs))


@native(adaptive_average_pool, _check_adaptive_pool)
@in_float32_on_host
def _(x: Any, **options: Any) -> Any:
    axes, pairs = adaptive_sizes(x, **options)
    return _call("adaptive_avg_pool", x, axes, tuple(count for _, count in pairs))


def _call(name: str, x: Any, axes: Axes, *args: Any) -> Any:
    """Call torch's function for the number of axes, with channels that come last as a view that has them first."""
    function = _BY_COUNT[name][len(axes.spatial)]
    return function(x.movedim(-1, 1), *args).movedim(1, -1) if axes.last else function(x, *args)


def _declined(x: Any, axes: Axes, over: Windows) -> Declined | None:
    if x.shape[axes.channels] == 0:
        return _NO_CHANNELS
    for (before, after), kernel in zip(over.padding, over.kernel, strict=True):
        if before != after or 2 * before > kernel:
            return Declined("torch pads by the same on both sides, and by half a window at most")
    return None
