"""The blocks that transformers are made of: attention and a small network, each with a residual and a normalization."""

from typing import Any

from nnx.backend import generator
from nnx.errors import ArgumentError
from nnx.functional.checks import as_integer, expect_choice
from nnx.initializers import Initializer
from nnx.layers.attention import Cache, MultiHeadAttention
from nnx.layers.gates import GLU, SwiGLU
from nnx.layers.linear import Linear
from nnx.layers.module import Module
from nnx.layers.normalization import LayerNorm, RMSNorm
from nnx.layers.rectifiers import ReLU
from nnx.layers.regularization import Dropout
from nnx.types import Array, DType


class FeedForward(Module):
    r"""Two linear maps with an activation between them: :math:`y = W_2^T a(W_1^T x + b_1) + b_2`.

    Parameters
    ----------
    features : int
        Of input and output.
    hidden : int, optional
        The number of features in between; default four times as many. A gate, such as :class:`SwiGLU`, takes twice
        this number.
    activation : Module, optional
        :math:`a`; default :class:`ReLU`.
    dropout : float
        The probability that an output of the activation is dropped, in training.
    bias : bool
        Whether the linear maps have biases.
    initializer, rng, dtype
        As those of :class:`Linear`.

    Raises
    ------
    ShapeError, DTypeError
        On a call, as :class:`Linear`.
    ArgumentError
        If a size is less than 1, the dropout is no probability, or the activation is not a module.

    Notes
    -----
    Source: A. Vaswani et al., "Attention is all you need", NeurIPS 2017; N. Shazeer, "GLU variants improve
    transformer", 2020, for gates.

    Examples
    --------
    >>> import numpy as np, nnx
    >>> layer = nnx.FeedForward(4, 8, activation=nnx.SwiGLU(), bias=False, rng=0)
    >>> layer(np.ones((2, 3, 4), np.float32)).shape, layer.expand.weight.shape
    ((2, 3, 4), (4, 16))
    """

    def __init__(
        self,
        features: int,
        hidden: int | None = None,
        *,
        activation: Module | None = None,
        dropout: float = 0.0,
        bias: bool = True,
        initializer: Initializer | None = None,
        rng: Any = None,
        dtype: DType | str = "float32",
    ) -> None:
        if activation is not None and not isinstance(activation, Module):
            raise ArgumentError(f"expected activation to be a module, such as nnx.GELU(), got {activation!r}")
        self.hidden = as_integer(4 * features if hidden is None else hidden, "hidden", 1)
        self.activation = ReLU() if activation is None else activation
        width = 2 * self.hidden if isinstance(self.activation, (GLU, SwiGLU)) else self.hidden
        options: Any = {"initializer": initializer, "rng": generator(rng), "dtype": dtype}
        self.expand = Linear(features, width, bias, **options)
        self.drop = Dropout(dropout, rng=options["rng"])
        self.contract = Linear(self.hidden, features, bias, **options)

    def forward(self, x: Array) -> Array:
        """Map (..., features) to the same shape."""
        return self.contract(self.drop(self.activation(self.expand(x))))


class _Block(Module):
    """What the blocks share: self-attention, a feed-forward network, and how a part is added to its input."""

    _has_memory = False

    def __init__(
        self,
        features: int,
        heads: int,
        hidden: int | None = None,
        *,
        kv_heads: int | None = None,
        activation: Module | None = None,
        norm: str = "layer",
        norm_first: bool = False,
        eps: float | None = None,
        dropout: float = 0.0,
        bias: bool = True,
        rotary: float | None = None,
        initializer: Initializer | None = None,
        rng: Any = None,
        dtype: DType | str = "float32",
    ) -> None:
        expect_choice(norm, ("layer", "rms"), "norm")
        self.norm_first = bool(norm_first)
        options: Any = {"dropout": dropout, "bias": bias, "initializer": initializer, "rng": generator(rng)}
        options["dtype"] = dtype
        self.attention = MultiHeadAttention(features, heads, kv_heads=kv_heads, rotary=rotary, **options)
        if self._has_memory:
            self.cross_attention = MultiHeadAttention(features, heads, kv_heads=kv_heads, **options)
        self.feed_forward = FeedForward(features, hidden, activation=activation, **options)
        self.drop = Dropout(dropout, rng=options["rng"])

        def make_norm() -> Module:
            if norm == "rms":
                return RMSNorm(features, eps=1e-6 if eps is None else eps, dtype=dtype)
            return LayerNorm(features, eps=1e-5 if eps is None else eps, bias=bias, dtype=dtype)

        self.attention_norm = make_norm()
        if self._has_memory:
            self.cross_attention_norm = make_norm()
        self.feed_forward_norm = make_norm()

    def empty_cache(self, batch: int) -> Cache:
        """Return the cache before the first step; see :meth:`MultiHeadAttention.empty_cache`."""
        return self.attention.empty_cache(batch)

    def _attend_to_itself(
        self, x: Array, mask: Array | None, bias: Array | None, is_causal: bool, cache: Cache | None
    ) -> tuple[Array, Cache | None]:
        h = self._before(self.attention_norm, x)
        h = self.attention(h, mask=mask, bias=bias, is_causal=is_causal, cache=cache)
        h, after = (h, None) if cache is None else h
        return self._after(self.attention_norm, x, h), after

    def _feed_forward(self, x: Array) -> Array:
        h = self.feed_forward(self._before(self.feed_forward_norm, x))
        return self._after(self.feed_forward_norm, x, h)

    def _before(self, norm: Module, x: Array) -> Array:
        """Return what a part is called on."""
        return norm(x) if self.norm_first else x

    def _after(self, norm: Module, x: Array, y: Array) -> Array:
        """Add what a part returned to the input."""
        x = x + self.drop(y)
        return x if self.norm_first else norm(x)


class TransformerEncoderBlock(_Block):
    r"""Self-attention and a feed-forward network, each added to its input and normalized.

    With ``norm_first`` it is :math:`x \leftarrow x + f(\mathrm{norm}(x))` for both parts :math:`f`, else
    :math:`x \leftarrow \mathrm{norm}(x + f(x))` as in the original. With ``is_causal=True`` it is the block of models
    that have a decoder only, such as GPT.

    Parameters
    ----------
    features : int
        Of input and output.
    heads : int
        Of the attention; they divide the features.
    hidden : int, optional
        Features inside of the feed-forward network; default four times as many.
    kv_heads : int, optional
        Heads of keys and values; see :class:`MultiHeadAttention`.
    activation : Module, optional
        That of the feed-forward network, such as ``nnx.GELU()`` or ``nnx.SwiGLU()``; default :class:`ReLU`.
    norm : {"layer", "rms"}
        Whether to normalize by :class:`LayerNorm` or :class:`RMSNorm`.
    norm_first : bool
        Whether the parts are called on the normalized input; default no, as in PyTorch. Deep models train better so.
    eps : float, optional
        Of the normalization; default that of its layer.
    dropout : float
        The probability that a weight of the attention, a hidden feature or an output of a part is dropped, in training.
    bias : bool
        Whether linear maps and LayerNorm have biases.
    rotary : float, optional
        The base of rotary positions; default none.
    initializer, rng, dtype
        As those of the parts, :class:`MultiHeadAttention` and :class:`FeedForward`.

    Raises
    ------
    ShapeError, DTypeError
        On a call, as the parts.
    ArgumentError
        If a size is less than 1, heads do not divide what they should, the dropout is no probability, or ``norm`` is
        another word.

    Notes
    -----
    Called as ``block(x, mask=None, bias=None, is_causal=False, cache=None)`` on x of shape (batch, time, features); the
    arguments are those of :class:`MultiHeadAttention`, True in the mask is where a query may attend, and with a cache
    it returns a pair of output and next cache.

    Sources: A. Vaswani et al., "Attention is all you need", NeurIPS 2017; R. Xiong et al., "On layer normalization in
    the transformer architecture", ICML 2020, for ``norm_first``.

    Examples
    --------
    >>> import numpy as np, nnx
    >>> block = nnx.TransformerEncoderBlock(8, 2, activation=nnx.GELU(), norm_first=True, rng=0)
    >>> block(np.ones((2, 5, 8), np.float32), is_causal=True).shape
    (2, 5, 8)
    """

    def forward(
        self,
        x: Array,
        mask: Array | None = None,
        bias: Array | None = None,
        *,
        is_causal: bool = False,
        cache: Cache | None = None,
    ) -> Any:
        """Map (batch, time, features) to the same shape; with a cache, return the output and the next cache."""
        x, after = self._attend_to_itself(x, mask, bias, is_causal, cache)
        x = self._feed_forward(x)
        return x if cache is None else (x, after)


class TransformerDecoderBlock(_Block):
    r"""Self-attention, attention to a memory, and a feed-forward network, each added to its input and normalized.

    Parameters
    ----------
    features, heads, hidden, kv_heads, activation, norm, norm_first, eps, dropout, bias, rotary, initializer, rng, dtype
        As those of :class:`TransformerEncoderBlock`. Rotary positions are those of the self-attention.

    Raises
    ------
    ShapeError, DTypeError
        On a call, as the parts.
    ArgumentError
        As in :class:`TransformerEncoderBlock`.

    Notes
    -----
    Called as ``block(x, memory, mask=None, memory_mask=None, bias=None, is_causal=True, cache=None)`` on x of shape
    (batch, time, features) and the memory (batch, memory time, features), the output of an encoder. It is causal unless
    told otherwise, unlike PyTorch's. In the masks, which broadcast to (batch, heads, time, time) and
    (batch, heads, time, memory time), True is where a query may attend. With a cache, which is that of the
    self-attention, it returns a pair of output and next cache.

    Source: A. Vaswani et al., "Attention is all you need", NeurIPS 2017.

    Examples
    --------
    >>> import numpy as np, nnx
    >>> block = nnx.TransformerDecoderBlock(8, 2, rng=0)
    >>> block(np.ones((2, 5, 8), np.float32), np.ones((2, 7, 8), np.float32)).shape
    (2, 5, 8)
    """

    _has_memory = True

    def forward(
        self,
        x: Array,
        memory: Array,
        mask: Array | None = None,
        memory_mask: Array | None = None,
        bias: Array | None = None,
        *,
        is_causal: bool = True,
        cache: Cache | None = None,
    ) -> Any:
        """Map (batch, time, features) to the same shape; with a cache, return the output and the next cache."""
        x, after = self._attend_to_itself(x, mask, bias, is_causal, cache)
        h = self.cross_attention(self._before(self.cross_attention_norm, x), memory, mask=memory_mask)
        x = self._after(self.cross_attention_norm, x, h)
        x = self._feed_forward(x)
        return x if cache is None else (x, after)
