"""Read configurations from files of TOML or JSON, and change single values of them."""

import json
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from nnx.errors import ArgumentError

_MOST_BYTES = 2**24


def read_settings(path: Path) -> dict[str, Any]:
    """Return the content of a file: TOML, JSON, or the ``config.json`` of a run.

    Raises
    ------
    ArgumentError
        If the file cannot be read, or holds no mapping.
    """
    kind = "TOML" if path.suffix == ".toml" else "JSON"
    try:
        if not path.is_file() and path.exists():
            raise ArgumentError(f"{path}: expected a file of {kind}, got a directory, a pipe or a device")
        if path.stat().st_size > _MOST_BYTES:
            raise ArgumentError(f"{path}: expected a file of {kind} of at most 16 MiB; is it a configuration?")
        text = path.read_text(encoding="utf-8")
        content = tomllib.loads(text) if kind == "TOML" else json.loads(text)
    except ArgumentError:  # which is a ValueError
        raise
    except OSError as error:
        raise ArgumentError(f"{path}: expected a readable file of {kind} ({error.strerror})") from error
    except (ValueError, RecursionError) as error:  # the second for what is nested without end
        raise ArgumentError(f"{path}: expected {kind}, got something else ({error})") from error
    if isinstance(content, dict) and "configuration" in content:
        content = content["configuration"]
    if not isinstance(content, dict):
        raise ArgumentError(f"{path}: expected a configuration, a mapping with a model, got none")
    return content


def changed(content: Mapping[str, Any], settings: Iterable[str]) -> dict[str, Any]:
    """Return a configuration with single values replaced, as ``--set`` gives them.

    Parameters
    ----------
    content : mapping
    settings : iterable of str
        ``name=value``. A name is a path with dots, such as ``optimizer.learning_rate`` or ``callbacks.0.patience``;
        ``learning_rate`` alone is that of the optimizer. A value is one of TOML, or else a text.

    Raises
    ------
    ArgumentError
        If a setting has no ``=``, or its path leads through what is no mapping and no list.

    Examples
    --------
    >>> changed({"epochs": 3, "optimizer": {"type": "SGD"}}, ["epochs=5", "learning_rate=1e-2"])
    {'epochs': 5, 'optimizer': {'type': 'SGD', 'learning_rate': 0.01}}
    """
    found = json.loads(json.dumps(dict(content)))
    for setting in settings:
        name, equals, text = setting.partition("=")
        keys = ("optimizer." * (name == "learning_rate") + name.strip()).split(".")
        if not equals or not all(keys):
            raise ArgumentError(f"--set {setting}: expected name=value, such as optimizer.learning_rate=1e-3")
        _put(found, keys, _parsed(text.strip()), setting)
    return dict(found)


def _put(content: Any, keys: Sequence[str], value: Any, setting: str) -> None:
    for i, key in enumerate(keys):
        is_last = i == len(keys) - 1
        if isinstance(content, list) and key.isdecimal() and int(key) < len(content):
            if is_last:
                content[int(key)] = value
            content = content[int(key)]
        elif isinstance(content, dict):
            if is_last:
                content[key] = value
            content = content.setdefault(key, {})
        else:
            where = ".".join(keys[:i]) or "the configuration"
            raise ArgumentError(f"--set {setting}: expected {where} to be a mapping or a list that has {key}")


def _parsed(text: str) -> Any:
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        return text
