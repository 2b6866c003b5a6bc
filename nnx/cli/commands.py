"""The commands and their options. The work is in one file a command, imported when the command is called."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from nnx.backend import BACKENDS
from nnx.version import __version__

_SETTINGS = {"help_option_names": ["-h", "--help"], "max_content_width": 100, "show_default": True}
_EXAMPLES = """\b
Examples:
  nnx train                             train on the digits that come with nnx
  nnx evaluate runs/digits-1            measure it on images it was not trained on
  nnx predict runs/digits-1 image.png   ask it which digit an image shows
"""


def _data(value: str) -> str:
    """Parse a data set that comes by name, or a directory."""
    if value not in ("digits", "mnist") and not Path(value).is_dir():
        raise click.BadParameter(f"expected digits, mnist or a directory, got {value!r}")
    return value if value in ("digits", "mnist") else str(Path(value).resolve())


def _sizes(value: str) -> tuple[int, ...]:
    """Parse numbers of units, such as ``50,50``; nothing for no hidden layer."""
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


@nnx.command()
@click.option(
    "--data",
    type=_data,
    metavar="digits|mnist|DIR",
    default="digits",
    help="Data set by name, or a directory of IDX files.",
)
@click.option("--loss", type=click.Choice(["cross-entropy", "mse", "mses"]), default="cross-entropy", help="Loss.")
@click.option("--hidden", type=_sizes, metavar="N,N,...", default="50", help="Units of each hidden layer; '' for none.")
@click.option(
    "--epochs", type=click.IntRange(min=1), metavar="N", default=30, help="Times to go through the training set."
)
@click.option("--batch-size", type=click.IntRange(min=1), metavar="N", default=16, help="Images for each step.")
@click.option(
    "--learning-rate", type=click.FloatRange(min=0, min_open=True), metavar="X", default=0.1, help="Size of a step."
)
@click.option("--optimizer", type=click.Choice(["sgd"]), default="sgd", help="Update rule.")
@click.option(
    "--seed", type=click.IntRange(min=0), metavar="N", default=0, help="Decides first weights, batches and division."
)
@click.option("--dtype", type=click.Choice(["float32", "float64"]), default="float32", help="Precision.")
@_device_options
@click.option(
    "--out", metavar="DIR", type=click.Path(path_type=Path), help="Directory to write.  [default: runs/<data>-<number>]"
)
@click.option("--overwrite", is_flag=True, help="Replace the files of an existing --out.")
@click.option("--quiet", is_flag=True, help="Print nothing but errors.")
def train(out: Path | None, overwrite: bool, quiet: bool, **options: Any) -> int:
    """Train a network and save it in a run directory.

    The directory holds the weights, the history of the epochs, two plots and the configuration.

    The images are standardised with the mean and standard deviation of the training set. Where the data have
    no test set, a fifth validates: of the digits one that the seed draws, of a directory the last in its files.
    What is saved is the model of the best epoch by validation accuracy; Ctrl-C saves the best so far.
    """
    from nnx.cli.backends import choose_device
    from nnx.cli.display import make_console
    from nnx.cli.runs import Options
    from nnx.cli.train import train

    options["backend"], options["device"] = choose_device(options["backend"], options["device"])
    return train(Options(**options), out=out, overwrite=overwrite, console=make_console(quiet=quiet))


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

    RUN is a directory that nnx train wrote. The image may have any size and colours, light on dark or dark on light.
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
