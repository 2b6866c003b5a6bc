"""What the two convolutional examples share: the data, the training loop, and the plot."""

import argparse
import math
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

import nnx
from options import load_square_images
from plotting import BLUE, ORANGE, new_figure, save_figure, show_images


def train_on_digits(make_model: Callable[[int, Any], nnx.Module], options: argparse.Namespace, name: str) -> float:
    """Train a model on handwritten digits, print its progress and save a plot; return the validation accuracy.

    ``make_model`` takes the side of the images and a generator for the initial weights.
    """
    x, y = load_square_images(options.data)
    parts = nnx.data.train_validation_split(x, y, fraction=0.2, rng=options.seed)
    if options.quick:
        parts = tuple(part[:400] for part in parts)
    x_train, y_train, x_validation, y_validation = (nnx.to_device(part, options.backend) for part in parts)
    side, background = x.shape[-1], float(x[0, 0, 0, 0])
    model = make_model(side, np.random.default_rng(options.seed))
    print(model.summary(tuple(x_train[:1].shape)))
    shifted = nnx.data.RandomCrop(side, padding=side // 14, fill=background)  # other shifts in each epoch
    loader = nnx.data.DataLoader((x_train, y_train), batch_size=32, seed=options.seed, transform=shifted)
    validation = nnx.data.DataLoader((x_validation, y_validation), batch_size=250, shuffle=False)
    history = fit(model, loader, validation, options)
    model.eval()
    outputs = np.concatenate([nnx.to_numpy(model(images)) for images, _ in validation])
    plot(history, outputs, nnx.to_numpy(x_validation), nnx.to_numpy(y_validation), options.out, name)
    return history[-1][-1]


def fit(model: nnx.Module, loader: Any, validation: Any, options: argparse.Namespace) -> list[tuple[float, ...]]:
    """Train with AdamW and a rate that falls along half a cosine; return losses and accuracies of each epoch."""
    epochs = 2 if options.quick else options.epochs
    loss, optimizer = nnx.CrossEntropy(), nnx.AdamW(model, options.learning_rate)
    step = nnx.training.make_step(loss, optimizer)
    total, done, history = epochs * len(loader), 0, []
    for epoch in range(1, epochs + 1):
        start, mean, accuracy = time.perf_counter(), nnx.metrics.Mean(), nnx.metrics.Accuracy()
        model.train()
        for images, digits in loader:
            optimizer.learning_rate = options.learning_rate * 0.5 * (1 + math.cos(math.pi * done / total))
            value, outputs = step(model, (images, digits))
            mean.update(value)
            accuracy.update(outputs, digits)
            done += 1
        found = nnx.training.evaluate(model, loss, validation, metrics=[nnx.metrics.Accuracy()]).values()
        history.append((float(mean.compute()), float(accuracy.compute()), *found))
        print(
            "epoch {:>2}: loss {:.4f}, accuracy {:.2%}; validation: loss {:.4f}, accuracy {:.2%}  ({:.1f} s)".format(
                epoch, *history[-1], time.perf_counter() - start
            )
        )
    return history


def plot(history: list[tuple[float, ...]], outputs: Any, images: Any, digits: Any, folder: Path, name: str) -> None:
    """Draw the errors of each epoch, and the images that the trained model takes for another digit."""
    figure, (left, right) = new_figure(9.6, 4.2, columns=2, width_ratios=(1.2, 1))
    epochs = range(1, len(history) + 1)
    for column, text, color in ((1, "training", ORANGE), (3, "validation", BLUE)):
        errors = [100 * (1 - row[column]) for row in history]
        left.semilogy(epochs, errors, color=color, marker="o", markersize=4, label=text)
    left.legend()
    left.set(title="Wrong answers, percent", xlabel="epoch")
    left.yaxis.set_major_formatter("{x:g}")
    wrong = np.flatnonzero(outputs.argmax(axis=1) != digits)
    right.set_title(f"{len(wrong)} of {len(digits)} are wrong")
    shown = wrong[:25]
    tiles = np.zeros((25, images[0].size))
    tiles[: len(shown)] = [(image - image.min()) / np.ptp(image) for image in images[shown].reshape(len(shown), -1)]
    show_images(right, tiles, columns=5)
    side = right.images[0].get_array().shape[0] / 5
    for i, k in enumerate(shown):
        text = f"{digits[k]} as {outputs[k].argmax()}"
        right.text((i % 5) * side + 2, (i // 5) * side + 2, text, fontsize=7, va="top", color=BLUE)
    save_figure(figure, folder, name)
