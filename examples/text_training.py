"""What the character models share: the text as numbers, the training, the sampling, and the plot."""

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
from reporting import Report

LINE = "step {step:>5}: loss {loss:.3f}, validation {validation_loss:.3f} nats a character ({seconds:.0f} s)"


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


def objective(model: nnx.Module, batch: tuple[Any, Any]) -> tuple[Any, Any]:
    """Return the mean loss in nats a character, and the logits; a model returns logits and a state."""
    tokens, following = batch
    logits, _ = model(tokens)
    return nnx.functional.cross_entropy(logits, following, axis=-1), logits


def train(model: nnx.Module, text: Text, options: argparse.Namespace) -> tuple[nnx.training.History, float]:
    """Train with AdamW, a rate that rises and then falls along a cosine, and gradients of norm 1 at most.

    An epoch is 100 batches of random windows. It is validated on windows from all parts of the validation text; the
    loss that is returned is that of all of it.
    """
    every = 10 if options.quick else min(100, options.steps)
    epochs = 2 if options.quick else options.steps // every
    windows = nnx.data.Windows(text.training, options.context)

    def at_random(seed: int, epoch: int) -> Any:
        return np.random.default_rng((seed, epoch)).integers(0, len(windows), every * options.batch_size)

    loader = nnx.data.DataLoader(windows, options.batch_size, seed=options.seed, sampler=at_random, to=options.backend)
    whole = nnx.data.Windows(text.validation, options.context, step=options.context)
    part = nnx.data.Subset(whole, range(0, len(whole), max(1, len(whole) // 64)))
    whole, part = (nnx.data.DataLoader(source, 32, shuffle=False, to=options.backend) for source in (whole, part))

    rising = epochs * every // 10
    falling = nnx.schedules.Cosine(options.learning_rate, 9 * rising, end=0.1 * options.learning_rate)
    rate = nnx.schedules.WarmUp(falling, rising)
    optimizer = nnx.AdamW(model, rate, betas=(0.9, 0.99), weight_decay=0.1, no_decay="*bias")
    callbacks = [nnx.callbacks.ClipGradients(norm=1.0), Report(LINE)]
    trainer = nnx.Trainer(model, objective, optimizer, callbacks=callbacks)
    history = trainer.fit(loader, validation=part, epochs=epochs)
    return history, trainer.evaluate(whole)["loss"]


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
    history, final = train(model, text, options)
    minutes = (time.perf_counter() - start) / 60
    written = sample(model, text, 100 if options.quick else 500, options.context, options.seed)
    print(f"validation loss {final:.3f} nats a character, after {minutes:.1f} minutes\n\n{written}")
    save_figure(plot(history, final, written), options.out, name)


def plot(history: nnx.training.History, final: float, written: str) -> Any:
    """Return a figure of the losses, and of what the model writes."""
    figure = Figure((9.6, 4.6))
    left, right = figure.subplots(1, 2, width_ratios=(1.1, 1))
    epochs, validation = history.column("epoch"), history.column("validation_loss")
    left.plot(epochs, history.column("loss"), color=ORANGE, label="training")
    left.plot(epochs, validation, color=BLUE, label="validation")
    label(left, epochs[-1], validation[-1], f"{final:.2f}", BLUE)
    left.legend()
    left.set(title="Loss, nats a character", xlabel="steps, in hundreds")
    right.set_axis_off()
    right.set_title("What it writes")
    lines = [line[:46] for line in written.split("\n")][:24]
    right.text(0, 0.98, "\n".join(lines).replace("$", r"\$"), family="monospace", fontsize=8, va="top", color=GREY)
    return figure
