"""A folder with the last checkpoints of a run."""

import os
import re
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from nnx.errors import ArgumentError, CheckpointError
from nnx.functional.checks import as_integer
from nnx.io.checkpoints import is_whole, load_checkpoint, save_checkpoint
from nnx.io.files import advising, sync_folder

_NAME = re.compile(r"checkpoint-(0|[1-9][0-9]{0,18})\.safetensors")


class CheckpointWarning(UserWarning):
    """A checkpoint could not be used, and an older one was."""


class CheckpointFolder:
    """The last checkpoints of a run, in files named after the step.

    Parameters
    ----------
    path : str or path
        Made by the first :meth:`save`. Files with other names are left alone.
    keep : int
        How many whole checkpoints stay, so that with 2 there is another one if the newest is found damaged. A damaged
        one does not count. It stays until so many newer ones are whole, and is then removed with all that are older.

    Raises
    ------
    ArgumentError
        If ``keep`` is less than 1.

    Notes
    -----
    To count, a checkpoint that this object has saved or loaded is known to be whole as long as nobody changes the file;
    any other one is read once, in blocks.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as path:
    ...     folder = CheckpointFolder(path, keep=2)
    ...     for step in (0, 5, 10):
    ...         _ = folder.save(step, {"step": step})
    ...     state, header = folder.load()
    ...     folder.steps(), state, header["step"]
    ([5, 10], {'step': 10}, 10)
    """

    def __init__(self, path: str | os.PathLike[str], keep: int = 2) -> None:
        self.path = Path(path)
        self.keep = as_integer(keep, "keep", least=1)
        self._known: dict[int, tuple[_Stamp | None, bool]] = {}  # by step: the file, and whether it was whole

    def steps(self) -> list[int]:
        """Return the steps that have a checkpoint, in the order of numbers; whether it is whole is not looked at.

        Raises
        ------
        CheckpointError
            If the folder cannot be read. One that does not exist has no steps.
        """
        try:
            names = os.listdir(self.path)
        except FileNotFoundError:
            return []
        except (OSError, ValueError) as error:
            reason = getattr(error, "strerror", None) or error
            raise CheckpointError(f"{self.path}: expected a folder of checkpoints, got: {reason}") from error
        return sorted(int(found[1]) for name in names if (found := _NAME.fullmatch(name)))

    def path_of(self, step: int) -> Path:
        """Return the path of the checkpoint of a step."""
        return self.path / f"checkpoint-{step}.safetensors"

    def save(self, step: int, state: Any, metadata: Mapping[str, Any] | None = None) -> Path:
        """Save a checkpoint, and then remove all that are older than the newest ``keep`` whole ones.

        Parameters
        ----------
        step : int
            A checkpoint of the same step is replaced, and one of a later step is removed if it is damaged.
        state, metadata
            See :func:`save_checkpoint`.

        Returns
        -------
        path : pathlib.Path
            The new file. No older one has been touched before it was complete and on the disk.

        Raises
        ------
        ArgumentError
            If there is a whole checkpoint of a later step, which would count as newer than this one.
        CheckpointError, DTypeError, OSError
            See :func:`save_checkpoint`; also if there is one of a later step that cannot be read.
        """
        later = self.expect_newest(step)
        with advising(self.path):
            if not self.path.is_dir():
                self.path.mkdir(parents=True, exist_ok=True)
                sync_folder(self.path.parent)
        save_checkpoint(self.path_of(step), state, metadata)
        for other in later:
            self.path_of(other).unlink(missing_ok=True)
        self._known[step] = (_stamp_of(self.path_of(step)), True)
        self._prune()
        return self.path_of(step)

    def expect_newest(self, step: int) -> list[int]:
        """Return the later steps, whose checkpoints are damaged, as before a run that begins at a step.

        Raises
        ------
        ArgumentError
            If there is a whole checkpoint of a later step.
        CheckpointError
            If there is one that cannot be read, or is of a newer version.
        """
        step = as_integer(step, "step", least=0)
        later = [other for other in self.steps() if other > step]
        for other in reversed(later):
            if self.path_of(other).exists() and is_whole(self.path_of(other)):
                raise ArgumentError(
                    f"{self.path}: expected a step after {other}, which has a checkpoint, got {step}; "
                    "go on from that one, remove it, or choose another folder"
                )
        return later

    def load(self) -> tuple[Any, dict[str, Any]]:
        """Return the newest checkpoint that is whole.

        Returns
        -------
        state : tree
            See :func:`load_checkpoint`.
        header : dict
            See :func:`load_checkpoint`; added are ``step`` and ``damaged``, a list with one line for each newer
            checkpoint that could not be used.

        Warns
        -----
        CheckpointWarning
            If a newer checkpoint could not be used.

        Raises
        ------
        CheckpointError
            If there is none that is whole.
        MissingExtraError
            See :func:`load_checkpoint`.
        """
        failed: dict[int, str] = {}
        # The names are read again each time: meanwhile another process may save a new one and remove an old one.
        while steps := [step for step in self.steps() if step not in failed]:
            stamp = _stamp_of(self.path_of(steps[-1]))
            try:
                state, header = load_checkpoint(self.path_of(steps[-1]))
            except CheckpointError as error:
                failed[steps[-1]] = str(error)
                continue
            self._known[steps[-1]] = (stamp, True)
            damaged = [text for step, text in failed.items() if self.path_of(step).exists()]
            for text in damaged:
                warnings.warn(f"{text}; going on from step {steps[-1]}", CheckpointWarning, stacklevel=2)
            return state, {**header, "step": steps[-1], "damaged": damaged}
        raise CheckpointError(
            f"{self.path}: expected a checkpoint that is whole, got "
            + ("; ".join(failed.values()) or "none; save one first, or check the path")
        )

    def _prune(self) -> None:
        """Remove what is older than the newest ``keep`` whole checkpoints."""
        count = 0
        for step in reversed(self.steps()):
            if count == self.keep:
                self.path_of(step).unlink(missing_ok=True)
                self._known.pop(step, None)
            else:
                count += self._counts(step)

    def _counts(self, step: int) -> bool:
        """Return whether there is a whole checkpoint of a step, which is read only if it is not known."""
        stamp = _stamp_of(self.path_of(step))
        if step not in self._known or self._known[step][0] != stamp:
            try:
                self._known[step] = (stamp, stamp is not None and is_whole(self.path_of(step)))
            except CheckpointError:  # nobody could go on from it here
                self._known[step] = (stamp, False)
        return self._known[step][1]


_Stamp = tuple[int, int, int, int]


def _stamp_of(path: Path) -> _Stamp | None:
    """Return what changes with the content of a file, ``None`` if there is none."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns
