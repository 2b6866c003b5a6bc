"""The commands and their options. Each command's work is in a file of its own, imported when it is called."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
from click.core import ParameterSource

from nnx.backend import BACKENDS, keep_freed_memory
from nnx.cli import FAILED, LOSSES
from nnx.version import __version__

_SETTINGS = {"help_option_names": ["-h", "--help"], "max_content_width": 100, "show_default": True}
_EXAMPLES = """\b
Examples:
  nnx train                             train on the digits that come with nnx
  nnx train --config mine.json          train what a file describes, or a run once more
  nnx evaluate runs/digits-1            measure it on images it was not trained on
  nnx predict runs/digits-1 image.png   ask it which digit an image shows
"""


def _data(value: str) -> str:
    """Parse the name of a data set, a directory or a file."""
    is_file = Path(value).suffix in (".npz", ".csv") and Path(value).is_file()
    if value not in ("digits", "mnist") and not (value and (Path(value).is_dir() or is_file)):
        from nnx.functional.checks import nearest  # only once something is wrong

        near = nearest(value, ("digits", "mnist"))
        raise click.BadParameter(f"expected digits, mnist, a directory, or a file .npz or .csv, got {value!r}{near}")
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


_run_argument = click.argument("run", type=click.Path(path_type=Path))


@click.group(context_settings=_SETTINGS, invoke_without_command=True, epilog=_EXAMPLES)
@click.version_option(__version__, "--version", "-V", prog_name="nnx", message="%(prog)s %(version)s")
@click.pass_context
def nnx(context: click.Context) -> None:
    """Train a neural network on handwritten digits, and use it."""
    if context.invoked_subcommand is None:
        click.echo(context.get_help())


code_option = click.option(
    "--code",
    type=click.Path(path_type=Path),
    metavar="FILE.py",
    help="Python file whose classes and functions a configuration may name.",
)


settings_option = click.option(
    "--set",
    "settings",
    multiple=True,
    metavar="NAME=VALUE",
    help="Replace a value of the configuration, such as optimizer.learning_rate=1e-3; may be repeated.",
)


@nnx.command()
@click.argument("file", metavar="[CONFIG]", required=False, type=click.Path(path_type=Path))
@click.option("--config", type=click.Path(path_type=Path), metavar="FILE", help="The same as CONFIG.")
@settings_option
@click.option(
    "--sweep",
    "sweeps",
    multiple=True,
    metavar="NAME=V,V,...",
    help="A run for each value, and each combination of several sweeps; --out has a directory for each.",
)
@code_option
@click.option(
    "--data",
    type=_data,
    metavar="digits|mnist|PATH",
    default="digits",
    help="Data set by name, a directory of IDX files or of images by class, or a file .npz or .csv.",
)
@click.option(
    "--loss",
    type=click.Choice([*LOSSES]),
    help="Loss.  [default: cross-entropy, of numbers as targets mse]",
)
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
@click.option("--optimizer", type=click.Choice(["sgd", "adam", "adamw"]), default="sgd", help="Update rule.")
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
    file: Path | None,
    config: Path | None,
    settings: tuple[str, ...],
    sweeps: tuple[str, ...],
    code: Path | None,
    out: Path | None,
    overwrite: bool,
    resume: Path | None,
    quiet: bool,
    **options: Any,
) -> int:
    """Train a network and save it in a run directory.

    The directory holds the weights, the history of the epochs, two plots and the configuration.

    The network is a perceptron, linear layers with ReLU between them, or LeNet, two convolutions and two linear layers,
    or what CONFIG describes, a file of TOML or JSON, such as the config.json of a run: then --data, --epochs,
    --batch-size, --seed, --backend and --device, where given, go before what the file says.

    Inputs are standardized with the mean and standard deviation of the training set. Where the data have no test set, a
    fifth validates: of the digits one that the seed draws, of a directory the last in its files. What is saved is the
    model of the best epoch by validation accuracy, or loss where the targets are numbers. While a run trains,
    checkpoints of it are saved too: after Ctrl-C, a crash or a power failure, --resume takes it to the same end as if
    it had not been stopped.
    """
    from nnx.cli.code import load_code
    from nnx.cli.display import Output, make_console
    from nnx.cli.requests import chosen_configuration, go_on
    from nnx.cli.train import train

    keep_freed_memory()  # the process is the command's own
    if out is not None and not str(out).strip(".") and out == Path():
        raise click.UsageError("expected a directory for --out, got the current one; name a new one")
    output = Output()
    console = make_console(quiet=quiet, file=output)
    given = {name for name in options if context.get_parameter_source(name) is ParameterSource.COMMANDLINE}
    allow = load_code(code)
    if resume is None:
        config = _one_of(file, config)
        configuration = chosen_configuration(config, given, options, settings, allow)
        if sweeps and overwrite:
            raise click.UsageError("--sweep and --overwrite exclude each other: choose another --out")
        if sweeps:
            from nnx.cli.sweep import sweep

            return _end(sweep(configuration, sweeps, out, allow, console), output)
        return _end(train(configuration, out=out, overwrite=overwrite, console=console), output)
    if file or config or out or overwrite or sweeps:
        raise click.UsageError("--resume goes without CONFIG, --config, --out, --overwrite, --sweep: the run has them")
    return _end(go_on(resume, given, options, settings, allow, console), output)


def _one_of(file: Path | None, config: Path | None) -> Path | None:
    if file and config:
        raise click.UsageError(f"{file} and --config exclude each other: one configuration is enough")
    return file or config


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


@nnx.command()
@_run_argument
@click.option(
    "--data",
    type=_data,
    metavar="digits|mnist|PATH",
    help="Data to measure on.  [default: what the run was trained on]",
)
@code_option
@_device_options
def evaluate(run: Path, data: str | None, code: Path | None, backend: str | None, device: str | None) -> int:
    """Measure a trained network on other images.

    RUN is a directory that nnx train wrote. Of the data that it was trained on only the validation images are
    used; of other data the test images, or all if there is no such part.
    """
    from nnx.cli.backends import choose_device
    from nnx.cli.code import load_code
    from nnx.cli.display import make_console
    from nnx.cli.evaluate import evaluate

    spec = ":".join(choose_device(backend, device))
    return evaluate(run, data=data, spec=spec, allow=load_code(code), console=make_console())


@nnx.command()
@_run_argument
@click.argument("image", type=click.Path(path_type=Path))
@code_option
@_device_options
def predict(run: Path, image: Path, code: Path | None, backend: str | None, device: str | None) -> int:
    """Ask a trained network which digit an image shows.

    RUN is a directory that nnx train wrote. The image may have any size and colors, light on dark or dark on light.
    """
    from nnx.cli.backends import choose_device
    from nnx.cli.code import load_code
    from nnx.cli.display import make_console
    from nnx.cli.predict import predict

    spec = ":".join(choose_device(backend, device))
    return predict(run, image, spec=spec, allow=load_code(code), console=make_console())


@nnx.command()
def backends() -> int:
    """List the array libraries and their devices."""
    from nnx.cli.backends import list_backends
    from nnx.cli.display import make_console

    return list_backends(make_console())
