"""Activations on torch arrays: torch's own functions, and the derivatives that torch uses for them.

These are called directly. Recording a call with torch's autograd would cost more than a small activation itself.
"""

import math
from collections.abc import Callable, Sequence
from typing import Any

import torch

from nnx.autodiff import Primitive, Pullback, TracedArray
from nnx.autodiff.dispatch import Declined
from nnx.backend import namespace
from nnx.functional import (
    celu,
    elu,
    gelu,
    hardswish,
    hardtanh,
    leaky_relu,
    log_sigmoid,
    log_softmax,
    mish,
    relu,
    relu6,
    selu,
    sigmoid,
    silu,
    softmax,
    softplus,
    tanh,
)
from nnx.functional.exponential_units import SELU_ALPHA, SELU_SCALE

_aten = torch.ops.aten
_EXACT = 40.0  # from there on softplus is its argument, to the last digit of float64


def elementwise(
    function: Primitive[..., Any],
    body: Callable[..., Any],
    derivative: Callable[..., Any],
    *,
    of_output: bool = False,
    accepts: Callable[..., bool] = lambda **options: True,
) -> None:
    """Register a kernel made of a function of torch and the function that torch differentiates it with.

    Parameters
    ----------
    function : Primitive
    body : callable
    derivative : callable
        ``derivative(g, x, **options)``, or ``derivative(g, y, **options)`` if ``of_output``; only that one is kept.
    of_output : bool
    accepts : callable
        ``accepts(**options)`` returns whether these are options that it computes with.
    """

    @function.kernel("torch", fresh=True)
    def _(wanted: Sequence[Any], x: Any, **options: Any) -> tuple[Any, Pullback] | Declined:
        if not x.is_floating_point():
            return Declined("x does not hold real floating-point numbers")
        if not accepts(**options):
            return Declined("an option is not one of those that it computes with")
        y = body(x, **options)
        kept = y if of_output else x

        def pullback(g: Any) -> Sequence[Any]:
            if type(g) is TracedArray:  # the pullback is linear in g, so the factor is enough; no portable body needed
                return (namespace(g).multiply(derivative(torch.ones_like(kept), kept, **options), g),)
            return (derivative(g, kept, **options),)

        return y, pullback if wanted[0] else lambda g: (None,)


def _unit(function: Primitive[..., Any], numbers: Callable[..., tuple[float, float, float]], **options: Any) -> None:
    """Register a kernel of ``scale * x`` for positive numbers, else ``scale * alpha * (exp(rate * x) - 1)``."""
    elementwise(
        function,
        lambda x, **given: _aten.elu(x, *numbers(**given)),
        lambda g, x, **given: _aten.elu_backward(g, *numbers(**given), False, x),
        **options,
    )


def _gelu(x: Any, approximate: str = "none") -> Any:
    if approximate == "tanh":
        return torch.nn.functional.gelu(x.clamp(min=-_EXACT), approximate="tanh")
    # oneDNN, which torch calls for float32, returns NaN for infinity.
    return torch.nn.functional.gelu(x.clamp(-_EXACT, _EXACT)) + (x.clamp(min=_EXACT) - _EXACT)


elementwise(relu, torch.relu, lambda g, y: _aten.threshold_backward(g, y, 0.0), of_output=True)
elementwise(
    hardtanh,
    lambda x, low=-1.0, high=1.0: torch.nn.functional.hardtanh(x, low, high),
    lambda g, x, low=-1.0, high=1.0: _aten.hardtanh_backward(g, x, low, high),
    accepts=lambda low=-1.0, high=1.0: low < high,
)
elementwise(relu6, torch.nn.functional.relu6, lambda g, x: _aten.hardtanh_backward(g, x, 0.0, 6.0))
elementwise(
    leaky_relu,
    lambda x, slope=0.01: torch.nn.functional.leaky_relu(x, slope),
    lambda g, x, slope=0.01: _aten.leaky_relu_backward(g, x, slope, False),
)
elementwise(sigmoid, torch.sigmoid, _aten.sigmoid_backward, of_output=True)
elementwise(tanh, torch.tanh, _aten.tanh_backward, of_output=True)
_unit(elu, lambda alpha=1.0: (alpha, 1.0, 1.0))
_unit(selu, lambda: (SELU_ALPHA, SELU_SCALE, 1.0))
_unit(celu, lambda alpha=1.0: (alpha, 1.0, 1.0 / alpha), accepts=lambda alpha=1.0: alpha > 0)
elementwise(
    softplus,
    lambda x, beta=1.0: torch.nn.functional.softplus(x, beta, _EXACT),
    lambda g, x, beta=1.0: _aten.softplus_backward(g, x, beta, _EXACT),
    accepts=lambda beta=1.0: beta > 0,
)
elementwise(log_sigmoid, torch.nn.functional.logsigmoid, lambda g, x: g * torch.sigmoid(-x))
# A product with a gate of 0 is NaN for infinities, so these are cut where the gate is 0 or 1 already.
elementwise(
    gelu,
    _gelu,
    lambda g, x, approximate="none": _aten.gelu_backward(g, x.clamp(-_EXACT, _EXACT), approximate=approximate),
    accepts=lambda approximate="none": approximate in ("none", "tanh"),
)
elementwise(
    silu,
    lambda x: torch.nn.functional.silu(x.clamp(min=-1000.0)),
    lambda g, x: _aten.silu_backward(g, x.clamp(-1000.0, 1000.0)),
)
elementwise(
    mish,
    lambda x: torch.nn.functional.mish(x.clamp(min=-1000.0)),
    lambda g, x: _aten.mish_backward(g, x.clamp(-1000.0, 1000.0)),
)
elementwise(hardswish, lambda x: torch.nn.functional.hardswish(x.clamp(min=-math.pi)), _aten.hardswish_backward)


def _along_axis(function: Primitive[..., Any], body: Callable[..., Any], derivative: Callable[..., Any]) -> None:
    @function.kernel("torch", fresh=True)
    def _(wanted: Sequence[Any], x: Any, *, axis: int = -1) -> tuple[Any, Pullback] | Declined:
        if not x.is_floating_point() or not -x.ndim <= axis < x.ndim:
            return Declined("x does not hold real floating-point numbers along that axis")
        y = body(x, axis)

        def pullback(g: Any) -> Sequence[Any]:
            if type(g) is TracedArray:
                return function.portable_pullback(wanted, x, axis=axis)(g)
            return (derivative(g, y, axis, y.dtype),)

        return y, pullback


_along_axis(softmax, torch.softmax, _aten._softmax_backward_data)
_along_axis(log_softmax, torch.log_softmax, _aten._log_softmax_backward_data)
