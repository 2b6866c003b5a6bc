"""Attention on NumPy arrays: blocks that stay in the processor's cache, computed in place.

The weights of a block are stored transposed, (keys, queries): sums and maxima over the keys then run along whole rows
of queries, which NumPy does several times as fast as along the last axis.
"""

import math
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from nnx.autodiff import Pullback, TracedArray
from nnx.autodiff.dispatch import Declined
from nnx.backend import scaled_mask
from nnx.functional import attention
from nnx.functional.attention_checks import check_attention

_BLOCK = 1 << 17
"""Weights of a block: two arrays of this many fit into a processor's second cache."""


@attention.kernel("numpy", fresh=True)
def _(
    wanted: Sequence[Any], query: Any, key: Any, value: Any, mask: Any = None, bias: Any = None, **options: Any
) -> tuple[Any, Pullback] | Declined:
    check_attention(query, key, value, mask, bias, **options)
    if query.dtype.itemsize < 4 or not query.dtype.isnative or query.ndim > 4 or not (query.size and key.size):
        return Declined("it is for non-empty arrays of at least 32 bits with at most one batch axis")
    arrays = (query, key, value, mask, bias)[: max(len(wanted), 3)]
    call = _Call(*(query, key, value, mask, bias), **options)
    y, log_totals = call.forward()

    def pullback(g: Any) -> Sequence[Any]:
        if type(g) is TracedArray:
            return attention.portable_pullback(wanted, *arrays, **options)(g)
        return call.backward(wanted, g, log_totals)

    return y, pullback


Block = tuple[slice, slice, slice]
"""Examples, key heads, queries."""


def blocks(batch: int, heads: int, group: int, time: int, keys: int, rows: int, most: int = _BLOCK) -> Iterator[Block]:
    """Yield blocks of at most so many weights: whole examples if they fit, else whole heads, else some queries.

    The last queries come first: with a causal mask they see all keys. A block has at least one query of each of the
    ``group`` heads that share a key, and at most ``rows``.
    """
    rows = min(time, rows, max(1, most // (group * keys)))
    some = min(heads, max(1, most // (group * keys * rows)))
    several = min(batch, max(1, most // (group * keys * rows * heads))) if some == heads else 1
    for b in range(0, batch, several):
        for h in range(0, heads, some):
            for i in reversed(range(0, time, rows)):
                yield slice(b, min(b + several, batch)), slice(h, min(h + some, heads)), slice(i, min(i + rows, time))


class _Call:
    """The arguments of a call as arrays (batch, key heads, heads that share a key, time, features)."""

    def __init__(
        self,
        *arrays: Any,
        is_causal: bool = False,
        scale: float | None = None,
        dropout: float = 0.0,
        block: int | None = None,
        **draw: Any,
    ) -> None:
        query, key = arrays[:2]
        self.arrays, heads = arrays, key.shape[-3]
        self.query, self.key, self.value, self.mask, self.bias = (_grouped(x, heads) for x in arrays)
        self.scale = query.dtype.type(1.0 / math.sqrt(query.shape[-1]) if scale is None else scale)
        self.dropout, self.draw = dropout, {"stream": "attention", "step": 0, **draw}
        self.is_causal, self.lag = is_causal, key.shape[-2] - query.shape[-2]
        self.ones = np.ones((1, key.shape[-2]), query.dtype)  # a product with it is the quickest sum
        batch, _, group, time, _ = self.query.shape
        # Under a causal mask smaller blocks spare most of the products that the mask would cut off.
        rows = block or (max(64, -(-time // 4)) if is_causal else time)
        self.blocks = list(blocks(batch, heads, group, time, key.shape[-2], rows))

    def forward(self) -> tuple[Any, Any]:
        """Return the output, and the logarithm of each query's sum of exponentials."""
        query, value = self.arrays[0], self.arrays[2]
        y = np.empty_like(query, shape=(*query.shape[:-1], value.shape[-1]))  # its axes are in memory as the query's
        outputs = _grouped(y, self.key.shape[1])
        log_totals = np.zeros((*self.query.shape[:3], 1, self.query.shape[3]), y.dtype)
        memory = self.memory()
        for block in self.blocks:
            b, h, rows = block
            if not (keys := self.seen(rows)):
                outputs[b, h, :, rows] = 0
                continue
            scores = self.scores(block, keys, memory)
            top = np.maximum.reduce(scores, axis=-2, keepdims=True)
            np.maximum(top, np.finfo(y.dtype).min, out=top)  # where all are minus infinity
            scores -= top
            np.exp(scores, out=scores)
            total = self.ones[:, :keys] @ scores
            total += total == 0
            log_totals[b, h, :, :, rows] = np.log(total) + top
            if self.dropout:
                scores *= self.kept(block, keys)
            part = np.matmul(scores.swapaxes(-1, -2), self.value[b, h, :, :keys], out=outputs[b, h, :, rows])
            part /= total.swapaxes(-1, -2)
        return y, log_totals

    def backward(self, wanted: Sequence[Any], g: Any, log_totals: Any) -> Sequence[Any]:
        """Return the cotangents of the arguments."""
        made = [np.empty_like(x) if w and x is not None else None for x, w in zip(self.arrays, wanted, strict=False)]
        heads = self.key.shape[1]
        to_query, to_key, to_value, _, to_bias = (_grouped(x, heads) for x in [*made, None, None][:5])
        cotangent = _grouped(g, heads)
        if to_bias is not None:
            to_bias[...] = 0
        memory, more = self.memory(), self.memory()
        for block in self.blocks:
            b, h, rows = block
            if not (keys := self.seen(rows)):
                if to_query is not None:
                    to_query[b, h, :, rows] = 0
                continue
            is_first = rows.stop == g.shape[-2]
            weights = self.scores(block, keys, memory)
            weights -= log_totals[b, h, :, :, rows]
            np.exp(weights, out=weights)
            kept = self.kept(block, keys) if self.dropout else None
            of_rows = cotangent[b, h, :, rows]
            if to_value is not None:
                _add_product(to_value[b, h, :, :keys], weights if kept is None else weights * kept, of_rows, is_first)
            if to_query is None and to_key is None and to_bias is None:
                continue
            # With weights w and their cotangent h, that of the scores is w * h - w * sum(w * h).
            scores = _reshaped(more, weights.shape)
            np.matmul(self.value[b, h, :, :keys], of_rows.swapaxes(-1, -2), out=scores)
            if kept is not None:
                scores *= kept
            scores *= weights
            weights *= self.ones[:, :keys] @ scores
            scores -= weights
            if to_query is not None:
                part = np.matmul(scores.swapaxes(-1, -2), self.key[b, h, :, :keys], out=to_query[b, h, :, rows])
                part *= self.scale
            if to_key is not None:
                _add_product(to_key[b, h, :, :keys], scores, self.query[b, h, :, rows] * self.scale, is_first)
            if to_bias is not None:
                part = _part(to_bias, block, keys)
                stretched = tuple(i for i in range(5) if part.shape[i] == 1)
                part += np.add.reduce(scores.swapaxes(-1, -2), axis=stretched, keepdims=True)
        return made

    def seen(self, rows: slice) -> int:
        """Return how many of the first keys some of the queries may attend to."""
        keys = self.ones.shape[1]
        return max(0, min(keys, rows.stop + self.lag)) if self.is_causal else keys

    def memory(self) -> Any:
        """Return memory for the largest block."""
        sizes = [math.prod(s.stop - s.start for s in block) for block in self.blocks]
        return np.empty(max(sizes) * self.query.shape[2] * self.ones.shape[1], self.query.dtype)

    def scores(self, block: Block, keys: int, memory: Any) -> Any:
        """Return what softmax is taken of, (batch, key heads, heads that share a key, keys, queries)."""
        b, h, rows = block
        query = self.query[b, h, :, rows] * self.scale
        scores = _reshaped(memory, (*query.shape[:3], keys, query.shape[3]))
        np.matmul(self.key[b, h, :, :keys], query.swapaxes(-1, -2), out=scores)
        if self.bias is not None:
            scores += _part(self.bias, block, keys).swapaxes(-1, -2)
        if self.mask is not None:
            _limit(scores, _part(self.mask, block, keys).swapaxes(-1, -2))
        if self.is_causal:
            # All queries of the block see the keys before the last one that the first query sees.
            first = max(0, rows.start + self.lag + 1)
            tail = np.arange(first, keys)[:, None] <= np.arange(rows.start + self.lag, rows.stop + self.lag)
            _limit(scores[..., first:, :], tail)
        return scores

    def kept(self, block: Block, keys: int) -> Any:
        """Return the factors of dropout for the weights of a block."""
        b, h, rows = block
        _, heads, group, time, _ = self.query.shape
        first, count = (b.start * heads + h.start) * group, (b.stop - b.start) * (h.stop - h.start) * group
        begin = first * time + rows.start
        length, numbers = rows.stop - rows.start, range(begin, begin + count * time, time)
        # The mask of a row begins with that of its first keys, and the others are not seen.
        drawn = scaled_mask((count, length, keys), 1.0 - self.dropout, like=self.ones, first_row=numbers, **self.draw)
        return drawn.reshape((b.stop - b.start, h.stop - h.start, group, length, keys)).swapaxes(-1, -2)


def _grouped(x: Any, heads: int) -> Any:
    """Return a view (batch, key heads, heads that share a key, ...), with lengths of 1 for axes that are not there."""
    if x is None:
        return None
    shape = (*(1,) * (4 - x.ndim), *x.shape)
    split = (1, 1) if shape[1] == 1 else (heads, shape[1] // heads)
    return x.reshape((shape[0], *split, *shape[2:]))


def _part(x: Any, block: Block, keys: int) -> Any:
    """Return the part for a block of what is broadcast against the weights."""
    b, h, rows = block
    found = (b, h, slice(None), rows, slice(keys))
    return x[tuple(part if n > 1 else slice(None) for part, n in zip(found, x.shape, strict=True))]


def _limit(scores: Any, may: Any) -> None:
    """Write minus infinity into scores, NaN too, where a query may not attend to a key."""
    limit = np.full(may.shape, -math.inf, scores.dtype)
    np.copyto(limit, math.inf, where=may)
    np.fmin(scores, limit, out=scores)


def _add_product(total: Any, weights: Any, rows: Any, is_first: bool) -> None:
    """Add the product of weights (keys, queries) and rows, summed over the heads that share a key."""
    if is_first and weights.shape[2] == 1:
        np.matmul(weights, rows, out=total)
        return
    part = weights @ rows
    if part.shape[2] > 1:
        part = np.add.reduce(part, axis=2, keepdims=True)
    if is_first:
        total[...] = part
    else:
        total += part


def _reshaped(memory: Any, shape: tuple[int, ...]) -> Any:
    return memory[: math.prod(shape)].reshape(shape)
