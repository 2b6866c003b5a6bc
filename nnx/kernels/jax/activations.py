"""Activations on JAX arrays: the portable forward and backward pass, each compiled to one loop over the elements.

Differentiated by JAX, the forward pass would keep every intermediate result; this keeps the input alone.
"""

from typing import Any

import jax

from nnx.autodiff import Primitive
from nnx.autodiff.dispatch import Declined
from nnx.functional import (
    celu,
    elu,
    gelu,
    glu,
    log_sigmoid,
    log_softmax,
    mish,
    selu,
    sigmoid,
    silu,
    softmax,
    softplus,
    swiglu,
)
from nnx.functional.checks import expect_real
from nnx.kernels.jax.automatic import native


def _check(x: Any, **options: Any) -> Declined | None:
    expect_real(x)
    if isinstance(x, jax.core.Tracer):  # a function with a pullback of its own has no forward mode in JAX
        return Declined("JAX transforms this call, and compiles the portable body with all around it")
    return None


def _compiled(function: Primitive[..., Any]) -> None:
    @native(function, _check)
    def _(x: Any, **options: Any) -> Any:
        call: Any = jax.custom_vjp(lambda x: function.function(x, **options))
        call.defvjp(
            lambda x: (function.function(x, **options), x),
            lambda x, g: tuple(function.portable_pullback((True,), x, **options)(g)),
        )
        return call(x)


for function in (celu, elu, gelu, glu, log_sigmoid, log_softmax, mish, selu, sigmoid, silu, softmax, softplus, swiglu):
    _compiled(function)
