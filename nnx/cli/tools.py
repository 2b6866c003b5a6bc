"""The commands around training: configurations to start from, tables, comparisons and export."""

from pathlib import Path

import click

from nnx.cli.commands import code_option, nnx, settings_option

_path = click.Path(path_type=Path)


@nnx.command()
@click.argument("kind", default="digits", metavar="[digits|mnist|images|table]")
def init(kind: str) -> int:
    """Print a commented configuration to start from: nnx init digits > config.toml."""
    from nnx.cli.templates import template

    click.echo(template(kind), nl=False)
    return 0


@nnx.command()
@click.argument("config", metavar="CONFIG|RUN", type=_path)
@settings_option
@code_option
def summary(config: Path, settings: tuple[str, ...], code: Path | None) -> int:
    """Show the layers of a model, with their shapes, parameters and operations.

    CONFIG is a configuration, whose data are read, since they settle sizes; RUN a directory that nnx train wrote.
    """
    from nnx.cli.code import load_code
    from nnx.cli.display import make_console
    from nnx.cli.summary import summary

    return summary(config, settings, load_code(code), make_console())


@nnx.command()
@click.argument("runs", nargs=-1, metavar="RUN RUN...", type=_path)
@click.option("--plot", type=_path, metavar="FILE.png", help="Also draw the curves of all runs.")
def compare(runs: tuple[Path, ...], plot: Path | None) -> int:
    """Show where runs differ, and how good they are."""
    from nnx.cli.compare import compare
    from nnx.cli.display import make_console

    return compare(runs, plot, make_console())


@nnx.command()
@click.argument("run", type=_path)
@click.option("--out", required=True, type=_path, metavar="FILE", help="A file .safetensors or .npz.")
@click.option("--torch", is_flag=True, help="With the names and layouts of PyTorch's modules.")
def export(run: Path, out: Path, torch: bool) -> int:
    """Write the weights of a run for other programs."""
    from nnx.cli.display import make_console
    from nnx.cli.export import export

    return export(run, out, torch=torch, console=make_console())
