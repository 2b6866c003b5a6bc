"""``nnx evaluate``: the loss and accuracy of a finished run on data that it was not trained on."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

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


def evaluate(
    folder: Path, *, data: str | None, spec: str, allow: Mapping[str, Callable[..., Any]], console: Console
) -> int:
    """Print the loss and metrics of a run, and the results for each class; return the exit code.

    Raises
    ------
    CheckpointError
        If the run cannot be read.
    DataError
        If the data cannot be read or do not fit the network.
    """
    with use_backend(spec):
        run, model = read_run(folder, allow)
        source = data or run.configuration.data
        x, y, which = _unseen(run, load_samples(source, run.configuration.data_options, quiet=console.quiet))
        metrics: dict[str, Any] = {} if run.is_regression else {"accuracy": Accuracy(), "confusion": ConfusionMatrix()}
        metrics |= run.configuration.make_metrics()
        policy = run.configuration.policy
        found = measure(model, run.configuration.make_loss(), run.make_loader(x, y), metrics=metrics, policy=policy)
    console.print(escape(" ".join([f"{folder} on {len(y):,}", *which, f"{run.kind} of {source}"])))
    loss = f"{loss_name(run.configuration.loss)} {found.pop('loss'):.4f}"
    matrix = found.pop("confusion", None)
    accuracy = f"accuracy [bold green]{100 * found.pop('accuracy'):.2f} %[/]" if matrix is not None else ""
    others = [f"{name} {value:.4g}" if isinstance(value, float) else f"{name} {value}" for name, value in found.items()]
    console.print(", ".join(filter(None, [accuracy, loss, *map(escape, others)])))
    if matrix is None:
        return OK
    console.print("")
    print_table(console, ("class", "images", "correct", "most often taken for"), _class_rows(matrix))
    return OK


def _unseen(run: Run, samples: Samples) -> tuple[Array, Array, list[str]]:
    """Return the samples that the run was not trained on, and a word for them."""
    if len(samples.pairs) == 2:
        return *samples.pairs[1], ["test"]
    if samples.fingerprint != run.fingerprint:
        return *samples.pairs[0], []
    parts = samples.divide(run.configuration.seed)
    return parts.x_validation, parts.y_validation, ["validation"]


def _class_rows(matrix: Array) -> list[tuple[str, ...]]:
    rows: list[tuple[str, ...]] = []
    for number, counts in enumerate(matrix):
        total, wrong = int(counts.sum()), counts.copy()
        wrong[number] = 0
        correct = f"{100 * counts[number] / total:.1f} %" if total else "-"
        mistaken = f"{np.argmax(wrong)} ({np.max(wrong)} of them)" if wrong.any() else ""
        rows.append((str(number), f"{total:,}", correct, mistaken))
    return rows
