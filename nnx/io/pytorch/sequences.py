"""The layers of ``torch.nn`` and of nnx for sequences."""

from __future__ import annotations

from typing import Any

import nnx.layers as ours
from nnx.io.pytorch.calls import SequenceLayer
from nnx.io.pytorch.pair import Convert, Pair, Table, dtype_of, refuse
from nnx.layers import Module

_CALLED = "called as in PyTorch, in a layer around it"


def _recurrent(kind: type[Any]) -> Pair:
    def build(module: Any, convert: Convert) -> Module:
        refuse(module, proj_size=0)
        activation = {"activation": module.nonlinearity} if kind is ours.RNN else {}
        layer = kind(
            module.input_size,
            module.hidden_size,
            layers=module.num_layers,
            bidirectional=module.bidirectional,
            bias=module.bias,
            dropout=module.dropout,
            dtype=dtype_of(module),
            **activation,
        )
        return SequenceLayer(layer, module.batch_first)

    return Pair(kind.__name__, build, _CALLED)


def _cell(kind: type[Any]) -> Pair:
    def build(module: Any, convert: Convert) -> Module:
        activation = {"activation": module.nonlinearity} if kind is ours.RNNCell else {}
        return kind(module.input_size, module.hidden_size, module.bias, dtype=dtype_of(module), **activation)

    return Pair(kind.__name__, build)


SEQUENCES: Table = {
    "GRU": _recurrent(ours.GRU),
    "GRUCell": _cell(ours.GRUCell),
    "LSTM": _recurrent(ours.LSTM),
    "LSTMCell": _cell(ours.LSTMCell),
    "RNN": _recurrent(ours.RNN),
    "RNNCell": _cell(ours.RNNCell),
}
