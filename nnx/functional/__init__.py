"""Pure functions of arrays: each a function in array API code, with its hand-written pullback under it."""

from nnx.functional.activations import exponential, log_softmax, relu, reparameterize, sigmoid, softmax
from nnx.functional.classification import cross_entropy
from nnx.functional.contraction import einsum
from nnx.functional.dense import bilinear, linear
from nnx.functional.embeddings import embedding
from nnx.functional.indexing import gather, index_add, one_hot
from nnx.functional.losses import kl_divergence_standard_normal, mse, mses
from nnx.functional.special import erf, logsumexp
from nnx.functional.windows import pad, sliding_window

__all__ = [
    "bilinear",
    "cross_entropy",
    "einsum",
    "embedding",
    "erf",
    "exponential",
    "gather",
    "index_add",
    "kl_divergence_standard_normal",
    "linear",
    "log_softmax",
    "logsumexp",
    "mse",
    "mses",
    "one_hot",
    "pad",
    "relu",
    "reparameterize",
    "sigmoid",
    "sliding_window",
    "softmax",
]
