"""Two models of characters: a causal transformer and an LSTM."""

from functools import partial

import numpy as np

import nnx
from benchmarks.contestants.floor import Product, linear_products
from benchmarks.contestants.usual import training
from benchmarks.workload import Makers, Rule, Target, Task, Workload

CHARACTERS = 65


def text(batch: int, context: int) -> dict[str, np.ndarray]:
    """Return pieces of a text, and the characters that follow each."""
    tokens, following = np.random.default_rng(0).integers(0, CHARACTERS, (2, batch, context))
    return {"x": tokens, "target": following}


class Transformer(nnx.Module):
    """Causal blocks that normalize first, between an embedding and a linear map."""

    def __init__(self, features: int, heads: int, blocks: int, context: int):
        rng = nnx.generator(0)
        self.embedding = nnx.Embedding(CHARACTERS, features, rng=rng)
        self.positions = nnx.Embedding(context, features, rng=rng)
        options = {"norm_first": True, "activation": nnx.GELU(), "rng": rng}
        self.blocks = nnx.ModuleList(nnx.TransformerEncoderBlock(features, heads, **options) for _ in range(blocks))
        self.norm = nnx.LayerNorm(features)
        self.output = nnx.Linear(features, CHARACTERS, rng=rng)

    def forward(self, tokens):
        """Map tokens (batch, time) to logits (batch, time, characters)."""
        x = self.embedding(tokens) + self.positions.weight
        for block in self.blocks:
            x = block(x, is_causal=True)
        return self.output(self.norm(x))


def transformer_of_torch(features: int, heads: int, blocks: int, context: int):
    """Return PyTorch's."""
    from torch import nn

    class TransformerOfTorch(nn.Module):
        def __init__(self):
            super().__init__()
            self.embedding = nn.Embedding(CHARACTERS, features)
            self.positions = nn.Embedding(context, features)
            options = {"activation": "gelu", "batch_first": True, "norm_first": True, "dropout": 0.0}
            self.blocks = nn.ModuleList(
                nn.TransformerEncoderLayer(features, heads, 4 * features, **options) for _ in range(blocks)
            )
            self.norm = nn.LayerNorm(features)
            self.output = nn.Linear(features, CHARACTERS)
            self.mask = nn.Transformer.generate_square_subsequent_mask(context)

        def forward(self, tokens):
            x = self.embedding(tokens) + self.positions.weight
            for block in self.blocks:
                x = block(x, src_mask=self.mask, is_causal=True)
            return self.output(self.norm(x))

    return TransformerOfTorch()


def transformer_of_jax(heads: int, blocks: int, weights, buffers, tokens):
    """Return JAX's logits."""
    import jax
    import jax.numpy as jnp

    def linear(path, x):
        return x @ weights[f"{path}.weight"] + weights[f"{path}.bias"]

    def norm(path, x):
        mean = jnp.mean(x, -1, keepdims=True)
        variance = jnp.var(x, -1, keepdims=True)
        return (x - mean) * jax.lax.rsqrt(variance + 1e-5) * weights[f"{path}.weight"] + weights[f"{path}.bias"]

    def attention(path, x):
        parts = (linear(f"{path}.{name}", x).reshape(*x.shape[:2], heads, -1) for name in ("query", "key", "value"))
        return linear(f"{path}.output", jax.nn.dot_product_attention(*parts, is_causal=True).reshape(x.shape))

    x = weights["embedding.weight"][tokens] + weights["positions.weight"]
    for number in range(blocks):
        path = f"blocks.{number}"
        x = x + attention(f"{path}.attention", norm(f"{path}.attention_norm", x))
        h = linear(f"{path}.feed_forward.expand", norm(f"{path}.feed_forward_norm", x))
        x = x + linear(f"{path}.feed_forward.contract", jax.nn.gelu(h, approximate=False))
    return linear("output", norm("norm", x)), buffers


def transformer(batch: int, context: int, features: int, heads: int, blocks: int) -> Makers:
    """Return the makers of a step of the transformer.

    The floor has half of the products of queries with keys and of weights with values: a causal mask lets the others
    be left out.
    """
    rows, width, pairs = batch * context, features // heads, batch * heads
    block = [
        *linear_products(rows, features, features, count=4),
        *(3 * [Product(context, width, context // 2, pairs), Product(context, context // 2, width, pairs)]),
        *linear_products(rows, features, 4 * features),
        *linear_products(rows, 4 * features, features),
    ]
    return training(
        Task(
            model=partial(Transformer, features, heads, blocks, context),
            of_torch=partial(transformer_of_torch, features, heads, blocks, context),
            of_jax=partial(transformer_of_jax, heads, blocks),
            **text(batch, context),
            rule=Rule("AdamW", 1e-4, {"weight_decay": 0.01}),
            products=(*(blocks * block), *linear_products(rows, features, CHARACTERS)),
        )
    )


class Recurrent(nnx.Module):
    """An LSTM between an embedding and a linear map."""

    def __init__(self, embedded: int, hidden: int):
        rng = nnx.generator(0)
        self.embedding = nnx.Embedding(CHARACTERS, embedded, rng=rng)
        self.lstm = nnx.LSTM(embedded, hidden, rng=rng)
        self.output = nnx.Linear(hidden, CHARACTERS, rng=rng)

    def forward(self, tokens):
        """Map tokens (batch, time) to logits (batch, time, characters)."""
        return self.output(self.lstm(self.embedding(tokens))[0])


def recurrent_of_torch(embedded: int, hidden: int):
    """Return PyTorch's."""
    from torch import nn

    class RecurrentOfTorch(nn.Module):
        def __init__(self):
            super().__init__()
            self.embedding = nn.Embedding(CHARACTERS, embedded)
            self.lstm = nn.LSTM(embedded, hidden, batch_first=True)
            self.output = nn.Linear(hidden, CHARACTERS)

        def forward(self, tokens):
            return self.output(self.lstm(self.embedding(tokens))[0])

    return RecurrentOfTorch()


def recurrent_of_jax(weights, buffers, tokens):
    """Return JAX's logits: the products with the input of all steps are one, and a scan runs over time."""
    import jax
    import jax.numpy as jnp

    of_state = weights["lstm.cells.0.recurrent_weight"]
    x = weights["embedding.weight"][tokens.T] @ weights["lstm.cells.0.weight"]
    x = x + weights["lstm.cells.0.bias"] + weights["lstm.cells.0.recurrent_bias"]

    def advance(state, row):
        hidden, cell = state
        i, f, g, o = jnp.split(row + hidden @ of_state, 4, axis=-1)
        cell = jax.nn.sigmoid(f) * cell + jax.nn.sigmoid(i) * jnp.tanh(g)
        hidden = jax.nn.sigmoid(o) * jnp.tanh(cell)
        return (hidden, cell), hidden

    zeros = jnp.zeros((tokens.shape[0], of_state.shape[0]), x.dtype)
    outputs = jax.lax.scan(advance, (zeros, zeros), x)[1].transpose(1, 0, 2)
    return outputs @ weights["output.weight"] + weights["output.bias"], buffers


def lstm(batch: int, context: int, embedded: int, hidden: int) -> Makers:
    """Return the makers of a step of the LSTM; only the recurrent products of the floor go step by step."""
    rows = batch * context
    products = [
        *linear_products(rows, embedded, 4 * hidden),
        Product(batch, hidden, 4 * hidden, context, 1),
        Product(hidden, rows, 4 * hidden, 1, 2),
        Product(batch, 4 * hidden, hidden, context, 1),
        *linear_products(rows, hidden, CHARACTERS),
    ]
    return training(
        Task(
            model=partial(Recurrent, embedded, hidden),
            of_torch=partial(recurrent_of_torch, embedded, hidden),
            of_jax=recurrent_of_jax,
            **text(batch, context),
            rule=Rule("Adam", 1e-4),
            products=tuple(products),
        )
    )


WORKLOADS = (
    Workload(
        "character transformer, 4 x 128, context 128, batch 16, AdamW",
        transformer,
        {"batch": 16, "context": 128, "features": 128, "heads": 4, "blocks": 4},
        {"batch": 2, "context": 4, "features": 8, "heads": 2, "blocks": 1},
        (Target("best", {"torch": 0.9, "jax": 1.0}),),
    ),
    Workload(
        "character LSTM, 256 units, context 64, batch 32, Adam",
        lstm,
        {"batch": 32, "context": 64, "embedded": 64, "hidden": 256},
        {"batch": 2, "context": 3, "embedded": 4, "hidden": 4},
        (Target("best", {"torch": 1.0, "jax": 0.8, "floor": 1.1}),),
    ),
)
