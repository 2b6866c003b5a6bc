"""Convolution by JAX, which compiles it."""

from typing import Any

import jax
import jax.numpy as jnp

from nnx.autodiff.dispatch import Declined
from nnx.functional import convolution, transposed_convolution
from nnx.functional.convolutions import Plan, plan_convolution, plan_transposed
from nnx.functional.spatial import span
from nnx.kernels.jax.automatic import native


def _check(x: Any, weight: Any, bias: Any = None, **options: Any) -> Declined | None:
    plan_convolution(x, weight, bias, **options)
    return None


def _check_transposed(x: Any, weight: Any, bias: Any = None, **options: Any) -> Declined | None:
    plan_transposed(x, weight, bias, **options)
    return None


@native(convolution, _check)
def _(x: Any, weight: Any, bias: Any = None, **options: Any) -> Any:
    plan = plan_convolution(x, weight, bias, **options)
    windows = plan.windows
    return _convolved(x, weight, bias, plan, stride=windows.stride, padding=windows.padding)


@native(transposed_convolution, _check_transposed)
def _(x: Any, weight: Any, bias: Any = None, **options: Any) -> Any:
    plan = plan_transposed(x, weight, bias, **options)
    windows, groups = plan.windows, plan.groups
    padding = []
    for n, s, k, d, (before, _), size in zip(
        windows.output, windows.stride, windows.kernel, windows.dilation, windows.padding, windows.sizes, strict=True
    ):
        reach = span(k, d) - 1
        padding.append((reach - before, size - 1 + before - (n - 1) * s))
    turned = jnp.flip(weight.reshape(groups, -1, *weight.shape[1:]), tuple(range(3, weight.ndim + 1)))
    turned = jnp.swapaxes(turned, 1, 2).reshape(-1, weight.shape[0] // groups, *weight.shape[2:])
    return _convolved(x, turned, bias, plan, stride=(1,) * len(padding), padding=padding, enlarge=windows.stride)


def _convolved(x: Any, weight: Any, bias: Any, plan: Plan, *, stride: Any, padding: Any, enlarge: Any = None) -> Any:
    letters = "DHW"[-len(stride) :]
    layout = f"N{letters}C" if plan.axes.last else f"NC{letters}"
    y = jax.lax.conv_general_dilated(
        x,
        weight,
        stride,
        padding,
        lhs_dilation=enlarge,
        rhs_dilation=plan.windows.dilation,
        dimension_numbers=(layout, f"OI{letters}", layout),
        feature_group_count=plan.groups,
    )
    if bias is None:
        return y
    bias = bias if plan.axes.last else bias.reshape(-1, *(1,) * len(stride))
    wide = jnp.promote_types(x.dtype, jnp.float32)  # in which the gradient of the bias is added up
    return (y.astype(wide) + bias.astype(wide)).astype(x.dtype)
