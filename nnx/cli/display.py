"""What the command shows in a terminal or writes to a pipe."""

import inspect
import math
import sys
from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Any, Self

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn
from rich.table import Column, Table

from nnx.cli import LOSSES
from nnx.layers import Linear, Module, ReLU, Sequential
from nnx.optimizers import Optimizer
from nnx.training import EpochRow, History

_HEADER = "epoch     loss  accuracy  val. loss  val. accuracy      time"
_BAR_WIDTH = 40


def make_console(*, quiet: bool = False) -> Console:
    """Return a console on the standard output without automatic highlighting."""
    # In a file or a pipe, lines are not wrapped at the width of the terminal.
    return Console(quiet=quiet, highlight=False, soft_wrap=True, width=None if sys.stdout.isatty() else 200)


class TrainingLog:
    """Prints a line per epoch and, in a terminal, a progress bar below them that disappears at the end.

    Parameters
    ----------
    console : Console
    history : History
        The history of the training run.
    epochs, batches : int
        The number of epochs, and of batches per epoch.
    """

    def __init__(self, console: Console, history: History, epochs: int, batches: int) -> None:
        self._console, self._history, self._epochs = console, history, epochs
        self._progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(bar_width=None),
            TaskProgressColumn(),
            TimeRemainingColumn(compact=True),
            console=console,
            transient=True,
            disable=not console.is_terminal or console.quiet,
        )
        self._task = self._progress.add_task(f"epoch 1/{epochs}", total=epochs * batches)

    def __enter__(self) -> Self:
        self._console.print(f"[bold]{_HEADER}[/]")
        self._progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._progress.stop()

    def on_batch(self, number: int) -> None:
        """Advance the bar."""
        self._progress.advance(self._task)

    def on_epoch(self, row: EpochRow) -> None:
        """Print the line of an epoch."""
        best = self._history.best
        mark = "  [green]best so far[/]" if best is not None and best.row is row else ""
        self._console.print(_format_row(row) + mark)
        self._progress.update(self._task, description=f"epoch {min(row.epoch + 1, self._epochs)}/{self._epochs}")


def loss_name(loss: Mapping[str, Any]) -> str:
    """Return the name of a loss for use in a sentence."""
    return next(name for name, kind in LOSSES.items() if kind == loss["type"])


def model_name(model: Module) -> str:
    """Return the layer sizes of a plain perceptron, or the class and number of parameters of any other model."""
    layers = list(model.layers) if isinstance(model, Sequential) else []
    linear = [layer for layer in layers[::2] if isinstance(layer, Linear)]
    if len(layers) == 2 * len(linear) - 1 and all(isinstance(layer, ReLU) for layer in layers[1::2]):
        return "-".join(map(str, (linear[0].in_features, *(layer.out_features for layer in linear)))) + " network"
    count = sum(math.prod(array.shape) for array in model.parameters().values())
    return f"{type(model).__name__} of {count:,} parameters"


def optimizer_name(optimizer: Optimizer) -> str:
    """Return the name of an optimizer for use in a sentence, with the hyperparameters that are not the default."""
    defaults = inspect.signature(type(optimizer)).parameters
    shown = [
        f", {name.replace('_', ' ')} {value if isinstance(value, (str, bool, tuple)) else format(value, 'g')}"
        for name, value in optimizer.hyperparameters.items()
        if name != "learning_rate" and name in defaults and value != defaults[name].default
    ]
    return f"{type(optimizer).__name__} with learning rate {optimizer.learning_rate:g}" + "".join(shown)


def _format_row(row: EpochRow) -> str:
    validation = " " * 26
    if row.validation_loss is not None and row.validation_accuracy is not None:
        validation = f"{row.validation_loss:>11.4f}{row.validation_accuracy:>13.2%} "
    percent = f"{row.accuracy:.2%}"
    return f"{row.epoch:>5}{row.loss:>9.4f}{percent:>10}{validation}{row.seconds:>9.2f} s".replace("%", " %")


def print_probabilities(console: Console, probabilities: Sequence[float]) -> None:
    """Draw a bar for each class, with the largest in color."""
    filled = "█" if console.encoding.lower().startswith("utf") else "#"
    best = max(range(len(probabilities)), key=probabilities.__getitem__)
    width = len(str(len(probabilities) - 1))
    for number, probability in enumerate(probabilities):
        bar = filled * round(_BAR_WIDTH * probability)
        style = "bold green" if number == best else "dim"
        console.print(f"[{style}]{number:>{width}}  {bar:<{_BAR_WIDTH}}  {100 * probability:>6.2f} %[/]")


def print_table(console: Console, header: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Draw a table without lines between its columns."""
    columns = (Column(title, overflow="fold") for title in header)  # folded, not cut: it contains commands to copy
    table = Table(*columns, box=None, pad_edge=False, padding=(0, 3, 0, 0), header_style="bold")
    for row in rows:
        table.add_row(*map(escape, row))
    console.print(table)
