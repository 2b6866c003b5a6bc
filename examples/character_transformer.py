"""A transformer that writes a text, character by character.

Each of its blocks lets a character look at those before it, and then computes on what was found. It learns from pieces
of 128 characters which character comes next, and writes by drawing one character after the other.

Source: A. Vaswani et al., "Attention is all you need", NeurIPS 2017; the normalization comes first, as in A. Radford et
al., "Language models are unsupervised multitask learners", 2019, and positions are rotary, after J. Su et al.,
"RoFormer", 2021.
"""

from pathlib import Path

import numpy as np

import nnx
from options import option_parser
from text_training import as_numbers, run


class CharacterTransformer(nnx.Module):
    """Maps characters (batch, time) to logits (batch, time, characters), and to a state where one comes in."""

    def __init__(self, characters, width, layers, heads, rng):
        small = nnx.initializers.Normal(0.0, 0.02)
        self.embedding = nnx.Embedding(characters, width, initializer=small, rng=rng)
        self.blocks = nnx.ModuleList(
            nnx.TransformerEncoderBlock(
                width, heads, norm_first=True, activation=nnx.GELU(), rotary=10000.0, initializer=small, rng=rng
            )
            for _ in range(layers)
        )
        self.norm = nnx.LayerNorm(width)
        self.output = nnx.Linear(width, characters, bias=False, initializer=small, rng=rng)

    def forward(self, tokens, state=None):
        """Return the logits of the next characters, and the keys and values of all characters so far."""
        x, after = self.embedding(tokens), []
        for i, block in enumerate(self.blocks):
            if state is None:
                x = block(x, is_causal=True)
            else:
                x, cache = block(x, is_causal=True, cache=state[i])
                after.append(cache)
        return self.output(self.norm(x)), after

    def empty_state(self, batch):
        """Return the state before the first character."""
        return [block.empty_cache(batch) for block in self.blocks]


def main():
    parser = option_parser(__doc__, training=True)
    parser.add_argument("--text", type=Path, help="a file to learn from; default: the documentation of nnx")
    parser.add_argument("--context", type=int, default=128)
    parser.add_argument("--width", type=int, default=128)
    parser.add_argument("--layers", type=int, default=4)
    parser.add_argument("--batch-size", type=int, default=32)
    parser.add_argument("--steps", type=int, default=1500)
    parser.add_argument("--learning-rate", type=float, default=3e-3)
    options = parser.parse_args()
    if options.quick:
        options.width, options.layers, options.context = 32, 2, 32
    with nnx.use_backend(options.backend):
        text = as_numbers(options.text, options.quick)
        rng = np.random.default_rng(options.seed)
        model = CharacterTransformer(len(text.vocabulary), options.width, options.layers, heads=4, rng=rng)
        run(model, text, options, "character_transformer")


if __name__ == "__main__":
    main()
