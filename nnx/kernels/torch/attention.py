"""Attention on torch arrays."""

from typing import Any

import torch

from nnx.autodiff.dispatch import Declined
from nnx.functional import attention
from nnx.functional.attention_checks import check_attention
from nnx.kernels.torch.automatic import native


def _check(*arrays: Any, dropout: float = 0.0, **options: Any) -> Declined | None:
    check_attention(*arrays, dropout=dropout, **options)
    return Declined("torch draws other masks for dropout") if dropout else None


@native(attention, _check)
def _(
    query: Any,
    key: Any,
    value: Any,
    mask: Any = None,
    bias: Any = None,
    *,
    is_causal: bool = False,
    scale: float | None = None,
    **_: Any,
) -> Any:
    lag = key.shape[-2] - query.shape[-2]
    if is_causal and (lag or mask is not None or bias is not None):  # torch takes the queries to be the first
        ones = torch.ones((query.shape[-2], key.shape[-2]), dtype=torch.bool, device=query.device)
        mask = ones.tril(lag) if mask is None else mask & ones.tril(lag)
        is_causal = False
    if bias is not None:
        mask = bias if mask is None else torch.where(mask, bias, -torch.inf)
    arrays = [_with_batch(x) for x in (query, key, value)]
    grouped = query.shape[-3] != key.shape[-3]
    y = torch.nn.functional.scaled_dot_product_attention(
        *arrays, attn_mask=_with_batch(mask), is_causal=is_causal, scale=scale, enable_gqa=grouped
    )
    return y.reshape((*query.shape[:-1], value.shape[-1]))


def _with_batch(x: Any) -> Any:
    """Return an array with at least four axes, without which torch has no attention of linear memory."""
    return x if x is None or x.ndim >= 4 else x.reshape((*(1,) * (4 - x.ndim), *x.shape))
