"""Attention and transformers of nnx, called as those of PyTorch are."""

from __future__ import annotations

import math
from typing import Any

from nnx import functional
from nnx.backend import device_of, namespace
from nnx.io.pytorch.calls import Order
from nnx.layers import Module, MultiHeadAttention, Parameter
from nnx.types import Array


class AttentionCall(Module):
    """An attention layer called as ``torch.nn.MultiheadAttention`` is.

    Time comes first unless ``batch_first``, or there is no batch axis; a True in a mask forbids to attend; and the
    average weights of the heads are returned too, unless ``need_weights=False``.

    Parameters
    ----------
    attention : MultiHeadAttention
    batch_first : bool
    add_bias_kv, add_zero_attn : bool
        Whether a learned pair of key and value, and one of zeros, are added to those of the input.
    """

    def __init__(
        self,
        attention: MultiHeadAttention,
        batch_first: bool = False,
        add_bias_kv: bool = False,
        add_zero_attn: bool = False,
    ) -> None:
        self.attention = attention
        self.batch_first = batch_first
        self.add_bias_kv, self.add_zero_attn = add_bias_kv, add_zero_attn
        self.bias_k: Array | None = None
        self.bias_v: Array | None = None
        if add_bias_kv:
            weight: Any = attention.output.weight
            for name in ("bias_k", "bias_v"):
                zeros = namespace(weight).zeros(
                    (1, 1, attention.features), dtype=weight.dtype, device=device_of(weight)
                )
                setattr(self, name, Parameter(zeros))

    def forward(
        self,
        query: Array,
        key: Array,
        value: Array,
        key_padding_mask: Array | None = None,
        need_weights: bool = True,
        attn_mask: Array | None = None,
        average_attn_weights: bool = True,
        is_causal: bool = False,
    ) -> tuple[Array, Array | None]:
        """Map query, key and value to the output and, if wanted, the weights of the keys."""
        order = Order(query.ndim == 2, self.batch_first)
        query, key, value = (order.enter(x) for x in (query, key, value))
        mask, bias = masks_of(query, self.attention.heads, attn_mask, key_padding_mask)
        if not (need_weights or self.add_bias_kv or self.add_zero_attn):
            causal = is_causal and attn_mask is None
            return order.leave(self.attention(query, key, value, mask, bias, is_causal=causal)), None
        y, weights = self._explicit(query, key, value, mask, bias)
        if not need_weights:
            return order.leave(y), None
        if average_attn_weights:
            weights = namespace(weights).mean(weights, axis=1)
        return order.leave(y), weights[0, ...] if order.is_one else weights

    def _explicit(
        self, query: Array, key: Array, value: Array, mask: Array | None, bias: Array | None
    ) -> tuple[Array, Array]:
        """Return the output and the weights (batch, heads, query time, key time), which are made as a whole."""
        layer = self.attention
        keys, values = (self._extended(m(x), b) for m, x, b in
                        ((layer.key, key, self.bias_k), (layer.value, value, self.bias_v)))  # fmt: skip
        q, k, v = (_in_heads(x, layer.heads) for x in (layer.query(query), keys, values))
        xp = namespace(q, k, v)
        scores = q @ xp.matrix_transpose(k) / math.sqrt(q.shape[-1])
        added = k.shape[-2] - key.shape[-2]
        if bias is not None:
            scores = scores + _followed(bias, added, 0.0)
        if mask is not None:
            scores = xp.where(_followed(mask, added, True), scores, -math.inf)
        weights = functional.softmax(scores)
        if layer.training and layer.drawing is not None:
            draw = layer.drawing.next_draw("attention", weights)
            weights = functional.dropout(weights, probability=layer.dropout, **draw)
        y = xp.permute_dims(weights @ v, (0, 2, 1, 3))
        return layer.output(xp.reshape(y, (*query.shape[:-1], layer.features))), weights

    def _extended(self, x: Array, bias: Array | None) -> Array:
        """Return keys or values (batch, time, features) with those that come from no input."""
        xp = namespace(x, bias)
        parts, one = [x], (x.shape[0], 1, x.shape[2])
        if bias is not None:
            parts.append(xp.broadcast_to(bias, one))
        if self.add_zero_attn:
            parts.append(xp.zeros(one, dtype=x.dtype, device=device_of(x)))
        return xp.concat(parts, axis=1) if len(parts) > 1 else x


def masks_of(
    query: Array, heads: int, attn_mask: Array | None, padding: Array | None
) -> tuple[Array | None, Array | None]:
    """Return PyTorch's masks as what a query may attend to, and as what is added to its scores."""
    xp = namespace(query, attn_mask, padding)
    found: dict[bool, Array | None] = {True: None, False: None}
    for mask, shape in ((attn_mask, _shape_of(attn_mask, heads)), (padding, (-1, 1, 1, _last(padding)))):
        if mask is None:
            continue
        is_bool = xp.isdtype(mask.dtype, "bool")
        part, old = xp.reshape(~mask if is_bool else mask, shape), found[is_bool]
        found[is_bool] = part if old is None else old & part if is_bool else old + part
    return found[True], found[False]


def _shape_of(mask: Array | None, heads: int) -> tuple[int, ...]:
    """Return the four axes of an ``attn_mask``, (query time, key time) or (batch * heads, query time, key time)."""
    if mask is None:
        return ()
    return (1, 1, *mask.shape) if mask.ndim == 2 else (-1, heads, *mask.shape[1:])


def _last(padding: Array | None) -> int:
    return 0 if padding is None else padding.shape[-1]


def _followed(mask: Array, count: int, value: Any) -> Array:
    """Return a mask with a value for keys that were added."""
    if not count:
        return mask
    xp = namespace(mask)
    more = xp.full((*mask.shape[:-1], count), value, dtype=mask.dtype, device=device_of(mask))
    return xp.concat([mask, more], axis=-1)


def _in_heads(x: Array, heads: int) -> Array:
    xp = namespace(x)
    batch, time, features = x.shape
    return xp.permute_dims(xp.reshape(x, (batch, time, heads, features // heads)), (0, 2, 1, 3))
