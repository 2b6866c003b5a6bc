"""``nnx compare``: what several runs have in common and where they differ, in a table and a plot."""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.markup import escape

from nnx.cli import OK
from nnx.cli.display import print_table
from nnx.cli.run_folder import metadata_of
from nnx.errors import ArgumentError, CheckpointError
from nnx.io import replacing
from nnx.training import History, plot_histories

_NOT_COMPARED = ("backend", "device")


def compare(folders: Sequence[Path], plot: Path | None, console: Console) -> int:
    """Print a row for each run: where its configuration differs, and the metrics of its best epoch.

    Raises
    ------
    CheckpointError
        If one is no run that has ended, or was written by a version that kept no history in the model.
    ArgumentError
        If there are fewer than two.
    """
    if len(folders) < 2:
        raise ArgumentError("expected two runs or more to compare; write nnx compare runs/a runs/b")
    found = [_metadata(folder) for folder in folders]
    flat = [_flat(run["run"]["configuration"]) for run in found]
    names = dict.fromkeys(name for one in flat for name in one if name.partition(".")[0] not in _NOT_COMPARED)
    differing = [name for name in names if len({repr(one.get(name)) for one in flat}) > 1]
    metrics = list(dict.fromkeys(name for run in found for name in run["outcome"]["best"] if name != "epoch"))
    rows = [
        [
            str(folder),
            *(_text(one.get(name, "")) for name in differing),
            f"{run['outcome']['best']['epoch']} of {run['outcome']['epochs']}",
            *(_text(run["outcome"]["best"].get(name, math.nan)) for name in metrics),
        ]
        for folder, one, run in zip(folders, flat, found, strict=True)
    ]
    print_table(console, ["run", *differing, "best epoch", *(name.replace("_", " ") for name in metrics)], rows)
    if plot is not None:
        histories = {str(folder): History(list(run["history"])) for folder, run in zip(folders, found, strict=True)}
        with replacing(plot) as temporary:
            plot_histories(histories).savefig(temporary, format="png")
        console.print(f"\ncurves in [bold]{escape(str(plot))}[/]")
    return OK


def _metadata(folder: Path) -> dict[str, Any]:
    metadata = metadata_of(folder)
    if not metadata:
        has = "none" if metadata is None else "one of an older version, without its history"
        raise CheckpointError(f"{folder}: expected a run that has ended, got {has}; train it with nnx train")
    return metadata


def _flat(content: Any, path: str = "") -> dict[str, Any]:
    """Return the values of nested mappings and lists by dotted path."""
    items = content.items() if isinstance(content, Mapping) else enumerate(content) if _is_list(content) else None
    if items is None:
        return {path: content}
    parts = [_flat(part, f"{path}.{key}" if path else str(key)) for key, part in items]
    return {name: value for part in parts for name, value in part.items()}


def _is_list(content: Any) -> bool:
    return isinstance(content, Sequence) and not isinstance(content, str)


def _text(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)
