"""``nnx train``: everything from the options to the run directory."""

import importlib.util
import signal
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import click
import numpy as np
from rich.console import Console
from rich.markup import escape

from nnx.backend import use_backend
from nnx.callbacks import KeepBest
from nnx.cli import INTERRUPTED, OK
from nnx.cli.configuration import Config, Configuration
from nnx.cli.display import TrainingLog, loss_name, model_name, optimizer_name
from nnx.cli.framing import Framing
from nnx.cli.runs import CONFUSION, CURVES, HISTORY, WEIGHTS, Run, claim_folder
from nnx.cli.samples import load_samples
from nnx.data import DataLoader, Normalize
from nnx.errors import ArgumentError, MissingExtraError, NonFiniteError
from nnx.io import replacing, save_weights
from nnx.layers import Module
from nnx.losses import Loss
from nnx.metrics import Accuracy, ConfusionMatrix
from nnx.optimizers import Optimizer
from nnx.training import Trainer, plot_confusion, plot_curves

MONITOR = ("validation_accuracy", "validation_loss")


@dataclass(frozen=True)
class Job:
    """Everything that a training run needs; ``best`` is filled as it proceeds."""

    run: Run
    samples: tuple[int, int]  # how many train, and how many validate
    held_out: str
    loader: DataLoader
    validation: DataLoader
    model: Module
    loss: Loss
    optimizer: Optimizer
    best: KeepBest
    log: TrainingLog
    trainer: Trainer


def train(
    configuration: Configuration,
    *,
    model: Callable[[int, int], Config] | None,
    out: Path | None,
    overwrite: bool,
    console: Console,
) -> int:
    """Train a network by a configuration, and write a run directory; return the exit code.

    Parameters
    ----------
    configuration : Configuration
    model : callable or None
        Instead of the configuration's model, that of the configuration which this function returns for the numbers of
        pixels and of classes of the data.
    out : path or None
        See :func:`nnx.cli.runs.claim_folder`.
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
    claimed = claim_folder(out, name, overwrite=overwrite)
    # An overflow is reported once, as a loss that is not finite, instead of by each NumPy function on the way.
    with use_backend(configuration.spec), claimed as folder, np.errstate(all="ignore"):
        job = _prepare(configuration, model, console)
        _introduce(console, job)
        try:
            job.trainer.fit(job.loader, job.validation, epochs=configuration.epochs)
        except KeyboardInterrupt:
            _save(job, folder, "interrupted")
            click.echo(f"nnx: interrupted; {_saved_model(job)} is saved in {folder}", err=True)
            return INTERRUPTED
        except NonFiniteError as error:
            if job.best.row is None:
                error.message += "; nothing was saved, since no epoch was finished"
            else:
                _save(job, folder, "stopped: the loss was not finite")
                error.message += f"; {_saved_model(job)} is saved in {folder}"
            raise
        _save(job, folder, "finished")
        _conclude(console, job, folder)
        return OK


def _prepare(configuration: Configuration, architecture: Callable[[int, int], Config] | None, console: Console) -> Job:
    samples = load_samples(configuration.data, quiet=console.quiet)
    parts = samples.divide(configuration.seed)
    pixels = parts.x_train.shape[1]
    if architecture is not None:
        configuration = replace(configuration, model=architecture(pixels, samples.classes))
    run = Run(
        configuration=configuration,
        pixels=pixels,
        classes=samples.classes,
        standard=Normalize.fit(parts.x_train),
        framing=Framing.of(parts.x_train),
        fingerprint=samples.fingerprint,
    )
    loader = run.make_loader(parts.x_train, parts.y_train, configuration.batch_size, shuffle=True)
    validation = run.make_loader(parts.x_validation, parts.y_validation)
    model, loss = configuration.make_model(), configuration.make_loss()
    _try_out(model, validation, samples.classes)
    optimizer = configuration.make_optimizer(model)
    # Their own configurations are complete, with all defaults and with the sizes that the data have settled.
    complete = replace(configuration, model=model.config(), loss=loss.config(), optimizer=optimizer.config())
    run = replace(run, configuration=complete)
    best = KeepBest(MONITOR, restore=False)
    log = TrainingLog(console, best, configuration.epochs, len(loader))
    trainer = Trainer(model, loss, optimizer, metrics=[Accuracy()], callbacks=[best, log])
    return Job(
        run,
        (len(parts.y_train), len(parts.y_validation)),
        parts.held_out,
        loader,
        validation,
        model,
        loss,
        optimizer,
        best,
        log,
        trainer,
    )


def _try_out(model: Module, batches: DataLoader, classes: int) -> None:
    """Call a model once, to find out before the training whether it fits the data."""
    x, _ = next(iter(batches))
    try:
        shape = getattr(model.eval()(x), "shape", None)
    except TypeError as error:
        raise ArgumentError(f"expected a model that is called on a batch of images alone: {error}") from error
    if shape is None or tuple(shape) != (x.shape[0], classes):
        raise ArgumentError(
            f"expected a model that maps images of shape {tuple(x.shape)} to {(x.shape[0], classes)}, a number for "
            f"each class, got {'no array' if shape is None else tuple(shape)}"
        )
    model.train()


def _introduce(console: Console, job: Job) -> None:
    configuration = job.run.configuration
    console.print(
        f"[bold]{model_name(job.model)}[/] on [bold]{escape(configuration.data)}[/]: "
        f"{job.samples[0]:,} images to train, {job.samples[1]:,} to validate ({job.held_out})"
    )
    console.print(
        f"{loss_name(configuration.loss)}, {optimizer_name(job.optimizer)}, batches of {configuration.batch_size}, "
        f"seed {configuration.seed}, {configuration.dtype} on {configuration.spec}\n"
    )


def _conclude(console: Console, job: Job, folder: Path) -> None:
    row = job.best.row
    if row is not None:
        console.print(
            f"\nbest in epoch {row['epoch']}: [bold green]{_percent(row)}[/] of {job.samples[1]:,} "
            f"validation images, in {job.log.seconds:.1f} s"
        )
    files = ", ".join(sorted(path.name for path in folder.iterdir()))
    console.print(f"saved in [bold]{escape(str(folder))}[/]: {files}")


def _saved_model(job: Job) -> str:
    row = job.best.row
    if row is None:
        return "the model as it stood, with no epoch finished,"
    return f"the best model so far (epoch {row['epoch']}, validation accuracy {_percent(row)})"


def _percent(row: Mapping[str, float]) -> str:
    return f"{100 * row['validation_accuracy']:.2f} %"


def _save(job: Job, folder: Path, state: str) -> None:
    """Write the best model, then what describes it. Ctrl-C has no effect until this is done."""
    model, best, history = job.model, job.best, job.trainer.history
    outcome: dict[str, Any] = {"state": state, "epochs": len(history.rows)}
    with _uninterrupted():
        if best.row is not None and best.state is not None:
            model.load_state_dict(best.state)
            outcome["best"] = best.row
        model.eval()
        save_weights(folder / WEIGHTS, model, outcome)
        job.run.write(folder, outcome)
        with replacing(folder / HISTORY) as temporary:
            history.write_csv(temporary)
        matrix = ConfusionMatrix()
        for x, target in job.validation:
            matrix.update(model(x), target)
        _save_figure(folder / CONFUSION, plot_confusion(matrix.compute()))
        if history.rows:
            _save_figure(folder / CURVES, plot_curves(history, MONITOR))
        else:
            (folder / CURVES).unlink(missing_ok=True)  # that of the run that is overwritten


def _save_figure(path: Path, figure: Any) -> None:
    with replacing(path) as temporary:
        figure.savefig(temporary, format="png")


@contextmanager
def _uninterrupted() -> Iterator[None]:
    """Ignore a second Ctrl-C while files are written."""
    if threading.current_thread() is not threading.main_thread():  # only the main thread may set signal handlers
        yield
        return
    previous = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, previous)


def _require(*packages: str) -> None:
    for package in packages:
        if importlib.util.find_spec(package) is None:
            raise MissingExtraError(
                f"expected {package}, with which the run is saved; install it with: pip install 'nnx-array[cli]'"
            )
