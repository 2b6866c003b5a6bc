"""Scaled dot-product attention, block by block: the whole matrix of weights is never in memory."""

import math
from collections.abc import Sequence
from typing import Any

from nnx.autodiff import Pullback, primitive, stop_gradient
from nnx.autodiff.rules.parts import Spec
from nnx.autodiff.rules.shapes import match
from nnx.backend import accumulation_dtype, add_into, device_of, divide_into, multiply_into, namespace, scaled_mask
from nnx.functional.attention_checks import check_attention
from nnx.types import Array, Namespace

_BLOCK = 1 << 22
"""How many weights are in memory at once; never fewer than those of one query of each head."""


@primitive
def attention(
    query: Array,
    key: Array,
    value: Array,
    mask: Array | None = None,
    bias: Array | None = None,
    *,
    is_causal: bool = False,
    scale: float | None = None,
    dropout: float = 0.0,
    seed: int | None = None,
    stream: str = "attention",
    step: int | Array = 0,
    block: int | None = None,
) -> Array:
    r"""Scaled dot-product attention: :math:`\mathrm{softmax}(s\,Q K^T + B)\,V`, for each head.

    Parameters
    ----------
    query : array, shape (..., heads, query time, features)
        Real floating-point.
    key : array, shape (..., key heads, key time, features)
        With fewer heads than the query has, each serves heads / key heads of them, consecutive ones: head ``i`` of the
        query attends to head ``i // (heads / key heads)``. They are not repeated in memory.
    value : array, shape (..., key heads, key time, value features)
    mask : array of bool, broadcastable to (..., heads, query time, key time), optional
        True where a query may attend to a key. PyTorch's modules, unlike its function, mean the opposite.
    bias : array, broadcastable to (..., heads, query time, key time), optional
        Added to the scores :math:`s\,Q K^T`, such as :func:`alibi_bias`; it is differentiated. Minus infinity masks.
    is_causal : bool
        Whether a query may attend only to its own time and earlier ones. The queries are the last of the sequence:
        with n keys more than queries, as in a cache, query ``i`` attends to the keys ``0 ... i + n``.
    scale : float, optional
        The factor :math:`s`; default :math:`1 / \sqrt{\mathrm{features}}`.
    dropout : float
        The probability, in [0, 1], that a weight is set to zero; the others are divided by 1 - dropout. It is rounded
        to a multiple of ``2**-16``.
    seed, stream, step
        They determine which weights are dropped, on every backend the same ones; see :func:`nnx.backend.keep_mask`.
        With dropout a seed is required.
    block : int, optional
        How many queries are computed at a time; by default as many as keep the weights in memory few. Native kernels
        have their own blocks.

    Returns
    -------
    y : array, shape (..., heads, query time, value features)
        Exactly zero, with gradient zero, where a query may attend to no key.

    Raises
    ------
    ShapeError
        If the shapes do not fit together, or mask or bias do not broadcast.
    DTypeError
        If the dtypes differ or are not real, or the mask does not hold booleans.
    ArgumentError
        If the dropout is not in [0, 1] or has no seed, or the block is not an integer of at least 1.

    Notes
    -----
    Memory is linear in the sequence length: the pullback keeps the arguments and the logarithm of each query's sum of
    exponentials, and computes the weights again. 16-bit floating-point is computed in float32.
    Sources: A. Vaswani et al., "Attention is all you need", NeurIPS 2017; M. N. Rabe and C. Staats, "Self-attention
    does not need O(n^2) memory", 2021; T. Dao et al., "FlashAttention", NeurIPS 2022, for the pullback; J. Ainslie et
    al., "GQA: training generalized multi-query transformer models", EMNLP 2023, for fewer key heads.

    Examples
    --------
    >>> import numpy as np, nnx
    >>> query, key = np.zeros((2, 3, 4)), np.zeros((1, 3, 4))
    >>> value = np.asarray([[[3.0], [6.0], [9.0]]])
    >>> nnx.functional.attention(query, key, value, is_causal=True)[0, :, 0]
    array([3. , 4.5, 6. ])
    """
    call = Call(
        query,
        key,
        value,
        mask,
        bias,
        is_causal=is_causal,
        scale=scale,
        dropout=dropout,
        seed=seed,
        stream=stream,
        step=step,
        block=block,
    )
    return forward_pass(call)[0]


@attention.with_pullback(fresh=True)
def _(
    wanted: Sequence[Any],
    query: Array,
    key: Array,
    value: Array,
    mask: Array | None = None,
    bias: Array | None = None,
    **options: Any,
) -> tuple[Array, Pullback]:
    call = Call(query, key, value, mask, bias, **options)
    y, log_totals = forward_pass(call)
    return y, lambda cotangent: backward_pass(call, wanted, cotangent, log_totals)


@attention.with_flops
def _(output: Array, query: Array, key: Array, *_: Any, **options: Any) -> int:
    return 2 * math.prod(query.shape[:-1]) * key.shape[-2] * (query.shape[-1] + output.shape[-1])


def forward_pass(call: "Call") -> tuple[Array, Array]:
    """Return the output, and the logarithm of each query's sum of exponentials: 0 for a query without keys."""
    xp = namespace(*call.arrays)
    value = call.cast(xp, call.value)
    outputs, log_totals = [], []
    for rows in call.blocks():
        scores = call.scores(xp, rows)
        top = _largest(xp, scores)
        powers = xp.exp(add_into(scores, -top))
        total = xp.sum(powers, axis=-1, keepdims=True)
        total = xp.where(total == 0, 1.0, total)
        log_totals.append(top + xp.log(total))
        outputs.append(divide_into(call.product(xp, call.dropped(xp, powers, rows), value), total))
    y, log_totals = (x[0] if len(x) == 1 else xp.concat(x, axis=-2) for x in (outputs, log_totals))
    return xp.astype(y, call.query.dtype, copy=False), log_totals


def backward_pass(call: "Call", wanted: Sequence[Any], cotangent: Array, log_totals: Array) -> list[Array | None]:
    """Return the cotangents of the arguments, from weights that are computed again."""
    xp = namespace(cotangent, log_totals, *call.arrays)
    query, key, value, cotangent = (call.cast(xp, x) for x in (call.query, call.key, call.value, cotangent))
    parts: list[list[Array]] = [[] for _ in call.arrays]
    to_query, to_key, to_value, _, to_bias = [*wanted, 0, 0][:5]
    for rows in call.blocks():
        g = cotangent[..., rows, :]
        weights = xp.exp(add_into(call.scores(xp, rows), -log_totals[..., rows, :]))
        if to_value:
            _add(parts[2], call.transposed_product(xp, call.dropped(xp, weights, rows), g))
        if not (to_query or to_key or to_bias):
            continue
        # The cotangent of the weights w is h, and that of the scores w * (h - sum(w * h)).
        to_scores = call.dropped(xp, call.product(xp, g, xp.matrix_transpose(value)), rows)
        to_scores = multiply_into(to_scores, weights)
        total = xp.sum(to_scores, axis=-1, keepdims=True)
        to_scores = add_into(to_scores, multiply_into(weights, -total))
        if to_query:
            parts[0].append(multiply_into(call.product(xp, to_scores, key), call.scale))
        if to_key:
            _add(parts[1], call.transposed_product(xp, to_scores, query[..., rows, :] * call.scale))
        if to_bias:
            _add_to_bias(parts[4], to_scores, call.bias)
    return [
        None if not part else xp.astype(part[0] if len(part) == 1 else xp.concat(part, axis=-2), x.dtype, copy=False)
        for part, x, _ in zip(parts, call.arrays, wanted, strict=False)
    ]


class Call:
    """The arguments of a call, and what is computed from them for a block of queries."""

    def __init__(
        self,
        query: Array,
        key: Array,
        value: Array,
        mask: Array | None,
        bias: Array | None,
        *,
        is_causal: bool = False,
        scale: float | None = None,
        dropout: float = 0.0,
        block: int | None = None,
        seed: int | None = None,
        stream: str = "attention",
        step: int | Array = 0,
    ) -> None:
        check_attention(query, key, value, mask, bias, dropout=dropout, seed=seed, block=block)
        self.arrays = query, key, value, mask, bias
        self.query, self.key, self.value, self.mask, self.bias = query, key, value, mask, bias
        self.is_causal, self.dropout = is_causal, dropout
        self.draw: Any = {"seed": seed, "stream": stream, "step": step}
        self.scale = 1.0 / math.sqrt(query.shape[-1] or 1) if scale is None else scale
        self.groups = query.shape[-3] // key.shape[-3]
        self.dtype = accumulation_dtype(query)
        self.rows = block or max(1, _BLOCK // (math.prod((*query.shape[:-2], key.shape[-2])) or 1))

    def blocks(self) -> list[slice]:
        """Return the queries of each block; one block if there are none."""
        time = self.query.shape[-2]
        return [slice(start, min(start + self.rows, time)) for start in range(0, time or 1, self.rows)]

    def cast(self, xp: Namespace, x: Array) -> Array:
        """Return an array in the dtype of the computation."""
        return xp.astype(x, self.dtype, copy=False)

    def scores(self, xp: Namespace, rows: slice) -> Array:
        """Return what softmax is taken of, minus infinity where a query may not attend to a key."""
        query, key = self.cast(xp, self.query[..., rows, :]), self.cast(xp, self.key)
        scores = self.product(xp, query * self.scale, xp.matrix_transpose(key))
        if self.bias is not None:
            scores = add_into(scores, self.cast(xp, _block_of(self.bias, rows)))
        if self.mask is not None:
            scores = xp.where(_block_of(self.mask, rows), scores, -math.inf)
        if self.is_causal:
            keys, device = key.shape[-2], device_of(key)
            last = xp.arange(rows.start, rows.stop, device=device)[:, None] + (keys - self.query.shape[-2])
            scores = xp.where(xp.arange(keys, device=device)[None, :] <= last, scores, -math.inf)
        return scores

    def dropped(self, xp: Namespace, weights: Array, rows: slice) -> Array:
        """Return weights of which some are dropped: the same ones at each call, whatever the blocks."""
        if not self.dropout:
            return weights
        time, count = self.query.shape[-2], rows.stop - rows.start
        heads, keys = math.prod(self.query.shape[:-2]), self.key.shape[-2]
        first = range(rows.start, rows.start + heads * time, time)
        mask = scaled_mask((heads, count, keys), 1.0 - self.dropout, like=weights, first_row=first, **self.draw)
        return weights * xp.reshape(mask, weights.shape)

    def product(self, xp: Namespace, rows: Array, matrix: Array) -> Array:
        """Return (..., heads, m, n) @ (..., key heads, n, k); one product for all heads that share a matrix."""
        if self.groups == 1:
            return rows @ matrix
        *lead, m, _ = rows.shape
        return xp.reshape(self.merged(xp, rows) @ matrix, (*lead, m, matrix.shape[-1]))

    def transposed_product(self, xp: Namespace, rows: Array, others: Array) -> Array:
        """Return (..., heads, m, n)^T @ (..., heads, m, k), summed over the heads that share a key."""
        return xp.matrix_transpose(self.merged(xp, rows)) @ self.merged(xp, others)

    def merged(self, xp: Namespace, rows: Array) -> Array:
        """Return the rows of the heads that share a key as one matrix: (..., key heads, m * groups, n)."""
        if self.groups == 1:
            return rows
        *lead, heads, m, n = rows.shape
        return xp.reshape(rows, (*lead, heads // self.groups, self.groups * m, n))


def _largest(xp: Namespace, scores: Array) -> Array:
    """Return the largest score of each query, which softmax subtracts; 0 where all are minus infinity."""
    if not scores.shape[-1]:
        return xp.zeros((*scores.shape[:-1], 1), dtype=scores.dtype, device=device_of(scores))
    top = xp.max(stop_gradient(scores), axis=-1, keepdims=True)
    return xp.where(top == -math.inf, 0.0, top)


def _block_of(x: Array, rows: slice) -> Array:
    """Return the rows of a block, of an array that is broadcast against the scores."""
    return x if x.ndim < 2 or x.shape[-2] == 1 else x[..., rows, :]


def _add(parts: list[Array], part: Array) -> None:
    """Add to a sum, which is the only element of a list."""
    parts[:] = [add_into(parts[0], part) if parts else part]


def _add_to_bias(parts: list[Array], to_scores: Array, bias: Array) -> None:
    """Add the cotangent of the bias, which is that of the scores, summed where the bias was stretched."""
    if bias.ndim < 2 or bias.shape[-2] == 1:
        _add(parts, match(to_scores, Spec(bias.shape, to_scores.dtype)))
    else:
        shape = (*bias.shape[:-2], to_scores.shape[-2], bias.shape[-1])
        parts.append(match(to_scores, Spec(shape, to_scores.dtype)))
