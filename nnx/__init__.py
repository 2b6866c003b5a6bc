"""Neural networks on any array library that follows the Python array API standard.

Arrays in, arrays out: a model called on NumPy arrays computes with NumPy, on CuPy arrays with CuPy, on torch or
JAX arrays with those.
"""

from nnx import backend, data, errors, functional, initializers, kernels, layers, losses, optimizers
from nnx.autodiff import (
    Primitive,
    checkpoint,
    custom_jvp,
    custom_vjp,
    grad,
    hessian,
    hvp,
    jacobian,
    jvp,
    linearize,
    primitive,
    stop_gradient,
    value_and_grad,
    vjp,
)
from nnx.backend import (
    available_backends,
    generator,
    get_backend,
    namespace,
    to_device,
    to_numpy,
    use_backend,
)
from nnx.layers import (
    Buffer,
    Exponential,
    Linear,
    Model,
    Module,
    Parameter,
    ReLU,
    Reparameterization,
    Sequential,
    Sigmoid,
    Softmax,
    layer_outputs,
)
from nnx.losses import MSE, MSES, CrossEntropy, KLDivergenceStandardNormal, Loss
from nnx.optimizers import SGD

kernels.register()

__version__ = "0.1.0"

__all__ = [
    "MSE",
    "MSES",
    "SGD",
    "Buffer",
    "CrossEntropy",
    "Exponential",
    "KLDivergenceStandardNormal",
    "Linear",
    "Loss",
    "Model",
    "Module",
    "Parameter",
    "Primitive",
    "ReLU",
    "Reparameterization",
    "Sequential",
    "Sigmoid",
    "Softmax",
    "available_backends",
    "backend",
    "checkpoint",
    "custom_jvp",
    "custom_vjp",
    "data",
    "errors",
    "functional",
    "generator",
    "get_backend",
    "grad",
    "hessian",
    "hvp",
    "initializers",
    "jacobian",
    "jvp",
    "kernels",
    "layer_outputs",
    "layers",
    "linearize",
    "losses",
    "namespace",
    "optimizers",
    "primitive",
    "stop_gradient",
    "to_device",
    "to_numpy",
    "use_backend",
    "value_and_grad",
    "vjp",
]
