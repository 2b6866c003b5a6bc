"""What a training run consists of, made from its configuration."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from rich.console import Console

from nnx.callbacks import Checkpoints, KeepBest
from nnx.cli.configuration import Config, Configuration
from nnx.cli.display import TrainingLog
from nnx.cli.framing import Framing
from nnx.cli.run_folder import CHECKPOINTS, MONITOR
from nnx.cli.runs import Run
from nnx.cli.samples import load_samples
from nnx.data import DataLoader, Normalize
from nnx.errors import ArgumentError
from nnx.layers import Module
from nnx.metrics import Accuracy
from nnx.training import Trainer


@dataclass(frozen=True)
class Job:
    """Everything that a training run needs; ``best`` is filled as it proceeds."""

    id: str  # of the run, which its model and its checkpoints have in common
    run: Run
    samples: tuple[int, int]  # how many train, and how many validate
    held_out: str
    loader: DataLoader
    validation: DataLoader
    best: KeepBest
    log: TrainingLog
    checkpoints: Checkpoints
    trainer: Trainer


def prepare(
    configuration: Configuration,
    architecture: Callable[[int, int], Config] | None,
    folder: Path,
    id: str,
    console: Console,
) -> Job:
    """Read the data, and make the model and all else; see :func:`nnx.cli.train.train`."""
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
    best = KeepBest(MONITOR, restore=False)
    log = TrainingLog(console, best, configuration.epochs, len(loader))
    checkpoints = Checkpoints(folder / CHECKPOINTS, every_seconds=20, least_seconds=2, metadata={"id": id})
    trainer = Trainer(model, loss, optimizer, metrics=[Accuracy()], callbacks=[best, log, checkpoints])
    counts = len(parts.y_train), len(parts.y_validation)
    run = replace(run, configuration=complete)
    return Job(id, run, counts, parts.held_out, loader, validation, best, log, checkpoints, trainer)


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
