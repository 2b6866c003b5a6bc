"""A bar for the batches of an epoch, and a line for each epoch."""

import sys
from typing import Any, TextIO

from nnx.errors import MissingExtraError
from nnx.training.history import Row
from nnx.training.hooks import Callback
from nnx.training.trainer import Trainer
from nnx.types import Array


class ProgressBar(Callback):
    """Shows a bar while an epoch is trained, and leaves a line with its metrics.

    Nothing is read from a device before the end of the epoch.

    Parameters
    ----------
    quiet : bool, optional
        Whether nothing is shown. Default: if ``file`` is not a terminal.
    file : text file, optional
        Default the standard error output.

    Raises
    ------
    MissingExtraError
        At the start of a fit, if tqdm is not installed.

    Examples
    --------
    >>> import sys, numpy as np, nnx
    >>> model = nnx.Linear(1, 1, initializer=nnx.initializers.Constant(0.0))
    >>> bar = nnx.callbacks.ProgressBar()  # quiet, unless this runs in a terminal
    >>> trainer = nnx.Trainer(model, nnx.MSE(), nnx.SGD(model, 0.1), callbacks=[bar])
    >>> _ = trainer.fit((np.ones((4, 1), np.float32),), epochs=2)
    """

    def __init__(self, *, quiet: bool | None = None, file: TextIO | None = None) -> None:
        self.quiet = quiet
        self.file = file
        self._bar: Any = None

    def on_fit_start(self, trainer: Trainer) -> None:
        """Find tqdm."""
        file = self._file
        self._shows = not self.quiet if self.quiet is not None else bool(file.isatty())
        if self._shows:
            self._make_bar = _tqdm()

    def on_batch_start(self, trainer: Trainer, batch: Any) -> None:
        """Begin the bar with the first batch of an epoch, or of what is left of it."""
        if self._shows and self._bar is None:
            self._bar = self._make_bar(
                total=trainer.batches,
                initial=trainer.batch,
                desc=f"epoch {trainer.epoch + 1}",
                unit="batch",
                leave=False,
                dynamic_ncols=True,
                file=self._file,
            )

    def on_batch_end(self, trainer: Trainer, value: Array, outputs: Any) -> None:
        """Move the bar on."""
        if self._bar is not None:
            self._bar.update()

    def on_epoch_end(self, trainer: Trainer, row: Row) -> None:
        """Replace the bar by the metrics of the epoch."""
        self._close()
        if self._shows:
            print(line_of(row), file=self._file, flush=True)

    def on_fit_end(self, trainer: Trainer) -> None:
        """Remove the bar of an epoch that was not finished."""
        self._close()

    @property
    def _file(self) -> TextIO:
        return sys.stderr if self.file is None else self.file  # looked up late: the stream may be replaced

    def _close(self) -> None:
        if self._bar is not None:
            self._bar.close()
            self._bar = None


def line_of(row: Row) -> str:
    """Return the metrics of an epoch in one line.

    Examples
    --------
    >>> line_of({"epoch": 3, "loss": 0.12345, "validation_accuracy": 0.9431})
    'epoch 3: loss 0.1235, validation accuracy 94.31 %'
    """
    parts = [f"{name.replace('_', ' ')} {_formatted(name, value)}" for name, value in row.items() if name != "epoch"]
    return f"epoch {row['epoch']}: {', '.join(parts)}"


def _formatted(name: str, value: float) -> str:
    return f"{100 * value:.2f} %" if name.endswith("accuracy") else f"{value:.4g}"


def _tqdm() -> Any:
    try:
        from tqdm import tqdm
    except ImportError as error:
        raise MissingExtraError(
            f"expected tqdm to show progress, got: {error}; install it with: pip install 'nnx-array[cli]'"
        ) from error
    return tqdm
