"""``nnx train --sweep``: a run for each combination of values, one after another."""

import itertools
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.markup import escape

from nnx.cli import OK
from nnx.cli.compare import compare
from nnx.cli.configuration import Configuration
from nnx.cli.run_folder import read_begun
from nnx.cli.train import resume, train
from nnx.errors import ArgumentError

_MOST = 1000


def sweep(
    configuration: Configuration,
    sweeps: Sequence[str],
    out: Path | None,
    allow: Mapping[str, Callable[..., Any]],
    console: Console,
) -> int:
    """Train with each combination of values, then compare the runs; return the exit code of the first that failed.

    A run that has finished before is not repeated, and one that was stopped goes on: after an interruption the same
    command goes on with the sweep.

    Parameters
    ----------
    configuration : Configuration
    sweeps : sequence of str
        ``name=value,value,...``, with names as for ``--set``.
    out : path or None
        The directory of the runs, each in a folder named by its values; default ``runs/sweep``.
    allow : mapping
        See :class:`Configuration`.
    console : Console

    Raises
    ------
    ArgumentError
        If a sweep has no values, or there are more than a thousand combinations.
    """
    axes = [_values(text) for text in sweeps]
    combinations = list(itertools.product(*axes))
    if len(combinations) > _MOST:
        raise ArgumentError(f"expected at most {_MOST} runs, got {len(combinations)} combinations; sweep fewer values")
    place = out or Path("runs", "sweep")
    names = [",".join(setting.rpartition("optimizer.")[2].replace("/", "-") for setting in one) for one in combinations]
    if len(set(names)) < len(names) or max(map(len, names)) > 200:
        raise ArgumentError(
            "expected values with short texts of their own, since folders are named by them; --set them"
        )
    folders = []
    for number, (settings, name) in enumerate(zip(combinations, names, strict=True), start=1):
        folder = place / name
        console.print(f"[bold]run {number} of {len(combinations)}:[/] {escape(', '.join(settings))}")
        code = _run(configuration.changed(settings), folder, allow, console)
        if code != OK:
            return code
        folders.append(folder)
        console.print("")
    if len(folders) > 1:
        return compare(folders, place / "sweep.png", console)
    return OK


def _run(configuration: Configuration, folder: Path, allow: Mapping[str, Callable[..., Any]], console: Console) -> int:
    if (begun := read_begun(folder)) is not None:
        asked, was = (_comparable(content) for content in (configuration.as_data(), begun.get("asked") or {}))
        if asked != was:
            names = sorted(name for name in asked.keys() | was.keys() if asked.get(name) != was.get(name))
            raise ArgumentError(
                f"{folder}: expected a run of this sweep, got one with other values of {', '.join(names)}; choose "
                "another --out, or remove it"
            )
        return resume(folder, lambda own: own, allow, console)
    return train(configuration, out=folder, overwrite=False, console=console)


def _comparable(content: Mapping[str, Any]) -> dict[str, Any]:
    """Return a configuration as it is in a file, without what it is computed with."""
    found: dict[str, Any] = json.loads(json.dumps(dict(content)))
    return {name: value for name, value in found.items() if name not in ("backend", "device")}


def _values(text: str) -> list[str]:
    """Return ``name=value`` for each value of ``name=value,value,...``; brackets hold a value together."""
    name, equals, rest = text.partition("=")
    values, depth = [""], 0
    for letter in rest:
        depth += (letter in "[{") - (letter in "]}")
        if letter == "," and not depth:
            values.append("")
        else:
            values[-1] += letter
    if not equals or not name or not all(value.strip() for value in values):
        raise ArgumentError(f"--sweep {text}: expected name=value,value,... such as learning_rate=1e-3,1e-2")
    return [f"{name}={value.strip()}" for value in values]
