"""Attention, and positions in a sequence."""

import math

import numpy as np

import nnx
from nnx import functional as F
from rows.draws import normal
from rows.record import Capability, Row, Wrong

DROPOUT = {"dropout": 0.5, "seed": 1, "step": 2}


def reference(torch, query, key, value, mask=None, bias=None, is_causal=False, kept=None):
    """Attention with the whole matrix of weights; kept are the factors of dropout."""
    groups = query.shape[-3] // key.shape[-3]
    key, value = key.repeat_interleave(groups, -3), value.repeat_interleave(groups, -3)
    scores = query @ key.mT / math.sqrt(query.shape[-1])
    if bias is not None:
        scores = scores + bias
    may = torch.ones(scores.shape, dtype=torch.bool)
    if mask is not None:
        may = may & mask
    if is_causal:
        may = may.tril(scores.shape[-1] - scores.shape[-2])
    weights = torch.softmax(scores.masked_fill(~may, -1e30), -1) * may
    return (weights if kept is None else weights * kept) @ value


def _kept(shape):
    rows = (math.prod(shape[:-1]), shape[-1])
    drawn = nnx.backend.scaled_mask(rows, 0.5, like=np.zeros(1), seed=1, stream="attention", step=2, first_row=0)
    return drawn.reshape(shape)


def _mask(rng):
    mask = rng.random((2, 1, 3, 4)) > 0.3
    mask[0, :, 1] = False
    return (mask,)


def by_complex_numbers(torch, x, positions, base=100.0):
    """Return the pairs of rotary positions, as complex numbers, turned by their angles."""
    real, imaginary = x.chunk(2, -1)
    angles = positions[..., None] * base ** -torch.linspace(0, 1, real.shape[-1] + 1, dtype=x.dtype)[:-1]
    turned = torch.complex(real, imaginary) * torch.polar(torch.ones_like(angles), angles)
    return torch.cat([turned.real, turned.imag], -1)


def _sinusoidal(torch, x):
    angles = torch.arange(1, 4)[:, None] * torch.tensor([1.0, 0.1], dtype=x.dtype)
    return x + torch.stack([angles.sin(), angles.cos()], -1).flatten(1)


def _alibi(torch, x):
    slopes = torch.tensor([2**-4, 2**-8, 2**-2], dtype=x.dtype)
    return x * slopes[:, None, None] * torch.arange(-3, 1)


CAPABILITIES = [
    Capability(
        "functional.attention",
        "query (..., heads, query time, features), key and value (..., key heads, key time, features), mask of "
        "booleans and bias, which broadcast to (..., heads, query time, key time)",
        "torch.nn.functional.scaled_dot_product_attention",
        wrong=Wrong(((2, 3, 4), (2, 5, 3), (2, 5, 3)), r"expected key of shape \(key heads, key time, 4\), as"),
        rows=(
            Row("attention", F.attention, normal((2, 2, 3, 4), (2, 2, 5, 4), (2, 2, 5, 3)), reference),
            Row(
                "attention-masked",
                F.attention,
                normal((2, 2, 3, 4), (2, 2, 4, 4), (2, 2, 4, 4)),
                reference,
                constants=_mask,
            ),
            Row(
                "attention-causal-bias-groups",
                lambda query, key, value, bias: F.attention(query, key, value, bias=bias, is_causal=True, block=2),
                normal((2, 4, 3, 2), (2, 2, 5, 2), (2, 2, 5, 2), (4, 1, 5)),
                lambda torch, query, key, value, bias: reference(torch, query, key, value, bias=bias, is_causal=True),
                unbatched=(3,),
            ),
            Row(
                "attention-dropout",
                lambda query, key, value, bias: F.attention(query, key, value, None, bias, block=2, **DROPOUT),
                normal((2, 2, 3, 2), (2, 1, 4, 2), (2, 1, 4, 2), (3, 4)),
                lambda torch, query, key, value, bias: reference(
                    torch, query, key, value, bias=bias, kept=torch.tensor(_kept((2, 2, 3, 4)), dtype=query.dtype)
                ),
                batch=None,
            ),
        ),
    ),
    Capability(
        "functional.rotary",
        "x (..., time, features), positions (integers that broadcast to (..., time)) or None",
        "complex numbers: torch.view_as_complex(pairs) * torch.polar(1, angles)",
        wrong=Wrong(((4, 3),), r"expected input of shape \(\.\.\., time, features\) with even features, got \(4, 3\)"),
        rows=(
            Row(
                "rotary",
                lambda x: F.rotary(x, offset=2, base=100.0),
                normal((2, 3, 4)),
                lambda torch, x: by_complex_numbers(torch, x, torch.arange(2, 5)),
            ),
            Row(
                "rotary-positions",
                lambda x, positions: F.rotary(x, positions, base=100.0),
                normal((2, 2, 3, 4)),
                by_complex_numbers,
                constants=lambda rng: (rng.integers(9, size=(2, 1, 3)),),
            ),
        ),
    ),
    Capability(
        "functional.sinusoidal_positions",
        "like, an array of the dtype, library and device that are wanted",
        "torch.sin, torch.cos",
        rows=(
            Row(
                "sinusoidal-positions",
                lambda x: x + F.sinusoidal_positions(3, 4, like=x, offset=1, base=100.0),
                normal((2, 3, 4)),
                _sinusoidal,
            ),
        ),
    ),
    Capability(
        "functional.alibi_bias",
        "like, an array of the dtype, library and device that are wanted",
        "torch.arange",
        rows=(
            Row(
                "alibi-bias",
                lambda x: x * F.alibi_bias(3, 4, like=x),
                normal((2, 3, 1, 4)),
                _alibi,
            ),
        ),
    ),
]
