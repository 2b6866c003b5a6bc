"""``nnx train``: everything from the options to the run directory."""

import importlib.util
import secrets
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click
import numpy as np
from rich.console import Console
from rich.markup import escape

from nnx.backend import use_backend
from nnx.cli import INTERRUPTED, OK
from nnx.cli.configuration import Configuration
from nnx.cli.display import loss_name, model_name, optimizer_name
from nnx.cli.jobs import Job, prepare
from nnx.cli.run_folder import (
    BEGUN,
    CHECKPOINTS,
    FILES,
    WEIGHTS,
    begin,
    claim_folder,
    drop_checkpoints,
    is_shown,
    keep_begun,
    metadata_of,
    open_run,
    read_begun,
    show,
)
from nnx.cli.runs import Run, versions
from nnx.errors import CheckpointError, DataError, MissingExtraError, NnxError, NonFiniteError
from nnx.functional.checks import counted
from nnx.io import save_weights
from nnx.io.checkpoint_folder import CheckpointWarning
from nnx.metrics import ConfusionMatrix
from nnx.training import evaluate
from nnx.training.interruption import deferred

FINISHED = "finished"


def train(
    configuration: Configuration,
    *,
    out: Path | None,
    overwrite: bool,
    console: Console,
) -> int:
    """Train a network by a configuration, and write a run directory; return the exit code.

    Parameters
    ----------
    configuration : Configuration
    out : path or None
        See :func:`nnx.cli.run_folder.claim_folder`.
    overwrite : bool
    console : Console

    Raises
    ------
    ArgumentError
        If no model, loss or optimizer can be built from the configuration, or the model does not return a number per
        class.
    NonFiniteError
        If the loss became infinite or NaN; the best model so far is saved.
    """
    _require("matplotlib")
    name = Path(configuration.data).name or "data"
    with claim_folder(out, name, overwrite=overwrite) as folder, _computing(configuration):
        job = prepare(configuration, folder, secrets.token_hex(8), console)
        begin(folder, {"id": job.id, "asked": configuration.as_data(), **job.run.content()})
        _introduce(console, job)
        try:
            return _run(job, folder, console)
        except NnxError:
            if not job.trainer.step:  # refused before the first batch: there is nothing to go on with
                drop_checkpoints(folder)
            raise


def resume(
    folder: Path,
    adapt: Callable[[Configuration], Configuration],
    allow: Mapping[str, Callable[..., Any]],
    console: Console,
) -> int:
    """Take a run that was stopped to its end; return the exit code.

    Parameters
    ----------
    folder : path
    adapt : callable
        Returns the configuration to go on with, such as one of more epochs or on another backend.
    allow : mapping
        See :class:`nnx.cli.configuration.Configuration`.
    console : Console

    Raises
    ------
    CheckpointError
        If the directory has no run that can be resumed, or all of its checkpoints are damaged.
    DataError
        If the data are others than those that the run was begun with.
    """
    _require("matplotlib")
    with open_run(folder):
        begun = read_begun(folder)
        if begun is None:
            has = "a model without checkpoints" if (folder / WEIGHTS).exists() else "none"
            raise CheckpointError(
                f"{folder}: expected a run that nnx train began, got {has}; start one with nnx train --out {folder}"
            )
        run = Run.parse(begun, folder / CHECKPOINTS / BEGUN, allow)
        configuration = adapt(run.configuration)
        with _computing(configuration):
            job = prepare(configuration, folder, str(begun.get("id")), console)
            if job.run.fingerprint != run.fingerprint:
                raise DataError(
                    f"{configuration.data}: expected the data that the run was begun with, got others; bring them "
                    "back, or start a new run"
                )
            return _go_on(job, folder, begun, console)


def _go_on(job: Job, folder: Path, begun: Mapping[str, Any], console: Console) -> int:
    trainer, epochs = job.trainer, job.run.configuration.epochs
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", CheckpointWarning)  # told in the command's own words
        job.checkpoints.resume(trainer)
    for line in job.checkpoints.damaged:
        click.echo(f"nnx: {line}; the checkpoint before it is used", err=True)
    metadata = _metadata(folder) or {}
    is_finished = metadata.get("id") == job.id and metadata["outcome"]["state"] == FINISHED
    if is_finished and trainer.epoch >= epochs:
        if not is_shown(folder):
            show(folder, metadata)
        console.print(
            f"{escape(str(folder))} has finished its {counted(trainer.epoch, 'epoch')}; for more, add --epochs"
        )
        return OK
    keep_begun(folder, {**begun, **job.run.content()})
    _introduce(console, job)
    if trainer.step:
        where = f" and {counted(trainer.batch, 'batch')}" if trainer.batch else ""
        console.print(f"goes on after {counted(trainer.epoch, 'epoch')}{where}\n")
    return _run(job, folder, console)


def _run(job: Job, folder: Path, console: Console) -> int:
    """Train, and write the files of the run, whatever happens."""
    advice = f"go on with nnx train --resume {folder}"
    try:
        job.trainer.fit(job.loader, job.validation, epochs=job.run.configuration.epochs)
    except (KeyboardInterrupt, SystemExit) as stop:
        click.echo(f"nnx: interrupted; {_save(job, folder, 'interrupted')}; {advice}", err=True)
        return INTERRUPTED if isinstance(stop, KeyboardInterrupt) else int(stop.code or 0)
    except NonFiniteError as error:
        if job.best.row is None:
            error.message += f"; no epoch was finished, and {_left(job, folder)}"
        else:
            error.message += f"; {_save(job, folder, 'stopped: the loss was not finite')}"
        raise
    _save(job, folder, FINISHED)
    _conclude(console, job, folder)
    return OK


def _left(job: Job, folder: Path) -> str:
    """Say what a run has that was stopped by a loss that is not finite before its first epoch was over."""
    steps = job.checkpoints.folder.steps()
    if not steps or not steps[-1]:
        return "no state was saved before it"
    return (
        f"the model after batch {steps[-1]:,} is in {folder / CHECKPOINTS}; change what is wrong and go on, as with "
        f"nnx train --resume {folder} --set optimizer.learning_rate={job.trainer.optimizer.learning_rate / 10:g}"
    )


def _introduce(console: Console, job: Job) -> None:
    configuration = job.run.configuration
    console.print(
        f"[bold]{model_name(job.trainer.model)}[/] on [bold]{escape(configuration.data)}[/]: "
        f"{job.samples[0]:,} {job.run.kind} to train, {job.samples[1]:,} to validate ({job.held_out})"
    )
    precision = configuration.dtype
    if configuration.policy != "float32":
        precision = f"{configuration.policy} with weights in {precision}"
    how = f"{loss_name(configuration.loss)}, {optimizer_name(job.trainer.optimizer)}"
    console.print(
        f"{how}, batches of {configuration.batch_size}, "
        f"seed {configuration.seed}, {precision} on {configuration.spec}\n"
    )


def _conclude(console: Console, job: Job, folder: Path) -> None:
    row = job.best.row
    if row is not None:
        console.print(
            f"\nbest in epoch {row['epoch']}: [bold green]{_value(row)}[/] of {job.samples[1]:,} "
            f"validation {job.run.kind}, in {job.log.seconds:.1f} s"
        )
    files = ", ".join(name for name in sorted((CHECKPOINTS, *FILES)) if (folder / name).exists())
    console.print(f"saved in [bold]{escape(str(folder))}[/]: {files}")


def _measure(row: Mapping[str, float]) -> str:
    return f"accuracy {_value(row)}" if "validation_accuracy" in row else f"loss {row['validation_loss']:.6g}"


def _value(row: Mapping[str, float]) -> str:
    """Return what decided that an epoch was the best, as text."""
    if "validation_accuracy" in row:
        return f"{100 * row['validation_accuracy']:.2f} %"
    return f"a loss of {row['validation_loss']:.6g}"


def _save(job: Job, folder: Path, state: str) -> str:
    """Replace the model of the run, unless what is there is better; return a sentence about what there is.

    Ctrl-C and SIGTERM have no effect until this is done; a third one ends it at once.
    """
    row, metadata = job.best.row, _metadata(folder)
    is_there = (folder / WEIGHTS).exists()
    is_own = is_there and metadata is not None and metadata.get("id") == job.id
    if row is None:
        stays = ", and the model of the run before stays" if is_there and not is_own else ""
        return f"no epoch was finished{stays}"
    told = f"(epoch {row['epoch']}, validation {_measure(row)})"
    was_finished = metadata is not None and metadata.get("outcome", {}).get("state", FINISHED) == FINISHED
    if state != FINISHED and was_finished and not is_own:
        return f"the best model so far {told} is in the checkpoints of {folder}, and the model of the run before stays"
    with deferred(shielded=True):
        model, best = job.trainer.model, job.best.state
        model.load_state_dict(best or {})
        confusion = None
        if not job.run.is_regression:
            policy = job.run.configuration.policy
            found = evaluate(model, job.trainer.loss, job.validation, metrics=[ConfusionMatrix()], policy=policy)
            confusion = found["confusion_matrix"].tolist()
        configuration, history = job.run.configuration, job.trainer.history
        metadata = {
            "id": job.id,
            "run": job.run.content(),
            "outcome": {"state": state, "epochs": len(history.rows), "best": row},
            "versions": versions(configuration.backend),
            "history": history.rows,
            "confusion": confusion,
        }
        save_weights(folder / WEIGHTS, model.eval(), metadata)
        show(folder, metadata)
    return f"the best model so far {told} is saved in {folder}"


def _metadata(folder: Path) -> dict[str, Any] | None:
    """Return what the header of the model has, ``None`` if there is none that can be read."""
    try:
        return metadata_of(folder)
    except CheckpointError:
        return None


@contextmanager
def _computing(configuration: Configuration) -> Iterator[None]:
    """Compute on the backend of a configuration, without a warning for each overflow on the way."""
    with use_backend(configuration.spec), np.errstate(all="ignore"):
        yield


def _require(*packages: str) -> None:
    for package in packages:
        if importlib.util.find_spec(package) is None:
            raise MissingExtraError(
                f"expected {package}, with which the run is saved; install it with: pip install 'nnx-array[cli]'"
            )
