"""Attention with several heads, and the blocks and stacks of transformers."""

import nnx
from rows.attention import by_complex_numbers, reference
from rows.draws import normal
from rows.record import Capability, Row, Wrong, layer

X, MEMORY = (2, 3, 4), (2, 2, 4)


def _linear(p, path, x):
    y = x @ p[f"{path}.weight"]
    return y + p[f"{path}.bias"] if f"{path}.bias" in p else y


def multi_head(torch, p, path, query, key, value, heads, kv_heads, rotary=None, **options):
    """Compute what MultiHeadAttention does, from its parameters by path."""

    def split(x, n):
        return x.unflatten(-1, (n, -1)).transpose(-3, -2)

    query = split(_linear(p, f"{path}query", query), heads)
    key, value = (split(_linear(p, f"{path}{name}", x), kv_heads) for name, x in (("key", key), ("value", value)))
    if rotary:
        query, key = (by_complex_numbers(torch, x, torch.arange(x.shape[-2]), rotary) for x in (query, key))
    return _linear(p, f"{path}output", reference(torch, query, key, value, **options).transpose(-3, -2).flatten(-2))


def _norm(torch, p, path, x, rms=False):
    weight, shape = p[f"{path}.weight"], x.shape[-1:]
    if rms:
        return torch.nn.functional.rms_norm(x, shape, weight, 1e-6)
    return torch.nn.functional.layer_norm(x, shape, weight, p.get(f"{path}.bias"))


def _feed_forward(torch, p, path, x, is_gated=False):
    h = _linear(p, f"{path}expand", x)
    if is_gated:
        a, b = h.chunk(2, -1)
        h = torch.nn.functional.silu(a) * b
    else:
        h = torch.nn.functional.gelu(h)
    return _linear(p, f"{path}contract", h)


def _block(torch, p, path, x, memory=None, norm_first=False, kv_heads=2, is_modern=False, **options):
    parts = [("attention", lambda h: multi_head(torch, p, f"{path}attention.", h, h, h, 2, kv_heads, **options))]
    if memory is not None:
        cross = f"{path}cross_attention."
        parts.append(("cross_attention", lambda h: multi_head(torch, p, cross, h, memory, memory, 2, kv_heads)))
    parts.append(("feed_forward", lambda h: _feed_forward(torch, p, f"{path}feed_forward.", h, is_modern)))
    for name, part in parts:
        norm = f"{path}{name}_norm"
        if norm_first:
            x = x + part(_norm(torch, p, norm, x, is_modern))
        else:
            x = _norm(torch, p, norm, x + part(x), is_modern)
    return x


def _with_cache(module, x, keys, values):
    return module(x, is_causal=True, cache={"key": keys, "value": values})


def _with_cache_by_torch(torch, p, x, keys, values):
    """The cache has keys that were turned already, and the new ones follow."""
    past = keys.shape[-2]
    query, key, value = (_linear(p, name, x) for name in ("query", "key", "value"))
    query, key, value = query.unflatten(-1, (2, 2)).transpose(1, 2), key[:, None], value[:, None]
    positions = torch.arange(past, past + x.shape[1])
    query, key = (by_complex_numbers(torch, h, positions, 50.0) for h in (query, key))
    keys, values = torch.cat([keys, key], -2), torch.cat([values, value], -2)
    y = _linear(p, "output", reference(torch, query, keys, values, is_causal=True).transpose(1, 2).flatten(2))
    return y, {"key": keys, "value": values}


def _attention(dtype, **options):
    return nnx.MultiHeadAttention(4, 2, rng=0, dtype=dtype, **options)


# Without biases, also above: the gradient of a key's is zero but for rounding, unless there are rotary positions. The
# sum of what LayerNorm returns is constant, so that plain blocks do not end with one.
def _encoder_block(dtype, **options):
    options = {"activation": nnx.GELU(), "bias": False, "rng": 0, "dtype": dtype, **options}
    return nnx.TransformerEncoderBlock(4, 2, 3, **options)


def _decoder_block(dtype):
    options = {"activation": nnx.GELU(), "bias": False, "norm_first": True, "rng": 3, "dtype": dtype}
    return nnx.TransformerDecoderBlock(4, 2, 3, **options)


_MODERN = {"kv_heads": 1, "norm": "rms", "rotary": 50.0}

CAPABILITIES = [
    Capability(
        "MultiHeadAttention",
        "query (..., query time, features), key and value (..., key time, features) or None, mask, bias, cache",
        "torch.nn.MultiheadAttention with batch_first=True, whose masks mean the opposite",
        wrong=Wrong(((2, 3, 5),), r"expected input of shape \(\.\.\., 4\), got \(2, 3, 5\)"),
        rows=(
            layer(
                "MultiHeadAttention",
                lambda dtype: _attention(dtype, bias=False),
                normal(X),
                lambda torch, p, x: multi_head(torch, p, "", x, x, x, 2, 2),
            ),
            Row(
                "layer-MultiHeadAttention-cross",
                lambda module, query, key, value, mask: module(query, key, value, mask=mask),
                normal((2, 3, 4), (2, 2, 3), (2, 2, 5)),
                lambda torch, p, query, key, value, mask: multi_head(torch, p, "", query, key, value, 2, 1, mask=mask),
                constants=lambda rng: (rng.random((2, 1, 3, 2)) > 0.4,),
                make=lambda dtype: _attention(dtype, kv_heads=1, key_features=3, value_features=5, bias=False),
            ),
            Row(
                "layer-MultiHeadAttention-cache",
                _with_cache,
                normal((2, 2, 4), (2, 1, 3, 2), (2, 1, 3, 2)),
                _with_cache_by_torch,
                make=lambda dtype: _attention(dtype, kv_heads=1, rotary=50.0),
            ),
        ),
    ),
    Capability(
        "FeedForward",
        "x (..., features)",
        "torch.nn.Linear, an activation, torch.nn.Linear",
        wrong=Wrong(((2, 5),), r"expected input of shape \(\.\.\., 4\), got \(2, 5\)"),
        rows=(
            layer(
                "FeedForward",
                lambda dtype: nnx.FeedForward(4, 3, activation=nnx.GELU(), rng=0, dtype=dtype),
                normal(X),
                lambda torch, p, x: _feed_forward(torch, p, "", x),
            ),
            layer(
                "FeedForward-gated",
                lambda dtype: nnx.FeedForward(4, 3, activation=nnx.SwiGLU(), rng=0, dtype=dtype),
                normal(X),
                lambda torch, p, x: _feed_forward(torch, p, "", x, True),
            ),
        ),
    ),
    Capability(
        "TransformerEncoderBlock",
        "x (batch, time, features), mask, bias, cache",
        "torch.nn.TransformerEncoderLayer with batch_first=True, whose masks mean the opposite",
        wrong=Wrong(((2, 3, 5),), r"expected input of shape \(\.\.\., 4\), got \(2, 3, 5\)"),
        rows=(
            layer(
                "TransformerEncoderBlock",
                lambda dtype: _encoder_block(dtype, norm_first=True),
                normal(X),
                lambda torch, p, x: _block(torch, p, "", x, norm_first=True),
            ),
            Row(
                "layer-TransformerEncoderBlock-modern",
                lambda module, x: module(x, is_causal=True),
                normal(X),
                lambda torch, p, x: _block(torch, p, "", x, kv_heads=1, is_modern=True, rotary=50.0, is_causal=True),
                make=lambda dtype: _encoder_block(dtype, activation=nnx.SwiGLU(), **_MODERN),
            ),
        ),
    ),
    Capability(
        "TransformerDecoderBlock",
        "x (batch, time, features), memory (batch, memory time, features), masks, bias, cache",
        "torch.nn.TransformerDecoderLayer with batch_first=True, not causal, whose masks mean the opposite",
        wrong=Wrong(((2, 3, 5), MEMORY), r"expected input of shape \(\.\.\., 4\), got \(2, 3, 5\)"),
        rows=(
            layer(
                "TransformerDecoderBlock",
                _decoder_block,
                normal(X, MEMORY),
                lambda torch, p, x, memory: _block(torch, p, "", x, memory, norm_first=True, is_causal=True),
            ),
        ),
    ),
    Capability(
        "TransformerEncoder",
        "x (batch, time, features), mask, bias, a cache for each block",
        "torch.nn.TransformerEncoder",
        wrong=Wrong(((2, 3, 5),), r"expected input of shape \(\.\.\., 4\), got \(2, 3, 5\)"),
        rows=(
            layer(
                "TransformerEncoder",
                lambda dtype: nnx.TransformerEncoder(
                    [_encoder_block(dtype, norm_first=True)], nnx.LayerNorm(4, dtype=dtype)
                ),
                normal(X),
                lambda torch, p, x: _norm(torch, p, "norm", _block(torch, p, "blocks.0.", x, norm_first=True)),
            ),
        ),
    ),
    Capability(
        "TransformerDecoder",
        "x (batch, time, features), memory (batch, memory time, features), masks, bias, a cache for each block",
        "torch.nn.TransformerDecoder",
        wrong=Wrong(((2, 3, 5), MEMORY), r"expected input of shape \(\.\.\., 4\), got \(2, 3, 5\)"),
        rows=(
            layer(
                "TransformerDecoder",
                lambda dtype: nnx.TransformerDecoder([_decoder_block(dtype)]),
                normal(X, MEMORY),
                lambda torch, p, x, memory: _block(torch, p, "blocks.0.", x, memory, norm_first=True, is_causal=True),
            ),
        ),
    ),
]
