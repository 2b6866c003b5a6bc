"""The metrics and weights of a run as event files for TensorBoard."""

import os
import time
from types import SimpleNamespace
from typing import Any

from nnx.backend import to_numpy
from nnx.errors import ArgumentError, MissingExtraError
from nnx.training.history import Row
from nnx.training.hooks import Callback
from nnx.training.trainer import Trainer


class TensorBoard(Callback):
    """Writes the metrics of each epoch, and histograms of the weights, for TensorBoard.

    A run that is resumed continues its curves: what an interrupted part of it wrote after the checkpoint is replaced.

    Parameters
    ----------
    folder : str or path
        The log directory of the run, made if it is missing.
    histograms : bool
        Whether histograms of the parameters are written.

    Raises
    ------
    ArgumentError
        If the folder is not a path.
    MissingExtraError
        At the start of a fit, if tensorboard is not installed.

    Notes
    -----
    The step of an event is ``trainer.step``. The tags are ``loss/training``, ``loss/validation``, those of other
    metrics, and ``weights/`` with the path of a parameter.

    Examples
    --------
    >>> import nnx
    >>> tensorboard = nnx.callbacks.TensorBoard("runs/first")  # tensorboard --logdir runs
    """

    def __init__(self, folder: str | os.PathLike[str], *, histograms: bool = True) -> None:
        if not isinstance(folder, (str, os.PathLike)) or not os.fspath(folder):
            raise ArgumentError(f"expected the path of a folder for event files, got {folder!r}")
        self.folder = os.fspath(folder)
        self.histograms = histograms
        self._library: Any = None
        self._writer: Any = None

    def on_fit_start(self, trainer: Trainer) -> None:
        """Begin a file; events of later steps, in files of an earlier part of the run, do not count any more."""
        library = self._library = _tensorboard()
        self._writer = library.EventFileWriter(self.folder)
        start = library.SessionLog(status=library.SessionLog.START)
        self._add(trainer.step + 1, session_log=start)

    def on_epoch_end(self, trainer: Trainer, row: Row) -> None:
        """Write what an epoch has brought."""
        for name, value in row.items():
            if name != "epoch":
                kind = "validation" if name.startswith("validation_") else "training"
                tag = f"{name.removeprefix('validation_')}/{kind}"
                self._add(trainer.step, summary=self._library.Summary(value=[{"tag": tag, "simple_value": value}]))
        if self.histograms:
            for path, weight in trainer.model.parameters().items():
                self._add(trainer.step, summary=self._library.histogram_pb(f"weights/{path}", to_numpy(weight)))
        self._writer.flush()

    def on_fit_end(self, trainer: Trainer) -> None:
        """Close the file."""
        if self._writer is not None:
            self._writer.close()
            self._writer = None

    def _add(self, step: int, **content: Any) -> None:
        self._writer.add_event(self._library.Event(wall_time=time.time(), step=step, **content))


def _tensorboard() -> Any:
    try:
        from tensorboard.compat.proto.event_pb2 import Event, SessionLog
        from tensorboard.compat.proto.summary_pb2 import Summary
        from tensorboard.plugins.histogram.summary_v2 import histogram_pb
        from tensorboard.summary.writer.event_file_writer import EventFileWriter
    except ImportError as error:
        raise MissingExtraError(
            f"expected tensorboard to write event files, got: {error}; "
            "install it with: pip install 'nnx-array[tensorboard]'"
        ) from error
    return SimpleNamespace(
        Event=Event,
        SessionLog=SessionLog,
        histogram_pb=histogram_pb,
        Summary=Summary,
        EventFileWriter=EventFileWriter,
    )
