"""Weights as safetensors files: arrays by dotted path, and a JSON header. No pickle."""

import os
from collections.abc import Mapping
from typing import Any

import numpy as np

from nnx.backend import is_array
from nnx.errors import ArgumentError, CheckpointError, UsageError
from nnx.io.checkpoints import decoded_metadata, encoded_metadata
from nnx.io.encoding import decode
from nnx.io.layout import read, write
from nnx.io.reading import DamageError, reading
from nnx.io.storage import host_array
from nnx.layers import Module
from nnx.layers.config import config_of
from nnx.types import Array

_KEYS = {"format", "nnx", "layers", "dtypes", "metadata"}


def save_weights(path: str | os.PathLike[str], model: Module, metadata: Mapping[str, Any] | None = None) -> None:
    """Write a model's parameters and buffers to a safetensors file, atomically.

    Parameters
    ----------
    path : str or path
        An existing file is replaced only once the new one is complete.
    model : Module
        On any backend. Buffers that are Python integers are stored as int64 arrays of shape ().
    metadata : mapping, optional
        Notes that :func:`load_weights` returns: dicts with strings as keys, lists, numbers and strings.

    Raises
    ------
    CheckpointError
        If the metadata holds anything else.
    ArgumentError
        If path and model are swapped, or the path leads to something else than a file.
    DTypeError
        If a file cannot hold a dtype.
    OSError
        If the file cannot be written; a file that was there stays as it was.
    MissingExtraError
        If a dtype needs ml_dtypes, and it is not installed.

    Notes
    -----
    The header holds, as JSON: ``format``, the version of this layout; ``nnx``, the version that wrote it;
    ``config``, what :meth:`nnx.Module.config` returns, or ``None`` if the model has none; ``layers``, the configuration
    of each layer by dotted path, or else its ``repr``; ``metadata``; and ``dtypes``. A checksum covers all of it and
    the arrays, as :func:`save_checkpoint` describes. Files of format 1 and 2, without a checksum, can still be read;
    format 1 has no ``config`` and only the ``repr`` of layers.

    Examples
    --------
    >>> import tempfile, nnx
    >>> model = nnx.Linear(2, 1, rng=0)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     save_weights(f"{folder}/model.safetensors", model, {"epoch": 3})
    ...     state, header = load_weights(f"{folder}/model.safetensors")
    >>> header["metadata"]
    {'epoch': 3}
    >>> nnx.from_config(header["config"])
    Linear(in_features=2, out_features=1)
    >>> _ = nnx.Linear(2, 1).load_state_dict(state)
    """
    if isinstance(path, Module):
        raise ArgumentError("expected save_weights(path, model), got the model first")
    arrays = {name: _host_array(name, value) for name, value in model.state_dict().items()}
    layers = {name: layer for name, layer in model.named_modules() if not list(layer.named_children())}
    header = {
        "config": config_or_none(model),
        "layers": {name: config_or_none(layer) or repr(layer) for name, layer in layers.items()},
        "metadata": encoded_metadata({} if metadata is None else metadata),
    }
    write(path, arrays, header)


def load_weights(path: str | os.PathLike[str]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Read what :func:`save_weights` wrote, or the model of a checkpoint: its part ``"model"``.

    Parameters
    ----------
    path : str or path

    Returns
    -------
    state : dict from dotted path to NumPy array
        For :meth:`nnx.Module.load_state_dict`, which moves each to the backend and device of the model.
    header : dict
        See the notes of :func:`save_weights`. Of a checkpoint, ``config`` is that of its metadata, or ``None``.

    Raises
    ------
    CheckpointError
        If the file is missing, unreadable, damaged, not a safetensors file, not written by nnx, or of a newer format;
        or if it is a checkpoint without a model.
    MissingExtraError
        If a dtype needs ml_dtypes, and it is not installed.

    Examples
    --------
    See :func:`save_weights`.
    """
    with reading(path):
        arrays, header = read(path)
        if "tree" in header:
            return _model_of_checkpoint(path, decode(header.pop("tree"), arrays), decoded_metadata(header))
        if header["format"] > 2:  # the older formats hold plain JSON
            header = decoded_metadata(header)
        if not header.keys() >= _KEYS:
            raise DamageError(f"a header without {', '.join(sorted(_KEYS - header.keys()))}")
        return {name: arrays.pop(name) for name in header["dtypes"] if name in arrays} | arrays, header


def _model_of_checkpoint(
    path: str | os.PathLike[str], state: Any, header: dict[str, Any]
) -> tuple[dict[str, Any], dict[str, Any]]:
    model = state.get("model") if isinstance(state, dict) else None
    if not isinstance(model, dict):
        raise CheckpointError(
            f"{path}: expected a checkpoint with a part 'model', got one without; read it with nnx.io.load_checkpoint"
        )
    return model, {"config": header["metadata"].get("config"), **header}


def config_or_none(module: Module) -> dict[str, Any] | None:
    """Return the configuration of a module, or None if it has none, since its weights can be saved all the same."""
    try:
        return config_of(module)
    except (ArgumentError, UsageError):
        return None


def _host_array(name: str, value: Any) -> Array:
    return host_array(name, value if is_array(value) else np.asarray(value, dtype=np.int64))
