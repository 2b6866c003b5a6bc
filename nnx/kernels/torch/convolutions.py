"""Convolution by torch."""

from typing import Any

import torch

from nnx.autodiff.dispatch import Declined
from nnx.backend import is_real_floating
from nnx.functional import convolution, transposed_convolution
from nnx.functional.convolutions import plan_convolution, plan_transposed
from nnx.kernels.torch.automatic import native
from nnx.kernels.torch.precision import in_float32_on_host

_CONVOLUTIONS = {1: torch.nn.functional.conv1d, 2: torch.nn.functional.conv2d, 3: torch.nn.functional.conv3d}
_TRANSPOSED = {
    1: torch.nn.functional.conv_transpose1d,
    2: torch.nn.functional.conv_transpose2d,
    3: torch.nn.functional.conv_transpose3d,
}


def _check(x: Any, weight: Any, bias: Any = None, **options: Any) -> Declined | None:
    plan_convolution(x, weight, bias, **options)
    return _declined(x)


def _check_transposed(x: Any, weight: Any, bias: Any = None, **options: Any) -> Declined | None:
    plan = plan_transposed(x, weight, bias, **options)
    if any(before != after for before, after in plan.windows.padding):
        return Declined("torch leaves out as many elements before the output as after it")
    return _declined(x)


def _declined(x: Any) -> Declined | None:
    if not is_real_floating(x):
        return Declined("torch's gradient of complex arrays is the conjugate of nnx's")
    if 0 in x.shape:
        return Declined("torch does not take every kind of empty input")
    return None


@native(convolution, _check)
@in_float32_on_host
def _(x: Any, weight: Any, bias: Any = None, **options: Any) -> Any:
    axes, windows, groups, _ = plan_convolution(x, weight, bias, **options)
    x = torch.movedim(x, -1, 1) if axes.last else x
    if any(before != after for before, after in windows.padding):
        x = torch.nn.functional.pad(x, [width for pair in reversed(windows.padding) for width in pair])
        padding: Any = 0
    else:
        padding = [before for before, _ in windows.padding]
    convolve = _CONVOLUTIONS[len(windows.sizes)]
    y = convolve(x, weight, bias, windows.stride, padding, windows.dilation, groups)
    return torch.movedim(y, 1, -1) if axes.last else y


@native(transposed_convolution, _check_transposed)
@in_float32_on_host
def _(x: Any, weight: Any, bias: Any = None, **options: Any) -> Any:
    axes, windows, groups, _ = plan_transposed(x, weight, bias, **options)
    x = torch.movedim(x, -1, 1) if axes.last else x
    padding = [before for before, _ in windows.padding]
    again = zip(windows.output, windows.stride, windows.kernel, windows.dilation, padding, windows.sizes, strict=True)
    extra = [size - ((n - 1) * s - 2 * p + d * (k - 1) + 1) for n, s, k, d, p, size in again]
    convolve = _TRANSPOSED[len(windows.sizes)]
    y = convolve(x, weight, bias, windows.stride, padding, extra, groups, windows.dilation)
    return torch.movedim(y, 1, -1) if axes.last else y
