"""A recurrent network that writes a text, character by character.

An LSTM reads one character after the other and keeps what matters in its state; a linear layer tells from the state
which character comes next. It learns from pieces of 128 characters, and writes by drawing one after the other.

Source: S. Hochreiter and J. Schmidhuber, "Long short-term memory", Neural Computation, 1997.
"""

from pathlib import Path

import numpy as np

import nnx
from options import option_parser
from text_training import as_numbers, run


class CharacterLSTM(nnx.Module):
    """Maps characters (batch, time) to logits (batch, time, characters), and a state to the state after them."""

    def __init__(self, characters, width, rng):
        self.embedding = nnx.Embedding(characters, 64, rng=rng)
        self.lstm = nnx.LSTM(64, width, forget_bias=1.0, rng=rng)
        self.output = nnx.Linear(width, characters, rng=rng)

    def forward(self, tokens, state=None):
        """Return the logits of the next characters, and the state after the last one."""
        hidden, state = self.lstm(self.embedding(tokens), state)
        return self.output(hidden), state

    def empty_state(self, batch):
        """Return the state before the first character."""
        return None


def main():
    parser = option_parser(__doc__, training=True)
    parser.add_argument("--text", type=Path, help="a file to learn from; default: the documentation of nnx")
    parser.add_argument("--context", type=int, default=128)
    parser.add_argument("--width", type=int, default=256)
    parser.add_argument("--batch-size", type=int, default=64)
    parser.add_argument("--steps", type=int, default=1200)
    parser.add_argument("--learning-rate", type=float, default=5e-3)
    options = parser.parse_args()
    if options.quick:
        options.width, options.context = 32, 32
    with nnx.use_backend(options.backend):
        text = as_numbers(options.text, options.quick)
        model = CharacterLSTM(len(text.vocabulary), options.width, np.random.default_rng(options.seed))
        run(model, text, options, "character_lstm")


if __name__ == "__main__":
    main()
