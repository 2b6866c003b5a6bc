"""Modules: parameters together with a call of a function from :mod:`nnx.functional`."""

from nnx.layers.activations import Exponential, ReLU, Sigmoid, Softmax
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
from nnx.layers.batch_normalization import BatchNorm1d, BatchNorm2d, BatchNorm3d
from nnx.layers.bilinear import Bilinear
from nnx.layers.branches import Parallel, Residual
from nnx.layers.channel_normalization import GroupNorm, InstanceNorm1d, InstanceNorm2d, InstanceNorm3d
from nnx.layers.collecting import ModuleDict, ModuleList
from nnx.layers.convolutions import Conv1d, Conv2d, Conv3d
from nnx.layers.embeddings import Embedding
from nnx.layers.functions import Identity, Lambda
from nnx.layers.inspection import layer_outputs
from nnx.layers.linear import Linear
from nnx.layers.module import Module
from nnx.layers.normalization import LayerNorm, RMSNorm
from nnx.layers.parameter import Buffer, Parameter
from nnx.layers.pooling import AvgPool1d, AvgPool2d, AvgPool3d, MaxPool1d, MaxPool2d, MaxPool3d
from nnx.layers.recomputation import Remat, remat
from nnx.layers.recurrent import GRU, LSTM, RNN
from nnx.layers.recurrent_cells import GRUCell, LSTMCell, RNNCell
from nnx.layers.regularization import AlphaDropout, ChannelDropout, Dropout, DropPath
from nnx.layers.reparameterization import Reparameterization
from nnx.layers.reshaping import Flatten, Unflatten
from nnx.layers.sequential import Model, Sequential
from nnx.layers.ties import Tied
from nnx.layers.transposed_convolutions import ConvTranspose1d, ConvTranspose2d, ConvTranspose3d

__all__ = [
    "GRU",
    "LSTM",
    "RNN",
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
    "Flatten",
    "GRUCell",
    "GlobalAvgPool",
    "GlobalMaxPool",
    "GroupNorm",
    "Identity",
    "InstanceNorm1d",
    "InstanceNorm2d",
    "InstanceNorm3d",
    "LSTMCell",
    "Lambda",
    "LayerNorm",
    "Linear",
    "MaxPool1d",
    "MaxPool2d",
    "MaxPool3d",
    "Model",
    "Module",
    "ModuleDict",
    "ModuleList",
    "Parallel",
    "Parameter",
    "RMSNorm",
    "RNNCell",
    "ReLU",
    "Remat",
    "Reparameterization",
    "Residual",
    "Sequential",
    "Sigmoid",
    "Softmax",
    "Tied",
    "Unflatten",
    "layer_outputs",
    "remat",
]
