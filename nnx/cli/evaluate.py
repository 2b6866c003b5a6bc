"""``nnx evaluate``: the loss and accuracy of a finished run on data that it was not trained on."""

from pathlib import Path

import numpy as np
from rich.console import Console
from rich.markup import escape

from nnx.backend import use_backend
from nnx.cli import OK
from nnx.cli.display import loss_name, print_table
from nnx.cli.runs import Run, read_run
from nnx.cli.samples import Samples, load_samples
from nnx.metrics import Accuracy, ConfusionMatrix
from nnx.training import evaluate as measure
from nnx.types import Array


def evaluate(folder: Path, *, data: str | None, spec: str, console: Console) -> int:
    """Print the loss and accuracy of a run, and the results for each class; return the exit code.

    Raises
    ------
    CheckpointError
        If the run cannot be read.
    DataError
        If the data cannot be read or do not fit the network.
    """
    with use_backend(spec):
        run, model = read_run(folder)
        source = data or run.configuration.data
        x, y, which = _unseen(run, load_samples(source, quiet=console.quiet))
        loader = run.make_loader(x, y)
        metrics = [Accuracy(), ConfusionMatrix()]
        found = measure(model, run.configuration.make_loss(), loader, metrics=metrics)
    console.print(escape(f"{folder} on {len(y):,} {which} of {source}"))
    percent, loss = 100 * found["accuracy"], loss_name(run.configuration.loss)
    console.print(f"accuracy [bold green]{percent:.2f} %[/], {loss} {found['loss']:.4f}\n")
    print_table(console, ("class", "images", "correct", "most often taken for"), _class_rows(found["confusion_matrix"]))
    return OK


def _unseen(run: Run, samples: Samples) -> tuple[Array, Array, str]:
    """Return the samples that the run was not trained on, and a name for them."""
    if len(samples.pairs) == 2:
        return *samples.pairs[1], "test images"
    if samples.fingerprint != run.fingerprint:
        return *samples.pairs[0], "images"
    parts = samples.divide(run.configuration.seed)
    return parts.x_validation, parts.y_validation, "validation images"


def _class_rows(matrix: Array) -> list[tuple[str, ...]]:
    rows: list[tuple[str, ...]] = []
    for number, counts in enumerate(matrix):
        total, wrong = int(counts.sum()), counts.copy()
        wrong[number] = 0
        correct = f"{100 * counts[number] / total:.1f} %" if total else "-"
        mistaken = f"{np.argmax(wrong)} ({np.max(wrong)} of them)" if wrong.any() else ""
        rows.append((str(number), f"{total:,}", correct, mistaken))
    return rows
