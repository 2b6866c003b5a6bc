"""Word embeddings: words that stand in similar places get similar vectors.

Each word has two vectors, one as a word and one as a neighbor. Those of words that occur near each other are trained to
have a large product, and those of random pairs a small one. Of a text as short as one million letters the vectors
learn little more than which words can replace each other: names, verbs, times.

Source: T. Mikolov et al., "Distributed representations of words and phrases and their compositionality", NeurIPS 2013.
"""

import math
import re
from collections import Counter
from pathlib import Path

import numpy as np

import nnx
from options import load_text, option_parser
from plotting import BLUE, GREY, new_figure, save_figure
from reporting import Report


class SkipGram(nnx.Module):
    """Maps words (batch,) and candidates (batch, count) to logits: whether each is a neighbor of the word."""

    def __init__(self, words, features, rng):
        small = nnx.initializers.Normal(0.0, 1 / features)
        self.words = nnx.Embedding(words, features, initializer=small, rng=rng)
        self.neighbors = nnx.Embedding(words, features, initializer=small, rng=rng)

    def forward(self, words, candidates):
        """Return the products of the vectors."""
        return nnx.functional.einsum("bf,bcf->bc", self.words(words), self.neighbors(candidates))


def read(path, most):
    """Return the words of a text by frequency, and the text as numbers, without words that are rare."""
    found = re.findall(r"[a-z']+", load_text(path).lower())
    words = [word for word, _ in Counter(found).most_common(most)]
    number = {word: i for i, word in enumerate(words)}
    return words, np.asarray([number[word] for word in found if word in number])


def draw(tokens, shares, count, window, negatives, rng):
    """Return words, for each a neighbor and random others, and which is which."""
    at = rng.integers(window, len(tokens) - window, count)
    distance = rng.integers(1, window + 1, count) * rng.choice([-1, 1], count)
    others = rng.choice(len(shares), (count, negatives), p=shares)
    candidates = np.concatenate([tokens[at + distance][:, None], others], axis=1)
    is_neighbor = np.zeros(candidates.shape, "float32")
    is_neighbor[:, 0] = 1.0
    return tokens[at].astype("int32"), candidates.astype("int32"), is_neighbor


def train(model, tokens, shares, options):
    """Train with Adam on words that are drawn anew for each step; return the loss of each tenth of the steps."""
    every = max(1, options.steps // 10)  # an epoch of the trainer

    def batches(epoch):
        rng = np.random.default_rng((options.seed, epoch))
        for _ in range(every):
            yield draw(tokens, shares, options.batch_size, options.window, options.negatives, rng)

    stream = nnx.data.Stream(batches, length=every)
    loader = nnx.data.DataLoader(stream, batch_size=None, shuffle=False, to=options.backend)
    epochs = options.steps // every
    optimizer = nnx.Adam(model, nnx.schedules.Cosine(options.learning_rate, steps=epochs * every))
    report = Report("step {step:>5}: loss {loss:.4f}  ({seconds:.0f} s)")
    trainer = nnx.Trainer(model, nnx.BCEWithLogits(), optimizer, callbacks=[report])
    return trainer.fit(loader, epochs=epochs).column("loss")


def nearest(vectors, words, word, count=6):
    """Return the words whose vectors point most nearly in the direction of a word's."""
    similar = vectors @ vectors[words.index(word)]
    return [words[i] for i in np.argsort(-similar)[1 : count + 1]]


def plot(vectors, words, shown):
    """Return a figure of the words on the two directions in which their vectors differ most."""
    figure, axes = new_figure(8.0, 6.0)
    centered = vectors[:shown] - vectors[:shown].mean(axis=0)
    points = centered @ np.linalg.svd(centered, full_matrices=False)[2][:2].T
    axes.scatter(*points.T, s=4, color=GREY)
    for (x, y), word in zip(points, words, strict=False):
        axes.annotate(word, (x, y), fontsize=7, color=BLUE, ha="center", va="bottom")
    axes.set(title=f"The {shown} most frequent words, on the plane in which their vectors differ most")
    axes.set_xticks([])
    axes.set_yticks([])
    return figure


def main():
    parser = option_parser(__doc__, training=True)
    parser.add_argument("--text", type=Path, help="a file to learn from; default: the documentation of nnx")
    parser.add_argument("--words", type=int, default=3000, help="how many different words, the most frequent ones")
    parser.add_argument("--features", type=int, default=64)
    parser.add_argument("--window", type=int, default=3, help="how far away a neighbor may be")
    parser.add_argument("--negatives", type=int, default=8, help="random words for each neighbor")
    parser.add_argument("--batch-size", type=int, default=1024)
    parser.add_argument("--steps", type=int, default=6000)
    parser.add_argument("--learning-rate", type=float, default=3e-3)
    options = parser.parse_args()
    if options.quick:
        options.steps, options.words, options.batch_size = 20, 200, 64
    words, tokens = read(options.text, options.words)
    shares = np.bincount(tokens) ** 0.75  # frequent words less often than they occur, as in the source
    with nnx.use_backend(options.backend):
        model = SkipGram(len(words), options.features, np.random.default_rng(options.seed))
        print(f"{len(tokens):,} words, {len(words):,} different ones")
        history = train(model, tokens, shares / shares.sum(), options)
    vectors = nnx.to_numpy(model.words.weight)
    vectors = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    for word in [*(w for w in ("king", "day", "brother", "go", "array", "gradient") if w in words)][:4]:
        print(f"{word:>8}: {', '.join(nearest(vectors, words, word))}")
    print(f"loss from {history[0]:.4f} to {history[-1]:.4f}; of chance {math.log(2):.4f}")
    save_figure(plot(vectors, words, min(150, len(words))), options.out, "word_embeddings")


if __name__ == "__main__":
    main()
