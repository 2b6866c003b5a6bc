"""Pure functions of arrays: a plain forward in array API code, with its hand-written pullback under it."""

from nnx.functional.activations import exponential, log_softmax, relu, reparameterize, sigmoid, softmax
from nnx.functional.cross_entropy import cross_entropy
from nnx.functional.linear import linear
from nnx.functional.losses import kl_divergence_standard_normal, mse, mses

__all__ = [
    "cross_entropy",
    "exponential",
    "kl_divergence_standard_normal",
    "linear",
    "log_softmax",
    "mse",
    "mses",
    "relu",
    "reparameterize",
    "sigmoid",
    "softmax",
]
