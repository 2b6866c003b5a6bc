"""Transformers: blocks one after another, which share masks and memory and have a cache each."""

from collections.abc import Iterable
from typing import Any

from nnx.errors import ArgumentError
from nnx.layers.attention import Cache
from nnx.layers.collecting import expect_modules
from nnx.layers.module import Module
from nnx.types import Array


class _Stack(Module):
    """What encoder and decoder share: everything but what their blocks are called with."""

    def __init__(self, blocks: Iterable[Module], norm: Module | None = None) -> None:
        self.blocks = expect_modules(blocks)
        self.norm = norm

    def empty_cache(self, batch: int) -> list[Cache]:
        """Return the caches of all blocks before the first step; see :meth:`MultiHeadAttention.empty_cache`."""
        blocks: list[Any] = list(self.blocks)
        return [block.empty_cache(batch) for block in blocks]

    def _through(self, x: Array, cache: list[Cache] | None, *args: Any, **options: Any) -> Any:
        if cache is not None and len(cache) != len(self.blocks):
            raise ArgumentError(f"expected a cache for each of the {len(self.blocks)} blocks, got {len(cache)}")
        after = []
        for i, block in enumerate(self.blocks):
            x = block(x, *args, cache=None if cache is None else cache[i], **options)
            if cache is not None:
                x, of_block = x
                after.append(of_block)
        if self.norm is not None:
            x = self.norm(x)
        return x if cache is None else (x, after)


class TransformerEncoder(_Stack):
    r"""Blocks of self-attention one after another, and a normalization at the end if there is one.

    Parameters
    ----------
    blocks : iterable of TransformerEncoderBlock
        Their paths are ``"blocks.0"``, ``"blocks.1"``, ...
    norm : Module, optional
        Called last. Needed with ``norm_first``, where what the last block returns is not normalized.

    Raises
    ------
    ArgumentError
        If a block is not a module, or on a call if there is not one cache a block.

    Notes
    -----
    Called as ``encoder(x, mask=None, bias=None, is_causal=False, cache=None)`` on x of shape (batch, time, features);
    all blocks get the same mask and bias. The cache is a list, from ``encoder.empty_cache(batch)``; with it the encoder
    returns a pair of output and next cache.

    Source: A. Vaswani et al., "Attention is all you need", NeurIPS 2017.

    Examples
    --------
    A model in the style of GPT-2, which predicts the next token, and generates by appending what it predicts:

    >>> import numpy as np, nnx
    >>> class GPT(nnx.Module):
    ...     def __init__(self, tokens, context, features, heads, blocks, *, rng=None):
    ...         rng = nnx.generator(rng)
    ...         small = nnx.initializers.Normal(std=0.02)
    ...         options = {"activation": nnx.GELU(approximate="tanh"), "norm_first": True, "rng": rng}
    ...         self.tokens = nnx.Embedding(tokens, features, initializer=small, rng=rng)
    ...         self.positions = nnx.Embedding(context, features, initializer=small, rng=rng)
    ...         self.body = nnx.TransformerEncoder(
    ...             [nnx.TransformerEncoderBlock(features, heads, **options) for _ in range(blocks)],
    ...             norm=nnx.LayerNorm(features),
    ...         )
    ...         self.head = nnx.Linear(features, tokens, bias=False, rng=rng)
    ...         self.head.weight = nnx.Tied(self.tokens, "weight", transpose=True)
    ...
    ...     def forward(self, tokens, cache=None):
    ...         past = 0 if cache is None else cache[0]["key"].shape[-2]
    ...         x = self.tokens(tokens) + self.positions.weight[past : past + tokens.shape[1], :]
    ...         if cache is None:
    ...             return self.head(self.body(x, is_causal=True))
    ...         x, cache = self.body(x, is_causal=True, cache=cache)
    ...         return self.head(x), cache
    >>> model = GPT(tokens=11, context=16, features=8, heads=2, blocks=2, rng=0).eval()
    >>> tokens = np.asarray([[3, 1, 4]])
    >>> model(tokens).shape
    (1, 3, 11)
    >>> text, cache = tokens, model.body.empty_cache(1)
    >>> for _ in range(4):
    ...     logits, cache = model(tokens, cache)
    ...     tokens = logits[:, -1].argmax(axis=-1)[:, None]
    ...     text = np.concatenate([text, tokens], axis=1)
    >>> text.shape
    (1, 7)
    """

    def forward(
        self,
        x: Array,
        mask: Array | None = None,
        bias: Array | None = None,
        *,
        is_causal: bool = False,
        cache: list[Cache] | None = None,
    ) -> Any:
        """Map (batch, time, features) to the same shape; with a cache, return the output and the next cache."""
        return self._through(x, cache, mask=mask, bias=bias, is_causal=is_causal)


class TransformerDecoder(_Stack):
    r"""Blocks of self-attention and attention to a memory one after another, and a normalization at the end.

    Parameters
    ----------
    blocks : iterable of TransformerDecoderBlock
        Their paths are ``"blocks.0"``, ``"blocks.1"``, ...
    norm : Module, optional
        Called last.

    Raises
    ------
    ArgumentError
        If a block is not a module, or on a call if there is not one cache a block.

    Notes
    -----
    Called as ``decoder(x, memory, mask=None, memory_mask=None, bias=None, is_causal=True, cache=None)``, as
    :class:`TransformerDecoderBlock` is. The cache is a list, from ``decoder.empty_cache(batch)``; with it the decoder
    returns a pair of output and next cache.

    Source: A. Vaswani et al., "Attention is all you need", NeurIPS 2017.

    Examples
    --------
    >>> import numpy as np, nnx
    >>> decoder = nnx.TransformerDecoder([nnx.TransformerDecoderBlock(8, 2, rng=i) for i in range(2)])
    >>> decoder(np.ones((2, 5, 8), np.float32), np.ones((2, 7, 8), np.float32)).shape
    (2, 5, 8)
    """

    def forward(
        self,
        x: Array,
        memory: Array,
        mask: Array | None = None,
        memory_mask: Array | None = None,
        bias: Array | None = None,
        *,
        is_causal: bool = True,
        cache: list[Cache] | None = None,
    ) -> Any:
        """Map (batch, time, features) to the same shape; with a cache, return the output and the next cache."""
        masks = {"mask": mask, "memory_mask": memory_mask, "bias": bias}
        return self._through(x, cache, memory, is_causal=is_causal, **masks)
