"""Plots of a run that are drawn again after each epoch."""

import os
from pathlib import Path
from typing import Any

from nnx.errors import ArgumentError
from nnx.io import replacing
from nnx.training import plot_curves, plot_weights
from nnx.training.canvas import own_style
from nnx.training.history import Row, monitored
from nnx.training.hooks import Callback
from nnx.training.trainer import Trainer


class Plots(Callback):
    """Draws the curves and the histograms of the weights after each epoch: ``curves.png`` and ``weights.png``.

    Parameters
    ----------
    folder : str or path
        Made if it is missing; each file in it is replaced as a whole.
    monitor : str, optional
        Which metric decides the best epoch, which is marked, as in :func:`nnx.training.plot_curves`.
    weights : bool
        Whether the histograms are drawn.

    Raises
    ------
    ArgumentError
        If the folder is not a path; after the first epoch, if there is no such metric.
    MissingExtraError
        At the start of a fit, if matplotlib is not installed.

    Examples
    --------
    >>> import nnx
    >>> plots = nnx.callbacks.Plots("run/plots")
    """

    def __init__(self, folder: str | os.PathLike[str], monitor: str | None = None, *, weights: bool = True) -> None:
        if not isinstance(folder, (str, os.PathLike)) or not os.fspath(folder):
            raise ArgumentError(f"expected the path of a folder for plots, got {folder!r}")
        self.folder = Path(folder)
        self.monitor = monitor
        self.weights = weights

    def on_fit_start(self, trainer: Trainer) -> None:
        """Find matplotlib, and not only after an epoch that may have taken long."""
        monitored(self.monitor, trainer.columns)
        with own_style():
            self.folder.mkdir(parents=True, exist_ok=True)

    def on_epoch_end(self, trainer: Trainer, row: Row) -> None:
        """Draw."""
        self._save(plot_curves(trainer.history, self.monitor), "curves.png")
        if self.weights and trainer.model.parameters():
            self._save(plot_weights(trainer.model), "weights.png")

    def _save(self, figure: Any, name: str) -> None:
        with replacing(self.folder / name) as path:
            figure.savefig(path, format="png")
