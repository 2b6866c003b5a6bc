"""Pure functions of arrays: each a function in array API code, with its hand-written pullback under it."""

from nnx.functional.alignment import ctc
from nnx.functional.average_pooling import adaptive_average_pool, average_pool, global_average_pool
from nnx.functional.batch_statistics import batch_norm, batch_norm_training
from nnx.functional.binary import bce, bce_with_logits, hinge
from nnx.functional.classification import cross_entropy, nll
from nnx.functional.contraction import einsum
from nnx.functional.contrastive import info_nce
from nnx.functional.convolutions import convolution, transposed_convolution
from nnx.functional.dense import bilinear, linear
from nnx.functional.divergences import kl_divergence, kl_divergence_standard_normal
from nnx.functional.dot_product_attention import attention
from nnx.functional.embeddings import embedding
from nnx.functional.exponential_units import celu, elu, exponential, selu
from nnx.functional.gates import gelu, hardswish, mish, silu
from nnx.functional.indexing import gather, index_add, one_hot
from nnx.functional.likelihoods import gaussian_nll, poisson_nll
from nnx.functional.max_pooling import adaptive_max_pool, global_max_pool, max_pool
from nnx.functional.metric_learning import cosine_embedding, triplet_margin
from nnx.functional.normalization import group_norm, instance_norm, layer_norm, rms_norm
from nnx.functional.overlap import dice
from nnx.functional.positions import alibi_bias, rotary, sinusoidal_positions
from nnx.functional.rectifiers import hardsigmoid, hardtanh, leaky_relu, prelu, relu, relu6
from nnx.functional.recurrent_gru import gru
from nnx.functional.recurrent_lstm import lstm
from nnx.functional.recurrent_rnn import rnn
from nnx.functional.regularization import alpha_dropout, dropout
from nnx.functional.robust import huber, mae, smooth_l1
from nnx.functional.sampling import reparameterize
from nnx.functional.segmentation import binary_focal, focal
from nnx.functional.sigmoids import log_sigmoid, sigmoid, softplus, softsign, tanh
from nnx.functional.softmaxes import log_softmax, softmax
from nnx.functional.special import erf, logsumexp
from nnx.functional.split_gates import glu, swiglu
from nnx.functional.squares import mse, mses
from nnx.functional.upsampling import pixel_shuffle, pixel_unshuffle, upsample
from nnx.functional.weight_normalization import spectral_norm, weight_norm
from nnx.functional.windows import pad, sliding_window

__all__ = [
    "adaptive_average_pool",
    "adaptive_max_pool",
    "alibi_bias",
    "alpha_dropout",
    "attention",
    "average_pool",
    "batch_norm",
    "batch_norm_training",
    "bce",
    "bce_with_logits",
    "bilinear",
    "binary_focal",
    "celu",
    "convolution",
    "cosine_embedding",
    "cross_entropy",
    "ctc",
    "dice",
    "dropout",
    "einsum",
    "elu",
    "embedding",
    "erf",
    "exponential",
    "focal",
    "gather",
    "gaussian_nll",
    "gelu",
    "global_average_pool",
    "global_max_pool",
    "glu",
    "group_norm",
    "gru",
    "hardsigmoid",
    "hardswish",
    "hardtanh",
    "hinge",
    "huber",
    "index_add",
    "info_nce",
    "instance_norm",
    "kl_divergence",
    "kl_divergence_standard_normal",
    "layer_norm",
    "leaky_relu",
    "linear",
    "log_sigmoid",
    "log_softmax",
    "logsumexp",
    "lstm",
    "mae",
    "max_pool",
    "mish",
    "mse",
    "mses",
    "nll",
    "one_hot",
    "pad",
    "pixel_shuffle",
    "pixel_unshuffle",
    "poisson_nll",
    "prelu",
    "relu",
    "relu6",
    "reparameterize",
    "rms_norm",
    "rnn",
    "rotary",
    "selu",
    "sigmoid",
    "silu",
    "sinusoidal_positions",
    "sliding_window",
    "smooth_l1",
    "softmax",
    "softplus",
    "softsign",
    "spectral_norm",
    "swiglu",
    "tanh",
    "transposed_convolution",
    "triplet_margin",
    "upsample",
    "weight_norm",
]
