"""What the command shows in a terminal or writes to a pipe."""

import inspect
import math
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn
from rich.table import Column, Table

from nnx.callbacks import Callback, KeepBest
from nnx.cli import LOSSES
from nnx.functional.checks import counted
from nnx.layers import Linear, Module, ReLU, Sequential
from nnx.optimizers import Optimizer
from nnx.training import Trainer
from nnx.training.history import Row
from nnx.types import Array

_BAR_WIDTH = 40


class Output:
    """The standard output; if it cannot be written to any more, what is printed is dropped, and a run goes on.

    Attributes
    ----------
    error : OSError or None
        Why it cannot be written to: a pipe that was closed, or a full disk.
    """

    def __init__(self) -> None:
        self.error: OSError | None = None

    def write(self, text: str) -> int:
        """Write, unless that has failed before."""
        self._try(lambda: sys.stdout.write(text))
        return len(text)

    def flush(self) -> None:
        """Flush, unless that has failed before."""
        self._try(sys.stdout.flush)

    def __getattr__(self, name: str) -> Any:
        return getattr(sys.stdout, name)

    def _try(self, action: Callable[[], Any]) -> None:
        if self.error is None:
            try:
                action()
            except OSError as error:
                self.error = error


def make_console(*, quiet: bool = False, file: Any = None) -> Console:
    """Return a console on the standard output without automatic highlighting."""
    # In a file or a pipe, lines are not wrapped at the width of the terminal.
    return Console(file=file, quiet=quiet, highlight=False, soft_wrap=True, width=None if sys.stdout.isatty() else 200)


class TrainingLog(Callback):
    """Prints a line per epoch and, in a terminal, a progress bar below them that disappears at the end.

    Parameters
    ----------
    console : Console
    best : KeepBest
        Knows the best epoch; it must be called before this one.
    epochs, batches : int
        The number of epochs, and of batches per epoch.

    Attributes
    ----------
    seconds : float
        The time of all epochs that were finished.
    """

    def __init__(self, console: Console, best: KeepBest, epochs: int, batches: int) -> None:
        self._console, self._best, self._epochs = console, best, epochs
        self.seconds, self._since = 0.0, 0.0
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

    def on_fit_start(self, trainer: Trainer) -> None:
        """Print the header."""
        names = ["loss", *trainer.metrics]
        self._console.print(f"[bold]{_header(['epoch', *names, *(f'validation_{name}' for name in names)])}[/]")
        text = f"epoch {min(trainer.epoch + 1, self._epochs)}/{self._epochs}"
        self._progress.update(self._task, description=text, completed=trainer.step)
        self._progress.start()
        self._since = time.perf_counter()

    def on_batch_end(self, trainer: Trainer, value: Array, outputs: Any) -> None:
        """Advance the bar."""
        self._progress.advance(self._task)

    def on_epoch_end(self, trainer: Trainer, row: Row) -> None:
        """Print the line of an epoch."""
        now = time.perf_counter()
        seconds, self._since = now - self._since, now
        self.seconds += seconds
        mark = "  [green]best so far[/]" if self._best.row == row else ""
        self._console.print(_format_row(row, seconds) + mark)
        self._progress.update(self._task, description=f"epoch {min(trainer.epoch + 1, self._epochs)}/{self._epochs}")

    def on_fit_end(self, trainer: Trainer) -> None:
        """Remove the bar."""
        self._progress.stop()


def loss_name(loss: Mapping[str, Any]) -> str:
    """Return the name of a loss for use in a sentence."""
    return next((name for name, kind in LOSSES.items() if kind == loss["type"]), str(loss["type"]))


def model_name(model: Module) -> str:
    """Return the layer sizes of a plain perceptron, or the class and number of parameters of any other model."""
    layers = list(model.layers) if isinstance(model, Sequential) else []
    linear = [layer for layer in layers[::2] if isinstance(layer, Linear)]
    if len(layers) == 2 * len(linear) - 1 and all(isinstance(layer, ReLU) for layer in layers[1::2]):
        return "-".join(map(str, (linear[0].in_features, *(layer.out_features for layer in linear)))) + " network"
    count = sum(math.prod(array.shape) for array in model.parameters().values())
    return f"{type(model).__name__} of {counted(count, 'parameter')}"


def optimizer_name(optimizer: Optimizer) -> str:
    """Return the name of an optimizer for use in a sentence, with the hyperparameters that are not the default."""
    defaults, config = inspect.signature(type(optimizer)).parameters, optimizer.config()
    values = {name: tuple(v["items"]) if isinstance(v, dict) and "items" in v else v for name, v in config.items()}
    shown = [
        f", {name.replace('_', ' ')} {_in_words(value)}"
        for name, value in values.items()
        if name in defaults and name != "learning_rate" and value != defaults[name].default and value != []
    ]
    return f"{config['type']} with learning rate {_in_words(config['learning_rate'])}" + "".join(shown)


def _in_words(value: Any) -> str:
    if isinstance(value, dict):
        return f"by {str(value.get('type')).removeprefix('schedules.')}"
    if isinstance(value, list):
        return f"for {counted(len(value), 'group')}"
    return value if isinstance(value, str) else format(value, "g") if isinstance(value, float) else str(value)


def _header(names: Sequence[str]) -> str:
    titles = [name.replace("validation_", "val. ").replace("_", " ") for name in names]
    return "".join(f"{title:>{_width(title)}}" for title in titles)[3:] + f"{'time':>10}"


def _format_row(row: Row, seconds: float) -> str:
    cells = []
    for name, value in row.items():
        title = name.replace("validation_", "val. ")
        text = f"{value}" if name == "epoch" else f"{value:.2%}" if name.endswith("accuracy") else f"{value:.4f}"
        cells.append(f"{text.replace('%', ' %'):>{_width(title)}}")
    return "".join(cells)[3:] + f"{seconds:>8.2f} s"


def _width(title: str) -> int:
    return max(len(title) + 3, 10) if title != "epoch" else 8


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
