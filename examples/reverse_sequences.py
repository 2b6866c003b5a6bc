"""Sequence to sequence with attention: letters in, the same letters out in reverse order.

A bidirectional GRU reads the word, another GRU writes, and at each step attention looks up the letter that comes next.
Words have different lengths: a mask says which letters are padding. No word that it is tested on was in training.

Source: D. Bahdanau et al., "Neural machine translation by jointly learning to align and translate", ICLR 2015; the
attention is a product of queries and keys, after M.-T. Luong et al., EMNLP 2015.
"""

import math
import time

import numpy as np

import nnx
from options import option_parser
from plotting import BLUE, GREY, new_figure, save_figure

LETTERS = "abcdefghijklmnopqrstuvwxyz"
PADDING, START, END = 0, 1, 2  # the letters follow


class Reverser(nnx.Module):
    """Maps words (batch, time) and the letters written so far (batch, steps) to logits (batch, steps, tokens)."""

    def __init__(self, width, rng):
        tokens = 3 + len(LETTERS)
        self.embedding = nnx.Embedding(tokens, width, padding_index=PADDING, rng=rng)
        self.reader = nnx.GRU(width, width // 2, bidirectional=True, rng=rng)
        self.writer = nnx.GRU(width, width, rng=rng)
        self.query, self.key = (nnx.Linear(width, width, bias=False, rng=rng) for _ in range(2))
        self.output = nnx.Linear(2 * width, tokens, rng=rng)

    def forward(self, words, written):
        """Return the logits of the token that follows each of those written."""
        memory, written, mask = self._read(words, written)
        queries, keys = self.query(written), self.key(memory)
        found = nnx.functional.attention(queries, keys, memory, mask[:, None, :])
        return self.output(nnx.namespace(found).concat([written, found], axis=-1))

    def _read(self, words, written):
        mask = words != PADDING
        memory, _ = self.reader(self.embedding(words), mask=mask)
        return memory, self.writer(self.embedding(written))[0], mask

    def weights(self, words, written):
        """Return how much each step looks at each letter, (batch, steps, time)."""
        memory, written, mask = self._read(words, written)
        xp = nnx.namespace(memory)
        scores = self.query(written) @ xp.matrix_transpose(self.key(memory)) / math.sqrt(memory.shape[-1])
        return nnx.functional.softmax(xp.where(mask[:, None, :], scores, -math.inf))


def draw_words(rng, count, longest):
    """Return words (count, longest) as numbers, filled up with padding, and their reverses with START and END."""
    lengths = rng.integers(3, longest + 1, count)
    words, reverses = np.zeros((count, longest), "int32"), np.zeros((count, longest + 2), "int32")
    for word, reverse, length in zip(words, reverses, lengths, strict=True):
        word[:length] = rng.integers(3, 3 + len(LETTERS), length)
        reverse[: length + 2] = [START, *word[:length][::-1], END]
    return words, reverses


def write(model, words, steps):
    """Return what a model writes for words, one letter after the other, the most probable one each time."""
    xp = nnx.namespace(words)
    written = xp.full((words.shape[0], 1), START, dtype=words.dtype)
    for _ in range(steps):
        following = xp.argmax(model(words, written)[:, -1, :], axis=-1)
        written = xp.concat([written, xp.astype(following, words.dtype)[:, None]], axis=1)
    return written


def share_right(model, words, reverses):
    """Return the share of words whose reverse is written without a mistake, up to its END."""
    expected = nnx.to_numpy(reverses)
    written = nnx.to_numpy(write(model, words, expected.shape[1] - 1))
    return float(np.mean(np.all((written == expected) | (expected == PADDING), axis=1)))


def train(model, longest, steps, batch_size, learning_rate, seed):
    """Train on new words in each step; return (step, loss, share of the held-out words that are right)."""
    rng, held_out = np.random.default_rng(seed), draw_words(np.random.default_rng(seed + 1), 1000, longest)
    unseen = {word.tobytes() for word in held_out[0]}
    held_out = [nnx.backend.asarray(part) for part in held_out]
    optimizer, start, recent, history = nnx.Adam(model, learning_rate), time.perf_counter(), [], []

    def objective(model, batch):
        words, reverses = batch
        logits = model(words, reverses[:, :-1])
        return nnx.functional.cross_entropy(logits, reverses[:, 1:], axis=-1, ignore_index=PADDING), None

    step = nnx.training.make_step(objective, optimizer)
    for number in range(1, steps + 1):
        words, reverses = draw_words(rng, batch_size, longest)
        new = [word.tobytes() not in unseen for word in words]
        optimizer.learning_rate = learning_rate * 0.5 * (1 + math.cos(math.pi * number / steps))
        recent.append(step(model, tuple(nnx.backend.asarray(part[new]) for part in (words, reverses)))[0])
        if number % max(1, steps // 10) == 0:
            history.append((number, float(np.mean([float(x) for x in recent])), share_right(model.eval(), *held_out)))
            model.train()
            recent = []
            print(
                "step {:>5}: loss {:.4f}, {:.1%} of the held-out words are right  ({:.0f} s)".format(
                    *history[-1], time.perf_counter() - start
                )
            )
    return history


def plot(history, weights, word):
    """Return a figure: the share of right words by step, and where the steps of one word look."""
    figure, (left, right) = new_figure(9.0, 4.2, columns=2)
    left.plot([row[0] for row in history], [100 * row[2] for row in history], color=BLUE, marker="o", markersize=4)
    left.axhline(99, color=GREY, linestyle="--", linewidth=1)
    left.set(title="Held-out words without a mistake, percent", xlabel="step", ylim=(0, 101))
    right.imshow(weights, cmap="Blues", vmin=0, vmax=1)
    right.grid(visible=False)
    right.set_xticks(range(len(word)), word)
    right.set_yticks(range(len(word)), word[::-1])
    right.set(title="Where it looks, for each letter that it writes", xlabel="read", ylabel="written")
    return figure


def main():
    parser = option_parser(__doc__, training=True)
    parser.add_argument("--steps", type=int, default=3000)
    parser.add_argument("--longest", type=int, default=12, help="letters of the longest word")
    parser.add_argument("--width", type=int, default=64)
    parser.add_argument("--batch-size", type=int, default=64)
    parser.add_argument("--learning-rate", type=float, default=5e-3)
    options = parser.parse_args()
    if options.quick:
        options.steps, options.longest, options.width = 20, 4, 16
    with nnx.use_backend(options.backend):
        model = Reverser(options.width, np.random.default_rng(options.seed))
        arguments = (options.longest, options.steps, options.batch_size, options.learning_rate, options.seed)
        history = train(model, *arguments)
        word = "backpropagation"[: options.longest]
        tokens = nnx.backend.asarray(np.asarray([[3 + LETTERS.index(letter) for letter in word]], "int32"))
        written = write(model.eval(), tokens, len(word))
        weights = nnx.to_numpy(model.weights(tokens, written[:, :-1]))[0]
    print(f"{word} -> " + "".join(LETTERS[k - 3] if k > END else "?" for k in nnx.to_numpy(written)[0, 1:].tolist()))
    print(f"{history[-1][2]:.1%} of 1,000 held-out words are right")
    save_figure(plot(history, weights, word), options.out, "reverse_sequences")


if __name__ == "__main__":
    main()
