"""The norms of the gradients of a run."""

from collections.abc import Mapping
from typing import Any

from nnx.functional.checks import as_integer
from nnx.optimizers import global_norm
from nnx.training.device_values import read_together
from nnx.training.history import Row
from nnx.training.hooks import Callback
from nnx.training.trainer import Trainer
from nnx.types import Array


class GradientNorms(Callback):
    """Records the norm of the gradients, of all together and, if wanted, of each.

    What is recorded is what comes to this callback: before or after clipping, by its place among the callbacks.

    Parameters
    ----------
    each : bool
        Whether the norm of each gradient is recorded too, under its path.
    every : int
        Only steps whose number is a multiple of this are recorded; a row of numbers is kept for each of them.

    Attributes
    ----------
    rows : list of dict
        ``step``, the number of batches before this update, ``norm``, and the paths.

    Raises
    ------
    ArgumentError
        If ``every`` is less than 1.

    Notes
    -----
    The norms are read at the end of the epoch, so that no step waits for a GPU.

    Examples
    --------
    >>> import numpy as np, nnx
    >>> model = nnx.Linear(1, 1, initializer=nnx.initializers.Constant(0.0))
    >>> norms = nnx.callbacks.GradientNorms(each=True)
    >>> trainer = nnx.Trainer(model, nnx.MSE(), nnx.SGD(model, 0.1), callbacks=[norms])
    >>> x = np.ones((1, 1), np.float32)
    >>> _ = trainer.fit((x, 2 * x), epochs=1)
    >>> {name: round(value, 3) for name, value in norms.rows[0].items()}
    {'step': 0, 'norm': 5.657, 'weight': 4.0, 'bias': 4.0}
    """

    def __init__(self, *, each: bool = False, every: int = 1) -> None:
        self.each = each
        self.every = as_integer(every, "every", least=1)
        self._rows: list[dict[str, Any]] = []
        self._read = 0  # how many rows hold numbers

    @property
    def rows(self) -> list[Row]:
        """The rows; reading the newest ones waits for a GPU."""
        self._read_rest()
        return self._rows

    def on_gradients(self, trainer: Trainer, gradients: Mapping[str, Array]) -> Mapping[str, Array]:
        """Add a row."""
        if trainer.step % self.every == 0:
            while self._rows and self._rows[-1]["step"] >= trainer.step:  # of a batch that was not finished
                self._rows.pop()
            self._read = min(self._read, len(self._rows))
            each = {path: global_norm({path: gradient}) for path, gradient in gradients.items()} if self.each else {}
            self._rows.append({"step": trainer.step, "norm": global_norm(gradients), **each})
        return gradients

    def on_epoch_end(self, trainer: Trainer, row: Row) -> None:
        """Read the norms."""
        self._read_rest()

    def state_dict(self) -> dict[str, Any]:
        """Return the rows."""
        return {"rows": [dict(row) for row in self.rows]}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from a state."""
        self._rows = [dict(row) for row in state["rows"]]
        self._read = len(self._rows)

    def snapshot(self) -> int:
        """Return how many rows there are."""
        return len(self._rows)

    def go_back(self, snapshot: int) -> None:
        """Drop the rows of later batches."""
        del self._rows[snapshot:]
        self._read = min(self._read, snapshot)

    def _read_rest(self) -> None:
        new = self._rows[self._read :]
        read = iter(read_together([value for row in new for value in row.values()]))
        for row in new:
            row |= {name: next(read) for name in row}
        self._read = len(self._rows)
