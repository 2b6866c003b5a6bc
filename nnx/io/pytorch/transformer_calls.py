"""Transformer blocks and stacks of nnx, called as those of PyTorch are."""

from __future__ import annotations

from typing import Any

from nnx.errors import ArgumentError
from nnx.io.pytorch.attention_calls import masks_of
from nnx.io.pytorch.calls import Order
from nnx.layers import Module, TransformerDecoder, TransformerDecoderBlock, TransformerEncoder, TransformerEncoderBlock
from nnx.types import Array


class EncoderCall(Module):
    """A block or stack of an encoder, called as in PyTorch: time first unless ``batch_first``, with PyTorch's masks."""

    def __init__(self, layer: TransformerEncoderBlock | TransformerEncoder, batch_first: bool = False) -> None:
        self.layer = layer
        self.batch_first = batch_first

    def forward(
        self,
        src: Array,
        mask: Array | None = None,
        src_key_padding_mask: Array | None = None,
        is_causal: bool | None = None,
        *,
        src_mask: Array | None = None,
    ) -> Array:
        """Map the source to an output of the same shape; a block of PyTorch calls its mask ``src_mask``."""
        order = Order(src.ndim == 2, self.batch_first)
        x = order.enter(src)
        mask, bias = masks_of(x, heads_of(self.layer), mask if src_mask is None else src_mask, src_key_padding_mask)
        return order.leave(self.layer(x, mask, bias))


class DecoderCall(Module):
    """A block or stack of a decoder, called as in PyTorch: time first unless ``batch_first``, with PyTorch's masks."""

    def __init__(self, layer: TransformerDecoderBlock | TransformerDecoder, batch_first: bool = False) -> None:
        self.layer = layer
        self.batch_first = batch_first

    def forward(
        self,
        tgt: Array,
        memory: Array,
        tgt_mask: Array | None = None,
        memory_mask: Array | None = None,
        tgt_key_padding_mask: Array | None = None,
        memory_key_padding_mask: Array | None = None,
        tgt_is_causal: bool | None = None,
        memory_is_causal: bool = False,
    ) -> Array:
        """Map the target and the memory to an output of the shape of the target."""
        order = Order(tgt.ndim == 2, self.batch_first)
        x, memory = order.enter(tgt), order.enter(memory)
        mask, bias = masks_of(x, heads_of(self.layer), tgt_mask, tgt_key_padding_mask)
        seen, memory_bias = masks_of(x, heads_of(self.layer), memory_mask, memory_key_padding_mask)
        if memory_bias is not None:
            raise ArgumentError("expected boolean masks of the memory, got numbers; make one of them: mask < 0")
        return order.leave(self.layer(x, memory, mask, seen, bias, is_causal=False))


class TransformerCall(Module):
    """An encoder and a decoder, called as ``torch.nn.Transformer`` is."""

    def __init__(self, encoder: EncoderCall, decoder: DecoderCall) -> None:
        self.encoder = encoder
        self.decoder = decoder

    def forward(
        self,
        src: Array,
        tgt: Array,
        src_mask: Array | None = None,
        tgt_mask: Array | None = None,
        memory_mask: Array | None = None,
        src_key_padding_mask: Array | None = None,
        tgt_key_padding_mask: Array | None = None,
        memory_key_padding_mask: Array | None = None,
        src_is_causal: bool | None = None,
        tgt_is_causal: bool | None = None,
        memory_is_causal: bool = False,
    ) -> Array:
        """Map the source and the target to an output of the shape of the target."""
        memory = self.encoder(src, src_mask, src_key_padding_mask)
        return self.decoder(tgt, memory, tgt_mask, memory_mask, tgt_key_padding_mask, memory_key_padding_mask)


def heads_of(layer: Any) -> int:
    """Return the number of heads of a block, or of the blocks of a stack."""
    block: Any = layer.blocks[0] if isinstance(layer, (TransformerEncoder, TransformerDecoder)) else layer
    return int(block.attention.heads)
