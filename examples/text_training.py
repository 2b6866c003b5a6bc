"""What the character models share: the text as numbers, the training loop, the sampling, and the plot."""

import argparse
import math
import time
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from matplotlib.figure import Figure

import nnx
from options import load_text
from plotting import BLUE, GREY, ORANGE, label, save_figure


class Text(NamedTuple):
    """A text as numbers: those to train on and, the last tenth, to validate on."""

    vocabulary: nnx.data.CharacterVocabulary
    training: Any
    validation: Any


def as_numbers(path: Path | None, quick: bool) -> Text:
    """Return a text with each character as a number."""
    text = load_text(path)[: 30_000 if quick else None]
    vocabulary = nnx.data.CharacterVocabulary.fit(text)
    tokens = vocabulary.encode(text)
    cut = len(tokens) * 9 // 10
    return Text(vocabulary, tokens[:cut], tokens[cut:])


def windows(tokens: Any, starts: Any, context: int) -> tuple[Any, Any]:
    """Return pieces of a text (batch, context), and the characters that follow each of theirs."""
    pieces, following = nnx.data.Windows(tokens, context)[starts]
    return nnx.backend.asarray(pieces), nnx.backend.asarray(following)


def objective(model: nnx.Module, tokens: Any, following: Any) -> Any:
    """Return the mean loss in nats a character; a model returns logits and a state."""
    logits, _ = model(tokens)
    return nnx.functional.cross_entropy(logits, following, axis=-1)


def train(model: nnx.Module, text: Text, options: argparse.Namespace) -> list[tuple[int, float, float]]:
    """Train with AdamW, a rate that rises and then falls along a cosine, and gradients of norm 1 at most."""
    optimizer = nnx.AdamW(model, options.learning_rate, betas=(0.9, 0.99), weight_decay=0.1, no_decay="*bias")
    differentiate = nnx.value_and_grad(objective)
    rng = np.random.default_rng(options.seed)
    steps, every = (20, 10) if options.quick else (options.steps, 100)
    start, recent, history = time.perf_counter(), [], []
    for step in range(1, steps + 1):
        starts = rng.integers(0, len(text.training) - options.context, options.batch_size)
        loss, gradients = differentiate(model, *windows(text.training, starts, options.context))
        warm_up, decay = min(1.0, 10 * step / steps), 0.55 + 0.45 * math.cos(math.pi * step / steps)
        optimizer.learning_rate = options.learning_rate * warm_up * decay
        optimizer.step(clipped(gradients, 1.0))
        recent.append(loss)
        if step % every == 0:
            mean = float(np.mean([float(value) for value in recent]))
            history.append((step, mean, validate(model, text, options)))
            recent = []
            seconds = time.perf_counter() - start
            print(
                f"step {step:>5}: loss {mean:.3f}, validation {history[-1][2]:.3f} nats a character ({seconds:.0f} s)"
            )
    return history


def clipped(gradients: dict[str, Any], most: float) -> dict[str, Any]:
    """Return gradients scaled down to a global norm of at most ``most``."""
    xp = nnx.namespace(*gradients.values())
    norm = xp.sqrt(sum(xp.sum(g * g) for g in gradients.values()))
    scale = xp.minimum(xp.ones_like(norm), most / (norm + 1e-6))
    return {path: scale * g for path, g in gradients.items()}


def validate(model: nnx.Module, text: Text, options: argparse.Namespace, most: int | None = 64) -> float:
    """Return the loss over windows from all parts of the validation text, or over all of it."""
    starts = np.arange(0, len(text.validation) - options.context - 1, options.context)
    starts = starts[:: 1 if most is None else max(1, len(starts) // most)]
    model.eval()
    losses = nnx.metrics.Mean()
    for first in range(0, len(starts), 32):
        batch = starts[first : first + 32]
        losses.update(objective(model, *windows(text.validation, batch, options.context)), len(batch))
    model.train()
    return float(losses.compute())


def sample(model: nnx.Module, text: Text, count: int, context: int, seed: int, temperature: float = 0.8) -> str:
    """Return what a model writes after a line break, each character drawn from its probabilities."""
    rng = np.random.default_rng(seed)
    model.eval()
    tokens = [max(text.vocabulary.characters.find("\n"), 0)]
    unread, state = tokens, model.empty_state(1)
    for _ in range(count):
        logits, state = model(nnx.backend.asarray(np.asarray([unread], "int32")), state)
        scores = nnx.to_numpy(logits)[0, -1].astype("float64") / temperature
        probabilities = np.exp(scores - scores.max())
        tokens.append(int(rng.choice(len(scores), p=probabilities / probabilities.sum())))
        unread = tokens[-1:]
        if len(tokens) % context == 0:  # as much as it was trained on: start again with the last half
            unread, state = tokens[-context // 2 :], model.empty_state(1)
    return text.vocabulary.decode(tokens[1:])


def run(model: nnx.Module, text: Text, options: argparse.Namespace, name: str) -> None:
    """Train a model, print its validation loss and a sample, and save the plot."""
    count = sum(math.prod(w.shape) for w in model.parameters().values())
    print(f"{count:,} parameters, {len(text.training):,} characters to train, {len(text.validation):,} to validate")
    start = time.perf_counter()
    history = train(model, text, options)
    minutes = (time.perf_counter() - start) / 60
    final = validate(model, text, options, most=None)
    written = sample(model, text, 100 if options.quick else 500, options.context, options.seed)
    print(f"validation loss {final:.3f} nats a character, after {minutes:.1f} minutes\n\n{written}")
    save_figure(plot(history, final, written), options.out, name)


def plot(history: list[tuple[int, float, float]], final: float, written: str) -> Any:
    """Return a figure of the losses, and of what the model writes."""
    figure = Figure((9.6, 4.6))
    left, right = figure.subplots(1, 2, width_ratios=(1.1, 1))
    steps, training, validation = zip(*history, strict=True)
    left.plot(steps, training, color=ORANGE, label="training")
    left.plot(steps, validation, color=BLUE, label="validation")
    label(left, steps[-1], validation[-1], f"{final:.2f}", BLUE)
    left.legend()
    left.set(title="Loss, nats a character", xlabel="step")
    right.set_axis_off()
    right.set_title("What it writes")
    lines = [line[:46] for line in written.split("\n")][:24]
    right.text(0, 0.98, "\n".join(lines).replace("$", r"\$"), family="monospace", fontsize=8, va="top", color=GREY)
    return figure
