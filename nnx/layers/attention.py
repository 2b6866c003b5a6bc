"""Attention with several heads, as a layer."""

from typing import Any

from nnx import functional
from nnx.backend import device_of, generator, namespace
from nnx.errors import ArgumentError, ShapeError, UsageError
from nnx.functional.checks import as_integer, as_probability, counted, expect_shape
from nnx.initializers import Initializer, XavierNormal
from nnx.layers.drawing import Drawing
from nnx.layers.linear import Linear
from nnx.layers.module import Module
from nnx.types import Array, DType

Cache = dict[str, Array]
"""The keys and values of the steps so far, each of shape (batch, kv_heads, time, features / heads)."""


class MultiHeadAttention(Module):
    r"""Attention with several heads: :math:`y = \mathrm{concat}_h(\mathrm{attention}(Q_h, K_h, V_h))\,W_o + b_o`.

    Queries :math:`Q`, keys :math:`K` and values :math:`V` are linear maps of the inputs, cut into heads along the
    features; a head is :func:`nnx.functional.attention`.

    Parameters
    ----------
    features : int
        Of the query and of the output.
    heads : int
        Their number, which divides the features.
    kv_heads : int, optional
        The number of heads of keys and values, which divides ``heads``: grouped queries. Default as many.
    key_features, value_features : int, optional
        Features of the inputs that keys and values are made of; default ``features``.
    bias : bool
        Whether the four linear maps have biases.
    dropout : float
        The probability that a weight of the attention is dropped, in training.
    rotary : float, optional
        The base of rotary positions, such as 10000.0, for queries and keys; default none.
    initializer : Initializer, optional
        Draws the initial weights; default :class:`nnx.initializers.XavierNormal`. The initial biases are zero.
    rng : int or NumPy Generator, optional
        Source of the initial weights, and of the seed of the dropout; by default the system's entropy. Pass one
        generator to all layers.
    dtype : dtype or str
        Of the parameters; default float32.

    Attributes
    ----------
    query, key, value, output : Linear
        ``query`` maps features to features, ``key`` and ``value`` map theirs to kv_heads * features / heads.

    Raises
    ------
    ShapeError
        On a call, if an input is not of shape (..., time, features), or they or the mask do not fit together.
    DTypeError
        On a call, if the dtypes differ from that of the weights, or the mask is not boolean.
    ArgumentError
        If a size is less than 1, heads do not divide what they should, or the dropout is no probability.

    Notes
    -----
    Called as ``attention(query, key=None, value=None, mask=None, bias=None, is_causal=False, cache=None)``, batch
    first: the query is (batch, time, features), or without a batch axis. Without a key it attends to itself, without a
    value to the key. Mask, bias and ``is_causal`` are those of :func:`nnx.functional.attention`: True is where a query
    may attend. So a mask of the keys that are no padding, (batch, key time), is passed as ``mask[:, None, None, :]``.

    To generate a sequence, call it with ``cache=attention.empty_cache(batch)`` on the first steps, with
    ``is_causal=True`` if they are several. It then returns a pair: the output, and the cache for the next call, which
    takes the next steps alone. The cache that was passed in does not change, and the layer remembers nothing. All calls
    together give what one call with ``is_causal=True`` gives on the whole sequence. Each copies the cache.

    Sources: A. Vaswani et al., "Attention is all you need", NeurIPS 2017; J. Ainslie et al., "GQA: training
    generalized multi-query transformer models", EMNLP 2023; X. Glorot and Y. Bengio, "Understanding the difficulty of
    training deep feedforward neural networks", AISTATS 2010, for the initial weights.

    Examples
    --------
    >>> import numpy as np, nnx
    >>> attention = nnx.MultiHeadAttention(8, 4, kv_heads=2, rotary=10000.0, rng=0).eval()
    >>> x = np.random.default_rng(0).normal(size=(3, 5, 8)).astype("float32")
    >>> y = attention(x, is_causal=True)
    >>> y.shape
    (3, 5, 8)

    Step by step:

    >>> cache, steps = attention.empty_cache(3), []
    >>> for t in range(5):
    ...     step, cache = attention(x[:, t : t + 1], is_causal=True, cache=cache)
    ...     steps.append(step)
    >>> bool(np.abs(np.concatenate(steps, axis=1) - y).max() < 1e-5)
    True
    """

    def __init__(
        self,
        features: int,
        heads: int,
        *,
        kv_heads: int | None = None,
        key_features: int | None = None,
        value_features: int | None = None,
        bias: bool = True,
        dropout: float = 0.0,
        rotary: float | None = None,
        initializer: Initializer | None = None,
        rng: Any = None,
        dtype: DType | str = "float32",
    ) -> None:
        self.features, self.heads = as_integer(features, "features", 1), as_integer(heads, "heads", 1)
        self.kv_heads = heads if kv_heads is None else as_integer(kv_heads, "kv_heads", 1)
        self.key_features = features if key_features is None else key_features
        self.value_features = features if value_features is None else value_features
        self.bias, self.dropout, self.rotary = bool(bias), as_probability(dropout, "dropout"), rotary
        if features % heads or heads % self.kv_heads:
            raise ArgumentError(
                "expected heads that divide the features, and kv_heads that divide the heads, got "
                f"{counted(features, 'feature')}, {counted(heads, 'head')} and {self.kv_heads} kv_heads"
            )
        if rotary is not None and features // heads % 2:
            raise ArgumentError(
                f"expected an even number of features a head for rotary positions, got {features // heads}"
            )
        rng, width = generator(rng), features // heads * self.kv_heads
        options: Any = {"initializer": initializer or XavierNormal(), "rng": rng, "dtype": dtype}
        self.query = Linear(features, features, bias, **options)
        self.key = Linear(self.key_features, width, bias, **options)
        self.value = Linear(self.value_features, width, bias, **options)
        self.output = Linear(features, features, bias, **options)
        self.drawing = Drawing(rng=rng) if dropout else None

    def forward(
        self,
        query: Array,
        key: Array | None = None,
        value: Array | None = None,
        mask: Array | None = None,
        bias: Array | None = None,
        *,
        is_causal: bool = False,
        cache: Cache | None = None,
    ) -> Any:
        """Map (batch, query time, features) to the same shape; with a cache, return the output and the next cache."""
        if cache is not None:
            self._expect_cache(cache, query, key is None and value is None)
        key = query if key is None else key
        value = key if value is None else value
        queries = self._heads(self.query(query), self.heads)
        keys, values = self._heads(self.key(key), self.kv_heads), self._heads(self.value(value), self.kv_heads)
        if self.rotary is not None:
            past = 0 if cache is None else cache["key"].shape[-2]
            queries, keys = (functional.rotary(x, offset=past, base=self.rotary) for x in (queries, keys))
        if cache is not None:
            xp = namespace(keys, cache["key"])
            keys, values = (xp.concat(p, axis=-2) for p in ((cache["key"], keys), (cache["value"], values)))
        options: Any = {}
        if self.training and self.dropout:
            if self.drawing is None:
                raise UsageError(f"expected dropout 0, as the layer was made, got {self.dropout}; make it with dropout")
            options = {"dropout": self.dropout, **self.drawing.next_draw("attention", queries)}
        y = functional.attention(queries, keys, values, mask, bias, is_causal=is_causal, **options)
        xp = namespace(y)
        y = self.output(xp.reshape(_swapped(xp, y), (*query.shape[:-1], self.features)))
        return y if cache is None else (y, {"key": keys, "value": values})

    def empty_cache(self, batch: int) -> Cache:
        """Return the cache before the first step, of the library, device and dtype of the weights."""
        like: Any = self.key.weight
        shape = (as_integer(batch, "batch", 1), self.kv_heads, 0, self.features // self.heads)
        empty = namespace(like).zeros(shape, dtype=like.dtype, device=device_of(like))
        return {"key": empty, "value": empty}

    def _expect_cache(self, cache: Any, query: Array, is_own: bool) -> None:
        if not is_own:
            raise ArgumentError("expected no key and no value with a cache, which is for self-attention")
        if not isinstance(cache, dict) or cache.keys() != {"key", "value"}:
            raise ArgumentError(f"expected a cache with key and value, as of empty_cache, got a {type(cache).__name__}")
        for name, array in cache.items():
            past = array.shape[-2] if array.ndim > 1 else 0
            shape = (*query.shape[:-2], self.kv_heads, past, self.features // self.heads)
            expect_shape(array, shape, f"{name} of the cache", "as the query")

    def _heads(self, x: Array, heads: int) -> Array:
        """Cut (..., time, features) into (..., heads, time, features / heads)."""
        if x.ndim < 2:
            raise ShapeError(f"expected input of shape (batch, time, features), got {tuple(x.shape)}")
        xp = namespace(x)
        return _swapped(xp, xp.reshape(x, (*x.shape[:-1], heads, self.features // self.heads)))


def _swapped(xp: Any, x: Array) -> Array:
    """Swap heads and time."""
    axes = tuple(range(x.ndim))
    return xp.permute_dims(x, (*axes[:-3], axes[-2], axes[-3], axes[-1]))
