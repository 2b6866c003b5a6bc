"""The commands and their options. Each command's work is in a file of its own, imported when it is called."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from click.core import ParameterSource

from nnx.backend import BACKENDS
from nnx.cli import FAILED, LOSSES
from nnx.version import __version__

if TYPE_CHECKING:
    from nnx.cli.configuration import Configuration

_SETTINGS = {"help_option_names": ["-h", "--help"], "max_content_width": 100, "show_default": True}
_EXAMPLES = """\b
Examples:
  nnx train                             train on the digits that come with nnx
  nnx train --config mine.json          train what a file describes, or a run once more
  nnx evaluate runs/digits-1            measure it on images it was not trained on
  nnx predict runs/digits-1 image.png   ask it which digit an image shows
"""


def _data(value: str) -> str:
    """Parse the name of a data set, or a directory."""
    if value not in ("digits", "mnist") and not (value and Path(value).is_dir()):
        raise click.BadParameter(f"expected digits, mnist or a directory, got {value!r}")
    return value if value in ("digits", "mnist") else str(Path(value).resolve())


def _sizes(value: str) -> tuple[int, ...]:
    """Parse numbers of units, such as ``50,50``; the empty string means no hidden layer."""
    parts = value.split(",") if value else []
    if not all(part.strip().isdecimal() and int(part) for part in parts):
        raise click.BadParameter(f"expected numbers of units such as 50 or 50,50, got {value!r}")
    return tuple(map(int, parts))


def _device_options(command: Callable[..., Any]) -> Callable[..., Any]:
    backend = click.option(
        "--backend",
        type=click.Choice(list(BACKENDS)),
        help="Array library to compute with.  [default: the variable NNX_BACKEND, else numpy]",
    )
    device = click.option(
        "--device", metavar="NAME", help="Device of that library, such as cuda:0.  [default: its first]"
    )
    return backend(device(command))


OPTIMIZERS = {"sgd": "SGD", "adam": "Adam", "adamw": "AdamW"}
RATES = {"sgd": 0.1, "adam": 0.001, "adamw": 0.001}
# Options that a --config file replaces; the other options take precedence over the file.
_IN_THE_FILE = ("loss", "model", "hidden", "learning_rate", "optimizer", "momentum", "dtype")

_run_argument = click.argument("run", type=click.Path(path_type=Path))


@click.group(context_settings=_SETTINGS, invoke_without_command=True, epilog=_EXAMPLES)
@click.version_option(__version__, "--version", "-V", prog_name="nnx", message="%(prog)s %(version)s")
@click.pass_context
def nnx(context: click.Context) -> None:
    """Train a neural network on handwritten digits, and use it."""
    if context.invoked_subcommand is None:
        click.echo(context.get_help())


@nnx.command()
@click.option(
    "--config",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Model, loss, optimizer and the rest from a file of JSON, such as config.json of a run.",
)
@click.option(
    "--data",
    type=_data,
    metavar="digits|mnist|DIR",
    default="digits",
    help="Data set by name, or a directory of IDX files.",
)
@click.option("--loss", type=click.Choice([*LOSSES]), default="cross-entropy", help="Loss.")
@click.option(
    "--model", type=click.Choice(["perceptron", "lenet"]), default="perceptron", help="Linear layers, or convolutions."
)
@click.option(
    "--hidden", type=_sizes, metavar="N,N,...", default="50", help="Units of a perceptron's hidden layers; '' for none."
)
@click.option(
    "--epochs", type=click.IntRange(min=1), metavar="N", default=30, help="Times to go through the training set."
)
@click.option("--batch-size", type=click.IntRange(min=1), metavar="N", default=16, help="Images for each step.")
@click.option(
    "--learning-rate",
    type=click.FloatRange(min=0, min_open=True),
    metavar="X",
    help="Size of a step.  [default: 0.1 for sgd, 0.001 for adam and adamw]",
)
@click.option("--optimizer", type=click.Choice([*OPTIMIZERS]), default="sgd", help="Update rule.")
@click.option(
    "--momentum", type=click.FloatRange(min=0, max=1, max_open=True), metavar="X", default=0.0, help="Momentum of sgd."
)
@click.option(
    "--seed", type=click.IntRange(min=0), metavar="N", default=0, help="Decides initial weights, batches and division."
)
@click.option("--dtype", type=click.Choice(["float32", "float64"]), default="float32", help="Precision.")
@_device_options
@click.option(
    "--out", metavar="DIR", type=click.Path(path_type=Path), help="Directory to write.  [default: runs/<data>-<number>]"
)
@click.option("--overwrite", is_flag=True, help="Replace the run of an existing --out, at the end.")
@click.option(
    "--resume", type=click.Path(path_type=Path), metavar="RUN", help="Take a run that was stopped to its end."
)
@click.option("--quiet", is_flag=True, help="Print nothing but errors.")
@click.pass_context
def train(
    context: click.Context,
    /,
    config: Path | None,
    out: Path | None,
    overwrite: bool,
    resume: Path | None,
    quiet: bool,
    **options: Any,
) -> int:
    """Train a network and save it in a run directory.

    The directory holds the weights, the history of the epochs, two plots and the configuration.

    The network is a perceptron, linear layers with ReLU between them, or LeNet, two convolutions and two linear layers,
    or what the file of --config describes: then --data, --epochs, --batch-size, --seed, --backend and --device, where
    given, go before what the file says.

    The images are standardized with the mean and standard deviation of the training set. Where the data have
    no test set, a fifth validates: of the digits one that the seed draws, of a directory the last in its files.
    What is saved is the model of the best epoch by validation accuracy. While a run trains, checkpoints of it are saved
    too: after Ctrl-C, a crash or a power failure, --resume takes it to the same end as if it had not been stopped. Of
    the other options only --epochs, --backend, --device and --quiet go with it.
    """
    from nnx.cli.display import Output, make_console
    from nnx.cli.train import train

    output = Output()
    console = make_console(quiet=quiet, file=output)
    given = {name for name in options if context.get_parameter_source(name) is ParameterSource.COMMANDLINE}
    if resume is not None:
        code = _resume(resume, given, options, [config, out, overwrite or None], console)
        return _end(code, output)
    if config is None:
        configuration, model = _preset(options, given), _architecture(options, given)
    else:
        configuration, model = _from_file(config, given, options), None
    return _end(train(configuration, model=model, out=out, overwrite=overwrite, console=console), output)


def _end(code: int, output: Any) -> int:
    """Return the exit code, after a message if what was printed could not be written."""
    output.flush()
    if output.error is None:
        return code
    if not isinstance(output.error, BrokenPipeError):  # else the reader of a pipe has seen enough
        reason = output.error.strerror or output.error
        click.echo(f"nnx: error: the standard output could not be written: {reason}; the run is saved", err=True)
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # otherwise Python's flush at exit fails
    return code or FAILED


def _resume(run: Path, given: set[str], options: dict[str, Any], others: list[Any], console: Any) -> int:
    from dataclasses import replace

    from nnx.cli.backends import choose_device
    from nnx.cli.train import resume

    if any(other is not None for other in others) or (clash := sorted(given - {"epochs", "backend", "device"})):
        names = "other options" if any(other is not None for other in others) else f"--{clash[0].replace('_', '-')}"
        raise click.UsageError(f"--resume and {names} exclude each other: the run says that")

    def adapt(configuration: "Configuration") -> "Configuration":
        backend, device = options["backend"], options["device"]
        if backend is None:
            backend, device = configuration.backend, device or configuration.device
        backend, device = choose_device(backend, device)
        epochs = options["epochs"] if "epochs" in given else configuration.epochs
        return replace(configuration, backend=backend, device=device, epochs=epochs)

    return resume(run, adapt, console)


def _architecture(options: dict[str, Any], given: set[str]) -> Callable[[int, int], dict[str, Any]]:
    """Return the function that gives the configuration of the model for a number of pixels and classes."""
    from nnx.cli.architectures import lenet, perceptron

    if options["model"] == "lenet":
        if "hidden" in given:
            raise click.UsageError("--hidden is for the perceptron: leave it out, or choose --model perceptron")
        return lambda pixels, classes: lenet(pixels, classes, options["dtype"])
    return lambda pixels, classes: perceptron((pixels, *options["hidden"], classes), options["dtype"])


def _preset(options: dict[str, Any], given: set[str]) -> "Configuration":
    """Return the configuration for the options of ``nnx train``; the model is added when the data are known."""
    from nnx.cli.backends import choose_device
    from nnx.cli.configuration import Configuration

    name = options["optimizer"]
    if name != "sgd" and "momentum" in given:
        raise click.UsageError("--momentum is for sgd: leave it out, or choose --optimizer sgd")
    optimizer = {"type": OPTIMIZERS[name], "learning_rate": options["learning_rate"] or RATES[name]}
    backend, device = choose_device(options["backend"], options["device"])
    return Configuration(
        model={},
        loss={"type": LOSSES[options["loss"]]},
        optimizer=optimizer | ({"momentum": options["momentum"]} if name == "sgd" else {}),
        **{name: options[name] for name in ("data", "epochs", "batch_size", "seed", "dtype")},
        backend=backend,
        device=device,
    )


def _from_file(path: Path, given: set[str], options: dict[str, Any]) -> "Configuration":
    """Return the configuration in a file; options that were given take precedence."""
    from dataclasses import replace

    from nnx.cli.backends import choose_device
    from nnx.cli.configuration import read_configuration

    if clash := [name for name in _IN_THE_FILE if name in given]:
        names = ", ".join("--" + name.replace("_", "-") for name in clash)
        raise click.UsageError(f"--config and {names} exclude each other: the file says that")
    read = read_configuration(path, **{name: options[name] for name in given - {"backend", "device"}})
    backend, device = options["backend"], options["device"]
    if backend is None:  # otherwise the device in the file belongs to another backend
        backend, device = read.backend, device or read.device
    backend, device = choose_device(backend, device)
    return replace(read, backend=backend, device=device)


@nnx.command()
@_run_argument
@click.option(
    "--data", type=_data, metavar="digits|mnist|DIR", help="Data to measure on.  [default: what the run was trained on]"
)
@_device_options
def evaluate(run: Path, data: str | None, backend: str | None, device: str | None) -> int:
    """Measure a trained network on other images.

    RUN is a directory that nnx train wrote. Of the data that it was trained on only the validation images are
    used; of other data the test images, or all if there is no such part.
    """
    from nnx.cli.backends import choose_device
    from nnx.cli.display import make_console
    from nnx.cli.evaluate import evaluate

    return evaluate(run, data=data, spec=":".join(choose_device(backend, device)), console=make_console())


@nnx.command()
@_run_argument
@click.argument("image", type=click.Path(path_type=Path))
@_device_options
def predict(run: Path, image: Path, backend: str | None, device: str | None) -> int:
    """Ask a trained network which digit an image shows.

    RUN is a directory that nnx train wrote. The image may have any size and colors, light on dark or dark on light.
    """
    from nnx.cli.backends import choose_device
    from nnx.cli.display import make_console
    from nnx.cli.predict import predict

    return predict(run, image, spec=":".join(choose_device(backend, device)), console=make_console())


@nnx.command()
def backends() -> int:
    """List the array libraries and their devices."""
    from nnx.cli.backends import list_backends
    from nnx.cli.display import make_console

    return list_backends(make_console())
