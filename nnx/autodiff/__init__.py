"""The core: primitives with their pullbacks, the tape, the traced array, and the transforms."""

from nnx.autodiff import operators as _operators  # noqa: F401  completes TracedArray
from nnx.autodiff.custom import custom_jvp, custom_vjp
from nnx.autodiff.derivatives import hessian, hvp, jacobian
from nnx.autodiff.forward import jvp, linearize
from nnx.autodiff.primitives import Primitive, Pullback, primitive
from nnx.autodiff.stopping import stop_gradient
from nnx.autodiff.traced import TracedArray
from nnx.autodiff.transforms import grad, value_and_grad, vjp

__all__ = [
    "Primitive",
    "Pullback",
    "TracedArray",
    "custom_jvp",
    "custom_vjp",
    "grad",
    "hessian",
    "hvp",
    "jacobian",
    "jvp",
    "linearize",
    "primitive",
    "stop_gradient",
    "value_and_grad",
    "vjp",
]
