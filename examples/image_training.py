"""What the two convolutional examples share: the data, the training, and the plot."""

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

import nnx
from options import load_square_images
from plotting import BLUE, ORANGE, new_figure, save_figure, show_images
from reporting import Report

LINE = (
    "epoch {epoch:>2}: loss {loss:.4f}, accuracy {accuracy:.2%}; "
    "validation: loss {validation_loss:.4f}, accuracy {validation_accuracy:.2%}  ({seconds:.0f} s)"
)


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
    epochs = 2 if options.quick else options.epochs
    rate = nnx.schedules.Cosine(options.learning_rate, steps=epochs * len(loader))
    optimizer, metrics = nnx.AdamW(model, rate), [nnx.metrics.Accuracy()]
    trainer = nnx.Trainer(model, nnx.CrossEntropy(), optimizer, metrics=metrics, callbacks=[Report(LINE)])
    history = trainer.fit(loader, validation, epochs=epochs)
    outputs = nnx.to_numpy(trainer.predict(validation))
    plot(history, outputs, nnx.to_numpy(x_validation), nnx.to_numpy(y_validation), options.out, name)
    return history.column("validation_accuracy")[-1]


def plot(history: nnx.training.History, outputs: Any, images: Any, digits: Any, folder: Path, name: str) -> None:
    """Draw the errors of each epoch, and the images that the trained model takes for another digit."""
    figure, (left, right) = new_figure(9.6, 4.2, columns=2, width_ratios=(1.2, 1))
    for column, text, color in (("accuracy", "training", ORANGE), ("validation_accuracy", "validation", BLUE)):
        errors = [100 * (1 - accuracy) for accuracy in history.column(column)]
        left.semilogy(history.column("epoch"), errors, color=color, marker="o", markersize=4, label=text)
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
