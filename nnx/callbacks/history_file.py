"""The history of a run in a file that is whole at any time."""

import json
import math
import os
from pathlib import Path
from typing import Any

from nnx.errors import ArgumentError
from nnx.io import replacing
from nnx.training.history import History, Row
from nnx.training.hooks import Callback
from nnx.training.trainer import Trainer


class WriteHistory(Callback):
    r"""Writes the history to a file after each epoch, as CSV or JSON.

    The file is replaced as a whole, so it is never a mixture, and a resumed run leaves the same file as one that was
    never stopped.

    Parameters
    ----------
    path : str or path
        Its suffix, ``.csv`` or ``.json``, decides the format. JSON is a list with an object for each epoch; numbers
        that are NaN or infinite, which JSON does not have, become ``null``.

    Raises
    ------
    ArgumentError
        If the path has another suffix.
    OSError
        In a fit, if the file cannot be written.

    Examples
    --------
    >>> import tempfile, pathlib, numpy as np, nnx
    >>> model = nnx.Linear(1, 1, bias=False, initializer=nnx.initializers.Constant(0.0))
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = pathlib.Path(folder, "history.json")
    ...     writing = nnx.callbacks.WriteHistory(path)
    ...     trainer = nnx.Trainer(model, nnx.MSE(), nnx.SGD(model, 0.5), callbacks=[writing])
    ...     _ = trainer.fit((np.ones((4, 1), np.float32),), epochs=2)
    ...     path.read_text()
    '[\n  {"epoch": 1, "loss": 1.0},\n  {"epoch": 2, "loss": 0.0}\n]\n'
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)
        if self.path.suffix not in (".csv", ".json"):
            raise ArgumentError(f"expected a path that ends with .csv or .json, got {str(path)!r}")

    def on_epoch_end(self, trainer: Trainer, row: Row) -> None:
        """Write all rows."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with replacing(self.path) as path:
            if self.path.suffix == ".csv":
                trainer.history.write_csv(path)
            else:
                path.write_text(_as_json(trainer.history), encoding="utf-8")


def _as_json(history: History) -> str:
    lines = [json.dumps({name: _number(value) for name, value in row.items()}) for row in history.rows]
    return "[\n  " + ",\n  ".join(lines) + "\n]\n"


def _number(value: float) -> Any:
    return value if math.isfinite(value) else None
