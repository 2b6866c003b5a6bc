"""The files of a run directory, and in which order they are replaced.

``model.safetensors`` is the run: the weights and, in its header, everything else that is known of it, with a checksum
over all. It is replaced in one piece, when there is something better that is whole. The other files show what it has,
and are made of it: ``config.json``, the last one, names it by its digest. If a process was killed in between, the next
command that reads the run makes them anew. Until a run has ended its state is in ``checkpoints``.
"""

import hashlib
import json
import os
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np

from nnx.cli.locking import LOCK, locked
from nnx.errors import ArgumentError, CheckpointError, NnxError, UsageError
from nnx.io import CheckpointFolder, load_weights, replacing
from nnx.io.files import advising, remove_leftovers
from nnx.training import History, plot_confusion, plot_curves

WEIGHTS, HISTORY, CURVES, CONFUSION, CONFIG = FILES = (
    "model.safetensors",
    "history.csv",
    "curves.png",
    "confusion.png",
    "config.json",
)
CHECKPOINTS, BEGUN = "checkpoints", "begun.json"
_ADVICE = "choose a writable directory with --out"


def begin(folder: Path, content: Mapping[str, Any]) -> None:
    """Write down what a new run is, so that it can be resumed before it has a checkpoint; drop those of another run."""
    drop_checkpoints(folder)
    (folder / CHECKPOINTS).mkdir(exist_ok=True)
    keep_begun(folder, content)


def drop_checkpoints(folder: Path) -> None:
    """Remove the checkpoints of a run, and nothing else."""
    saved = CheckpointFolder(folder / CHECKPOINTS)
    for step in saved.steps():
        saved.path_of(step).unlink(missing_ok=True)
    (folder / CHECKPOINTS / BEGUN).unlink(missing_ok=True)
    with suppress(OSError):  # it has other files, or there is none
        (folder / CHECKPOINTS).rmdir()


def is_unfinished(folder: Path) -> bool:
    """Whether a directory has a run with checkpoints from which it could go on."""
    begun = read_begun(folder)
    if begun is None or not CheckpointFolder(folder / CHECKPOINTS).steps():
        return False
    try:
        metadata = metadata_of(folder) or {}
    except CheckpointError:
        return True
    return metadata.get("id") != begun.get("id") or metadata["outcome"]["state"] != "finished"


def is_run(folder: Path) -> bool:
    """Whether a directory has a run, finished or not, also one of an older version."""
    try:
        config = json.loads((folder / CONFIG).read_text(encoding="utf-8"))
        is_old = isinstance(config, dict) and {"format", "outcome"} <= config.keys()
    except (OSError, ValueError, RecursionError):
        is_old = False
    return (folder / WEIGHTS).exists() or read_begun(folder) is not None or is_old


def keep_begun(folder: Path, content: Mapping[str, Any]) -> None:
    """Write down what a run is, as it is after its configuration was changed."""
    with replacing(folder / CHECKPOINTS / BEGUN) as temporary:
        temporary.write_text(json.dumps(content), encoding="utf-8")


def read_begun(folder: Path) -> dict[str, Any] | None:
    """Return what :func:`begin` wrote down, or ``None`` if there is no run that has begun."""
    try:
        content = json.loads((folder / CHECKPOINTS / BEGUN).read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return None
    return content if isinstance(content, dict) else None


def metadata_of(folder: Path) -> dict[str, Any] | None:
    """Return what the header of the model of a run says of the run, ``None`` if there is no model.

    Raises
    ------
    CheckpointError
        If the file is damaged.
    """
    if not (folder / WEIGHTS).exists():
        return None
    metadata = load_weights(folder / WEIGHTS)[1]["metadata"]
    return dict(metadata) if "run" in metadata else {}


def show(folder: Path, metadata: Mapping[str, Any]) -> None:
    """Write the files that show what the model's header has; ``config.json`` is the last of them."""
    history = History([dict(row) for row in metadata["history"]])
    with replacing(folder / HISTORY) as temporary:
        history.write_csv(temporary)
    if metadata["confusion"] is not None:
        _save_figure(folder / CONFUSION, plot_confusion(np.asarray(metadata["confusion"])))
    else:  # a regression has none
        (folder / CONFUSION).unlink(missing_ok=True)
    if history.rows:
        monitor = ("validation_accuracy", "validation_loss") if "validation_accuracy" in history.names else None
        _save_figure(folder / CURVES, plot_curves(history, monitor))
    else:
        (folder / CURVES).unlink(missing_ok=True)
    content = {**metadata["run"], "outcome": metadata["outcome"], "versions": metadata["versions"]}
    with replacing(folder / CONFIG) as temporary:
        text = json.dumps({**content, "model": digest_of(folder / WEIGHTS)}, indent=2)
        temporary.write_text(text + "\n", encoding="utf-8")


def refresh(folder: Path, metadata: Mapping[str, Any]) -> None:
    """Write the files that show a run anew if they are not of its model, as after a kill; if that may be done."""
    if not is_shown(folder):
        with suppress(OSError, NnxError), locked(folder):  # a run in a place that is not ours is read all the same
            show(folder, metadata)


def is_shown(folder: Path) -> bool:
    """Return whether the files that show a run are of its model; ``config.json``, the last one written, says so."""
    try:
        shown = json.loads((folder / CONFIG).read_text(encoding="utf-8"))["model"]
    except (OSError, ValueError, LookupError, TypeError, RecursionError):
        return False
    return bool(shown == digest_of(folder / WEIGHTS)) and (folder / HISTORY).exists()


def digest_of(path: Path) -> str:
    """Return the SHA-256 of a file."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _save_figure(path: Path, figure: Any) -> None:
    with replacing(path) as temporary:
        figure.savefig(temporary, format="png")


@contextmanager
def claim_folder(out: Path | None, name: str, *, overwrite: bool) -> Iterator[Path]:
    """Make and lock the directory of a run before any work is done; if nothing is written into it, remove it again.

    Parameters
    ----------
    out : path or None
        ``None`` takes the first free one of ``runs/<name>-1``, ``runs/<name>-2``, ...
    overwrite : bool
        Allow a directory that is not empty. Its model is replaced by a better one, at the end.

    Raises
    ------
    ArgumentError
        If the directory is not empty, and ``overwrite`` is false.
    UsageError
        If another process is training in it.
    OSError
        If the directory cannot be made or written to.
    """
    with ExitStack() as lock:
        folder, is_new = _next_folder(name, lock) if out is None else _open_folder(out, overwrite, lock)
        try:
            remove_leftovers(folder)
            yield folder
        finally:
            lock.close()
            if is_new:
                with suppress(OSError):  # it is not empty
                    folder.rmdir()


@contextmanager
def open_run(folder: Path) -> Iterator[Path]:
    """Lock the directory of a run that is to be resumed.

    Raises
    ------
    CheckpointError
        If there is none.
    UsageError
        If another process is training in it.
    """
    if not folder.is_dir():
        raise CheckpointError(f"{folder}: expected a run directory that nnx train wrote, got none; check the path")
    with ExitStack() as lock:
        with advising(folder, advice=_ADVICE):
            lock.enter_context(locked(folder))
        remove_leftovers(folder)
        remove_leftovers(folder / CHECKPOINTS)
        yield folder


def _next_folder(name: str, lock: ExitStack) -> tuple[Path, bool]:
    for number in count(1):
        folder = Path("runs", f"{name}-{number}")
        with advising(folder, advice=_ADVICE), ExitStack() as attempt:
            folder.mkdir(parents=True, exist_ok=True)
            try:
                attempt.enter_context(locked(folder))
            except UsageError:  # another process has just taken it
                continue
            if _is_free(folder):
                lock.push(attempt.pop_all())
                return folder, True
    raise AssertionError("count does not end")


def _open_folder(out: Path, overwrite: bool, lock: ExitStack) -> tuple[Path, bool]:
    with advising(out, advice=_ADVICE):
        is_new = not out.exists()
        if not is_new and not out.is_dir():
            raise ArgumentError(f"{out} is a file; choose a directory for --out")
        out.mkdir(parents=True, exist_ok=True)
        lock.enter_context(locked(out))
    if not _is_free(out) and not overwrite:
        raise ArgumentError(
            f"{out} exists already; add --overwrite to replace its files, go on with --resume {out}, or choose "
            "another --out"
        )
    if overwrite and not _is_free(out) and not is_run(out):
        raise ArgumentError(
            f"{out}: expected a run to --overwrite, got a directory of other files; choose another --out"
        )
    if overwrite and is_unfinished(out):
        raise ArgumentError(
            f"{out}: expected a finished run to --overwrite, got one that was stopped; go on with --resume {out}, or "
            "remove it yourself"
        )
    return out, is_new


def _is_free(folder: Path) -> bool:
    return all(name == LOCK or name.endswith(".nnx-tmp") for name in os.listdir(folder))
