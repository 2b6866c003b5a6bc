"""Weights as safetensors files: arrays by dotted path, and a JSON header. No pickle."""

import json
import os
from collections.abc import Mapping
from typing import Any

import numpy as np

from nnx.backend import dtype_name, is_array, to_numpy
from nnx.errors import ArgumentError, CheckpointError, DTypeError, MissingExtraError, UsageError
from nnx.io.files import replacing
from nnx.layers import Module
from nnx.layers.config import config_of
from nnx.version import __version__

FORMAT_VERSION = 2
_HEADER = "nnx"  # the only entry of the file's metadata, which safetensors limits to strings
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
        Anything that JSON can represent; :func:`load_weights` returns it.

    Raises
    ------
    CheckpointError
        If the metadata cannot be written as JSON.
    ArgumentError
        If path and model are swapped.
    DTypeError
        If the format or NumPy does not have a dtype.
    OSError
        If the file cannot be written.
    MissingExtraError
        If safetensors is not installed.

    Notes
    -----
    The header holds, as JSON: ``format``, the version of this layout; ``nnx``, the version that wrote it;
    ``config``, what :meth:`nnx.Module.config` returns, or ``None`` if the model has none; ``layers``, the configuration
    of each layer by dotted path, or else its ``repr``; ``dtypes``; and ``metadata``. Files of format 1, without
    ``config`` and with only the ``repr`` of layers, can still be read.

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
    safetensors = _import_safetensors()
    arrays = {name: _host_array(name, value) for name, value in model.state_dict().items()}
    try:
        header = json.dumps(_header(model, arrays, metadata or {}))
    except (TypeError, ValueError) as error:
        raise CheckpointError(f"{path}: expected metadata that JSON can hold, got {metadata} ({error})") from error
    try:
        content = safetensors.numpy.save(arrays, metadata={_HEADER: header})
    except (safetensors.SafetensorError, KeyError, ValueError) as error:
        dtypes = ", ".join(sorted({array.dtype.name for array in arrays.values()}))
        raise DTypeError(f"{path}: expected dtypes that safetensors can hold, got {dtypes} ({error})") from error
    with replacing(path) as temporary:
        temporary.write_bytes(content)


def load_weights(path: str | os.PathLike[str]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Read what :func:`save_weights` wrote.

    Parameters
    ----------
    path : str or path

    Returns
    -------
    state : dict from dotted path to NumPy array
        For :meth:`nnx.Module.load_state_dict`, which moves each to the backend and device of the model.
    header : dict
        See the notes of :func:`save_weights`.

    Raises
    ------
    CheckpointError
        If the file is missing, unreadable, truncated, not a safetensors file, not written by nnx, or of a newer format.
    MissingExtraError
        If safetensors is not installed.

    Examples
    --------
    See :func:`save_weights`.
    """
    safetensors = _import_safetensors()
    try:
        with safetensors.safe_open(path, framework="numpy") as file:
            header = _parse_header(path, (file.metadata() or {}).get(_HEADER))
            return {name: file.get_tensor(name) for name in file.keys()}, header  # noqa: SIM118  not a dict
    except OSError as error:
        reason = error.strerror or str(error)
        raise CheckpointError(f"{path}: expected a readable file of weights, got: {reason}; check the path") from error
    except (safetensors.SafetensorError, TypeError, KeyError) as error:
        raise CheckpointError(
            f"{path}: expected a whole safetensors file, got a damaged one or another format ({error}); "
            "save it again with save_weights"
        ) from error


def _header(model: Module, arrays: Mapping[str, Any], metadata: Mapping[str, Any]) -> dict[str, Any]:
    layers = {name: layer for name, layer in model.named_modules() if not list(layer.named_children())}
    return {
        "format": FORMAT_VERSION,
        "nnx": __version__,
        "config": _config(model),
        "layers": {name: _config(layer) or repr(layer) for name, layer in layers.items()},
        "dtypes": {name: array.dtype.name for name, array in arrays.items()},
        "metadata": dict(metadata),
    }


def _config(module: Module) -> dict[str, Any] | None:
    """Return the configuration of a module, or None if it has none, since its weights can be saved all the same."""
    try:
        return config_of(module)
    except (ArgumentError, UsageError):
        return None


def _parse_header(path: str | os.PathLike[str], text: str | None) -> dict[str, Any]:
    try:
        header = json.loads(text or "")
    except ValueError as error:
        raise CheckpointError(
            f"{path}: expected weights that nnx saved, got a safetensors file without its header; "
            "read it with safetensors and pass the arrays to model.load_state_dict"
        ) from error
    version = header.get("format") if isinstance(header, dict) else None
    if isinstance(version, int) and version > FORMAT_VERSION:
        raise CheckpointError(
            f"{path}: expected format {FORMAT_VERSION} or older, got {version}, written by nnx {header.get('nnx')}; "
            "install a newer nnx: pip install --upgrade nnx-array"
        )
    if version not in (1, FORMAT_VERSION) or not header.keys() >= _KEYS:
        raise CheckpointError(f"{path}: expected a header with {', '.join(sorted(_KEYS))}, got {text}")
    return dict(header)


def _host_array(name: str, value: Any) -> Any:
    if not is_array(value):
        return np.asarray(value, dtype=np.int64)
    try:
        host = to_numpy(value)
    except TypeError as error:
        raise DTypeError(
            f"{name}: expected a dtype that NumPy has, got {dtype_name(value.dtype)}; "
            'convert it first, for example with model.to(dtype="float32")'
        ) from error
    return np.asarray(host, order="C")  # safetensors writes the memory as it is, whatever the strides


def _import_safetensors() -> Any:
    try:
        import safetensors
        import safetensors.numpy
    except ImportError as error:
        raise MissingExtraError(
            f"expected safetensors to save and load weights, got: {error}; "
            "install it with: pip install 'nnx-array[cli]'"
        ) from error
    return safetensors
