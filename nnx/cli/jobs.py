"""What a training run consists of, made from its configuration."""

import contextlib
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from rich.console import Console

from nnx.backend import namespace
from nnx.callbacks import Checkpoints, KeepBest
from nnx.cli.architectures import resolved
from nnx.cli.configuration import Configuration
from nnx.cli.display import TrainingLog
from nnx.cli.framing import Framing
from nnx.cli.run_folder import CHECKPOINTS
from nnx.cli.runs import Run
from nnx.cli.samples import load_samples
from nnx.data import Compose, DataLoader, Normalize, SampleKey
from nnx.errors import ArgumentError, UsageError
from nnx.layers import Module
from nnx.metrics import Accuracy
from nnx.training import Trainer
from nnx.training.mixed_precision import as_policy
from nnx.types import Array


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


def prepare(configuration: Configuration, folder: Path, id: str, console: Console) -> Job:
    """Read the data, and make the model and all else; see :func:`nnx.cli.train.train`."""
    samples = load_samples(configuration.data, configuration.data_options, quiet=console.quiet)
    parts = samples.divide(configuration.seed)
    loss = configuration.loss or {"type": "MSE" if samples.is_regression else "CrossEntropy"}
    model = resolved(configuration.model, samples.shape, samples.outputs, configuration.dtype)
    configuration = replace(configuration, model=model, loss=loss)
    is_table = len(samples.shape) == 1  # whose columns have scales of their own, unlike the pixels of an image
    run = Run(
        configuration=configuration,
        shape=samples.shape,
        classes=samples.outputs,
        is_regression=samples.is_regression,
        standard=Normalize.fit(parts.x_train, axis=0) if is_table else Normalize.fit(parts.x_train),
        framing=Framing() if is_table else Framing.of(parts.x_train),
        fingerprint=samples.fingerprint,
    )
    loader = run.make_loader(
        parts.x_train,
        parts.y_train,
        configuration.batch_size,
        shuffle=True,
        transform=_as_images(samples.shape, configuration.make_transforms()),
    )
    validation = run.make_loader(parts.x_validation, parts.y_validation)
    run, trainer, best, log, checkpoints = _assemble(run, loader, validation, folder, id, console)
    counts = len(parts.y_train), len(parts.y_validation)
    return Job(id, run, counts, parts.held_out, loader, validation, best, log, checkpoints, trainer)


def _assemble(
    run: Run, loader: DataLoader, validation: DataLoader, folder: Path, id: str, console: Console
) -> tuple[Run, Trainer, KeepBest, TrainingLog, Checkpoints]:
    """Return the run with complete configurations, its trainer, and the callbacks that the command needs."""
    configuration = run.configuration
    model, loss = configuration.make_model(), configuration.make_loss()
    _try_out(model, validation, run.classes, configuration.policy)
    optimizer, average = configuration.make_optimizer(model), configuration.make_average(model)
    best = KeepBest(run.monitor, restore=False)
    log = TrainingLog(console, best, configuration.epochs, len(loader))
    checkpoints = Checkpoints(folder / CHECKPOINTS, every_seconds=20, least_seconds=2, metadata={"id": id})
    trainer = Trainer(
        model,
        loss,
        optimizer,
        metrics=({} if run.is_regression else {"accuracy": Accuracy()}) | configuration.make_metrics(),
        callbacks=[best, *configuration.make_callbacks(), log, checkpoints],
        policy=configuration.policy,
        accumulate=configuration.accumulate,
        average=average,
        not_finite=configuration.not_finite,
    )
    # Their own configurations are complete, with all defaults and with the sizes that the data have settled.
    configs: dict[str, Any] = {"loss": loss.config(), "optimizer": optimizer.config()}
    with contextlib.suppress(ArgumentError, UsageError):  # a model that only its own code can make again
        configs["model"] = model.config()
    return replace(run, configuration=replace(configuration, **configs)), trainer, best, log, checkpoints


def _as_images(shape: tuple[int, ...], transforms: list[Any]) -> Any:
    """Return a transform of batches whose samples are rows of values, from transforms of batches of images."""
    if not transforms:
        return None
    transform = Compose(transforms)
    if len(shape) == 1:
        return transform
    images = shape if len(shape) == 3 else (1, *shape)

    def of_rows(batch: tuple[Array, Array], key: SampleKey) -> tuple[Array, Array]:
        x, target = batch
        xp = namespace(x)
        x, target = transform((xp.reshape(x, (x.shape[0], *images)), target), key=key)
        return xp.reshape(x, (x.shape[0], -1)), target

    return of_rows


def _try_out(model: Module, batches: DataLoader, classes: int, policy: str) -> None:
    """Call a model once, to find out before the training whether it fits the data, and the backend the policy."""
    x, _ = next(iter(batches))
    try:
        shape = getattr(model.eval()(x), "shape", None)
    except TypeError as error:
        raise ArgumentError(f"expected a model that is called on a batch of images alone: {error}") from error
    if shape is None or tuple(shape) != (x.shape[0], classes):
        raise ArgumentError(
            f"expected a model that maps samples of shape {tuple(x.shape)} to {(x.shape[0], classes)}, a number for "
            f"each class, got {'no array' if shape is None else tuple(shape)}"
        )
    as_policy(policy).model(model)  # a backend may not have its dtype
    model.train()
