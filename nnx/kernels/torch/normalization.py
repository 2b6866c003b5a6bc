"""Normalizations by torch."""

from collections.abc import Callable
from typing import Any

import torch

from nnx.functional import batch_norm, group_norm, instance_norm, layer_norm, rms_norm
from nnx.functional.batch_statistics import given_channels
from nnx.functional.normalization import last_axes, of_groups, of_instances
from nnx.functional.standardization import Layout
from nnx.kernels.torch.automatic import native
from nnx.kernels.torch.precision import in_float32_on_host


def _checked(layout_of: Callable[..., Layout]) -> Callable[..., None]:
    """Return a function that makes a check, and leaves everything to the body."""

    def check(*args: Any, **options: Any) -> None:
        layout_of(*args, **options)

    return check


@native(layer_norm, _checked(last_axes))
@in_float32_on_host
def _(x: Any, weight: Any = None, bias: Any = None, *, num_axes: int = 1, eps: float = 1e-5) -> Any:
    return torch.nn.functional.layer_norm(x, x.shape[-num_axes:], weight, bias, eps)


@native(rms_norm, _checked(last_axes))
@in_float32_on_host
def _(x: Any, weight: Any = None, *, num_axes: int = 1, eps: float = 1e-6) -> Any:
    return torch.nn.functional.rms_norm(x, x.shape[-num_axes:], weight, eps)


@native(group_norm, _checked(of_groups))
@in_float32_on_host
def _(x: Any, weight: Any = None, bias: Any = None, *, groups: int, axis: int = 1, eps: float = 1e-5) -> Any:
    # Not that of torch.nn.functional, which refuses one value a group. It cannot go back through a bias alone.
    weight = torch.ones_like(bias) if weight is None and bias is not None else weight
    return torch.group_norm(x.movedim(axis, 1), groups, weight, bias, eps).movedim(1, axis)


@native(instance_norm, _checked(of_instances))
def _(x: Any, weight: Any = None, bias: Any = None, *, axis: int = 1, eps: float = 1e-5) -> Any:
    weight, bias = wide(weight), wide(bias)
    first = x.movedim(axis, 1)
    return torch.nn.functional.instance_norm(first, weight=weight, bias=bias, eps=eps).movedim(1, axis)


@native(batch_norm, _checked(given_channels))
def _(
    x: Any, mean: Any, variance: Any, weight: Any = None, bias: Any = None, *, axis: int = 1, eps: float = 1e-5
) -> Any:
    first = x.movedim(axis, 1)
    weight, bias, mean, variance = map(wide, (weight, bias, mean, variance))
    if mean.requires_grad or variance.requires_grad:  # torch takes them for constants
        shape = (-1,) + (1,) * (x.ndim - 2)
        y = (wide(first) - mean.reshape(shape)) * (variance + eps).rsqrt().reshape(shape)
        y = y if weight is None else y * weight.reshape(shape)
        y = (y if bias is None else y + bias.reshape(shape)).to(x.dtype)
    else:
        y = torch.nn.functional.batch_norm(first, mean, variance, weight, bias, False, 0.0, eps)
    return y.movedim(1, axis)


def wide(parameter: Any) -> Any:
    """Return an array of 16 bits as float32, which torch takes beside an input of 16 bits."""
    return parameter if parameter is None or parameter.dtype.itemsize > 2 else parameter.float()
