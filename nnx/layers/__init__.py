"""Modules: parameters together with a call of a function from :mod:`nnx.functional`."""

from nnx.layers.adapters import LoRA, add_lora, merge_lora
from nnx.layers.adaptive_pooling import (
    AdaptiveAvgPool1d,
    AdaptiveAvgPool2d,
    AdaptiveAvgPool3d,
    AdaptiveMaxPool1d,
    AdaptiveMaxPool2d,
    AdaptiveMaxPool3d,
    GlobalAvgPool,
    GlobalMaxPool,
)
from nnx.layers.attention import MultiHeadAttention
from nnx.layers.batch_normalization import BatchNorm1d, BatchNorm2d, BatchNorm3d
from nnx.layers.bilinear import Bilinear
from nnx.layers.branches import Parallel, Residual
from nnx.layers.channel_normalization import GroupNorm, InstanceNorm1d, InstanceNorm2d, InstanceNorm3d
from nnx.layers.collecting import ModuleDict, ModuleList
from nnx.layers.convolutions import Conv1d, Conv2d, Conv3d
from nnx.layers.embeddings import Embedding
from nnx.layers.exponential_units import CELU, ELU, SELU, Exponential
from nnx.layers.freezing import freeze, unfreeze
from nnx.layers.functions import Identity, Lambda
from nnx.layers.gates import GELU, GLU, Hardswish, Mish, SiLU, SwiGLU
from nnx.layers.inspection import layer_outputs
from nnx.layers.linear import Linear
from nnx.layers.module import Module
from nnx.layers.normalization import LayerNorm, RMSNorm
from nnx.layers.parameter import Buffer, Parameter
from nnx.layers.pooling import AvgPool1d, AvgPool2d, AvgPool3d, MaxPool1d, MaxPool2d, MaxPool3d
from nnx.layers.recomputation import Remat, remat
from nnx.layers.rectifiers import Hardsigmoid, Hardtanh, LeakyReLU, PReLU, ReLU, ReLU6
from nnx.layers.recurrent import GRU, LSTM, RNN
from nnx.layers.recurrent_cells import GRUCell, LSTMCell, RNNCell
from nnx.layers.regularization import AlphaDropout, ChannelDropout, Dropout, DropPath
from nnx.layers.reparameterization import Reparameterization
from nnx.layers.reshaping import Flatten, Unflatten
from nnx.layers.sequential import Model, Sequential
from nnx.layers.sigmoids import LogSigmoid, Sigmoid, Softplus, Softsign, Tanh
from nnx.layers.softmaxes import LogSoftmax, Softmax
from nnx.layers.surgery import replace
from nnx.layers.ties import Tied
from nnx.layers.transformer_blocks import FeedForward, TransformerDecoderBlock, TransformerEncoderBlock
from nnx.layers.transformers import TransformerDecoder, TransformerEncoder
from nnx.layers.transposed_convolutions import ConvTranspose1d, ConvTranspose2d, ConvTranspose3d
from nnx.layers.upsampling import PixelShuffle, PixelUnshuffle, Upsample
from nnx.layers.weight_normalization import SpectralNorm, WeightNorm

__all__ = [
    "CELU",
    "ELU",
    "GELU",
    "GLU",
    "GRU",
    "LSTM",
    "RNN",
    "SELU",
    "AdaptiveAvgPool1d",
    "AdaptiveAvgPool2d",
    "AdaptiveAvgPool3d",
    "AdaptiveMaxPool1d",
    "AdaptiveMaxPool2d",
    "AdaptiveMaxPool3d",
    "AlphaDropout",
    "AvgPool1d",
    "AvgPool2d",
    "AvgPool3d",
    "BatchNorm1d",
    "BatchNorm2d",
    "BatchNorm3d",
    "Bilinear",
    "Buffer",
    "ChannelDropout",
    "Conv1d",
    "Conv2d",
    "Conv3d",
    "ConvTranspose1d",
    "ConvTranspose2d",
    "ConvTranspose3d",
    "DropPath",
    "Dropout",
    "Embedding",
    "Exponential",
    "FeedForward",
    "Flatten",
    "GRUCell",
    "GlobalAvgPool",
    "GlobalMaxPool",
    "GroupNorm",
    "Hardsigmoid",
    "Hardswish",
    "Hardtanh",
    "Identity",
    "InstanceNorm1d",
    "InstanceNorm2d",
    "InstanceNorm3d",
    "LSTMCell",
    "Lambda",
    "LayerNorm",
    "LeakyReLU",
    "Linear",
    "LoRA",
    "LogSigmoid",
    "LogSoftmax",
    "MaxPool1d",
    "MaxPool2d",
    "MaxPool3d",
    "Mish",
    "Model",
    "Module",
    "ModuleDict",
    "ModuleList",
    "MultiHeadAttention",
    "PReLU",
    "Parallel",
    "Parameter",
    "PixelShuffle",
    "PixelUnshuffle",
    "RMSNorm",
    "RNNCell",
    "ReLU",
    "ReLU6",
    "Remat",
    "Reparameterization",
    "Residual",
    "Sequential",
    "SiLU",
    "Sigmoid",
    "Softmax",
    "Softplus",
    "Softsign",
    "SpectralNorm",
    "SwiGLU",
    "Tanh",
    "Tied",
    "TransformerDecoder",
    "TransformerDecoderBlock",
    "TransformerEncoder",
    "TransformerEncoderBlock",
    "Unflatten",
    "Upsample",
    "WeightNorm",
    "add_lora",
    "freeze",
    "layer_outputs",
    "merge_lora",
    "remat",
    "replace",
    "unfreeze",
]
