"""Save the state of a run as it proceeds, and resume it."""

import os
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from nnx.errors import ArgumentError
from nnx.functional.checks import as_integer, as_nonnegative
from nnx.io import CheckpointFolder
from nnx.io.weights import config_or_none
from nnx.training.history import Row
from nnx.training.hooks import Callback
from nnx.training.trainer import Trainer
from nnx.types import Array


class Checkpoints(Callback):
    """Saves the state of the run: after each epoch, every so many steps or seconds, and where a fit ends early.

    A run that is killed at any moment, also while a checkpoint is written, and then resumed ends with the same bits as
    one that was never stopped. The state is that of :meth:`nnx.Trainer.state_dict`, in one file that any backend can
    read.

    Parameters
    ----------
    folder : str or path
        Made if it is missing.
    every : int, optional
        Also save after so many steps.
    every_seconds : float, optional
        Also save after a batch if the last checkpoint is so many seconds old.
    least_seconds : float
        After an epoch, save only if the last checkpoint is so many seconds old: of short epochs not each is worth it.
    keep : int
        How many checkpoints stay.
    metadata : mapping, optional
        Anything that JSON can hold; it stands in the header of each file, beside the configuration of the model.

    Raises
    ------
    ArgumentError
        If a number is out of range.
    OSError
        In a fit, if a file cannot be written.

    Examples
    --------
    >>> import tempfile, numpy as np, nnx
    >>> def make_trainer(folder):
    ...     model = nnx.Linear(1, 1, rng=0)
    ...     checkpoints = nnx.callbacks.Checkpoints(folder)
    ...     trainer = nnx.Trainer(model, nnx.MSE(), nnx.Adam(model), callbacks=[checkpoints])
    ...     return trainer, checkpoints.resume(trainer)
    >>> x = np.ones((4, 1), np.float32)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     trainer, resumed = make_trainer(folder)
    ...     _ = trainer.fit((x, x), epochs=2)  # stopped here, let us say
    ...     again, resumed_again = make_trainer(folder)
    ...     resumed, resumed_again, again.epoch, again.model.weight == trainer.model.weight
    (False, True, 2, array([[ True]]))
    """

    is_last = True

    def __init__(
        self,
        folder: str | os.PathLike[str],
        *,
        every: int | None = None,
        every_seconds: float | None = None,
        least_seconds: float = 0.0,
        keep: int = 2,
        metadata: Mapping[str, Any] | None = None,
    ) -> None:
        if not isinstance(folder, (str, os.PathLike)) or not os.fspath(folder):
            raise ArgumentError(f"expected the path of a folder for checkpoints, got {folder!r}")
        self.folder = CheckpointFolder(Path(folder), keep)
        self.every = None if every is None else as_integer(every, "every", least=1)
        self.every_seconds = None if every_seconds is None else as_nonnegative(every_seconds, "every_seconds")
        self.least_seconds = as_nonnegative(least_seconds, "least_seconds")
        self.metadata = dict(metadata or {})
        self.damaged: list[str] = []  # what resume passed over
        self._saved: tuple[int, int] | None = None  # step and epoch of the newest checkpoint
        self._since = time.monotonic()

    def resume(self, trainer: Trainer) -> bool:
        """Go on from the newest checkpoint that is whole; return whether there is any.

        Warns
        -----
        CheckpointWarning
            If a newer one is damaged; ``damaged`` has a line for each of them.

        Raises
        ------
        CheckpointError
            If there are only damaged ones, or the state is not one of such a trainer.
        """
        if not self.folder.steps():
            return False
        state, header = self.folder.load()
        self.damaged = list(header["damaged"])
        trainer.load_state_dict(state)
        self._saved = (trainer.step, trainer.epoch)
        return True

    def save(self, trainer: Trainer) -> None:
        """Save a checkpoint now."""
        metadata = {**self.metadata, "config": config_or_none(trainer.model)}
        self.folder.save(trainer.step, trainer.state_dict(), metadata)
        self._saved, self._since = (trainer.step, trainer.epoch), time.monotonic()

    def on_fit_start(self, trainer: Trainer) -> None:
        """Refuse a folder that has checkpoints of later steps, as of another run that was not resumed."""
        self.folder.expect_newest(trainer.step)

    def on_batch_end(self, trainer: Trainer, value: Array, outputs: Any) -> None:
        """Save if it is time."""
        is_due = self.every is not None and trainer.step % self.every == 0
        if is_due or (self.every_seconds is not None and time.monotonic() - self._since >= self.every_seconds):
            self.save(trainer)

    def on_epoch_end(self, trainer: Trainer, row: Row) -> None:
        """Save after the epoch."""
        if self._saved is None or time.monotonic() - self._since >= self.least_seconds:
            self.save(trainer)

    def on_fit_end(self, trainer: Trainer) -> None:
        """Save what is not saved yet, as after an interruption or an error; not after one in the midst of an update."""
        if trainer.is_whole and self._saved != (trainer.step, trainer.epoch):
            self.save(trainer)
