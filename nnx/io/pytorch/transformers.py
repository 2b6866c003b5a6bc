"""Attention and the transformers of ``torch.nn`` and of nnx."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import nnx.layers as ours
from nnx.errors import ArgumentError
from nnx.io.pytorch.attention_calls import AttentionCall
from nnx.io.pytorch.pair import Convert, Pair, Table, dtype_of
from nnx.io.pytorch.transformer_calls import DecoderCall, EncoderCall, TransformerCall
from nnx.layers import Module

_CALLED = "called as in PyTorch, in a layer around it"


def _attention(module: Any, convert: Convert) -> Module:
    layer = ours.MultiHeadAttention(
        module.embed_dim,
        module.num_heads,
        key_features=module.kdim,
        value_features=module.vdim,
        bias=module.in_proj_bias is not None,
        dropout=module.dropout,
        dtype=dtype_of(module),
    )
    return AttentionCall(layer, module.batch_first, module.bias_k is not None, module.add_zero_attn)


def _block(kind: Callable[..., Any], call: Callable[..., Any]) -> Callable[[Any, Convert], Module]:
    def build(module: Any, convert: Convert) -> Module:
        _expect_uniform(module)
        block = kind(
            module.self_attn.embed_dim,
            module.self_attn.num_heads,
            module.linear1.out_features,
            activation=_activation(module.activation, convert),
            norm_first=module.norm_first,
            eps=module.norm1.eps,
            dropout=module.dropout.p,
            bias=module.linear1.bias is not None,
            dtype=dtype_of(module.linear1),
        )
        return call(block, module.self_attn.batch_first)

    return build


_PARTS = {
    "dropout": "Dropout",
    "linear": "Linear",
    "multihead_attn": "MultiheadAttention",
    "norm": "LayerNorm",
    "self_attn": "MultiheadAttention",
}


def _expect_uniform(module: Any) -> None:
    """Raise ArgumentError if a part of a block was replaced, or differs from the others: nnx has one number for all."""
    parts = {name: part for name, part in module.named_children() if name.rstrip("123") in _PARTS}
    other = [
        f"{name} of {type(x).__name__}" for name, x in parts.items() if type(x).__name__ != _PARTS[name.rstrip("123")]
    ]
    for names in (("dropout", "p"), ("eps",), ("batch_first",), ("num_heads",)):
        values = {getattr(part, name) for part in parts.values() for name in names if hasattr(part, name)}
        other += [f"{names[0]} of {sorted(values, key=str)}"] if len(values) > 1 else []
    if other:
        raise ArgumentError(
            f"torch.nn.{type(module).__name__}: expected the parts that its constructor makes, got {', '.join(other)}"
        )


def _activation(activation: Any, convert: Convert) -> Module:
    """Return the layer for an activation, which PyTorch keeps as a function or as a module."""
    known = {"relu": ours.ReLU, "gelu": ours.GELU}
    if hasattr(activation, "state_dict"):
        return convert(activation)
    name = getattr(activation, "__name__", "")
    if name not in known:
        raise ArgumentError(f"expected relu, gelu or a module as activation, got {activation!r}")
    return known[name]()


def _stack(kind: Callable[..., Any], call: Callable[..., Any]) -> Callable[[Any, Convert], Module]:
    def build(module: Any, convert: Convert) -> Module:
        calls: list[Any] = [convert(layer) for layer in module.layers]
        norm = None if module.norm is None else convert(module.norm)
        return call(kind([inner.layer for inner in calls], norm), calls[0].batch_first)

    return build


def _transformer(module: Any, convert: Convert) -> Module:
    encoder: Any = convert(module.encoder)
    decoder: Any = convert(module.decoder)
    return TransformerCall(encoder, decoder)


TRANSFORMERS: Table = {
    "MultiheadAttention": Pair("MultiHeadAttention", _attention, _CALLED),
    "Transformer": Pair("TransformerEncoder, TransformerDecoder", _transformer, _CALLED),
    "TransformerDecoder": Pair("TransformerDecoder", _stack(ours.TransformerDecoder, DecoderCall), _CALLED),
    "TransformerDecoderLayer": Pair(
        "TransformerDecoderBlock", _block(ours.TransformerDecoderBlock, DecoderCall), _CALLED
    ),
    "TransformerEncoder": Pair("TransformerEncoder", _stack(ours.TransformerEncoder, EncoderCall), _CALLED),
    "TransformerEncoderLayer": Pair(
        "TransformerEncoderBlock", _block(ours.TransformerEncoderBlock, EncoderCall), _CALLED
    ),
}
