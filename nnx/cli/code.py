"""A Python file of the user's, whose classes and functions a configuration may name."""

import importlib.util
from collections.abc import Callable
from pathlib import Path
from typing import Any

from nnx.errors import ArgumentError


def load_code(path: Path | None) -> dict[str, Callable[..., Any]]:
    """Run a file that was named on the command line, and return the classes and functions that it defines by name.

    A configuration alone runs no code: it may come from somebody else.

    Raises
    ------
    ArgumentError
        If the file cannot be run.
    """
    if path is None:
        return {}
    spec = importlib.util.spec_from_file_location(path.stem, path)
    if spec is None or spec.loader is None or not path.is_file():
        raise ArgumentError(f"{path}: expected a Python file with --code")
    module = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
    except Exception as error:  # whatever the user's code raises
        raise ArgumentError(f"{path}: the file could not be run: {type(error).__name__}: {error}") from error
    return {
        name: value
        for name, value in vars(module).items()
        if callable(value) and getattr(value, "__module__", None) == module.__name__
    }
