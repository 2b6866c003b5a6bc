"""Checkpoints: the state of a run, any tree of values and arrays, in one safetensors file. No pickle."""

import os
from collections.abc import Mapping
from typing import Any

from nnx.errors import ArgumentError, CheckpointError
from nnx.io.encoding import Encoder, decode
from nnx.io.layout import read, verify, write
from nnx.io.reading import DamageError, reading

_TREE, _METADATA = "tree", "metadata"


def save_checkpoint(path: str | os.PathLike[str], state: Any, metadata: Mapping[str, Any] | None = None) -> None:
    """Write a tree of values to one file, atomically and with a checksum.

    Parameters
    ----------
    path : str or path
        An existing file is replaced only once the new one is complete and on the disk.
    state : tree
        Dicts with strings as keys, lists, tuples, strings, booleans, ``None``, numbers (integers of any size, NaN and
        infinities too) and arrays of any library, such as ``trainer.state_dict()``.
    metadata : mapping, optional
        Notes of the same kind, but without arrays.

    Raises
    ------
    CheckpointError
        If the state or the metadata holds something else, or its header has more than 32 MiB: keep long lists of
        numbers in arrays.
    DTypeError
        If a file cannot hold the dtype of an array.
    OSError
        If the file cannot be written; a file that was there stays as it was.
    ArgumentError
        If path and state are swapped, or the path leads to something else than a file.

    Notes
    -----
    The file is a safetensors file, which other programs read too: the arrays stand under their dotted paths, and the
    header has, as JSON, ``format``, ``nnx`` (the version that wrote it), ``tree`` (the state, with references to the
    arrays), ``metadata`` and ``dtypes``. The checksum, SHA-256, covers the header and the name, dtype, shape and bytes
    of each array. Dtypes that safetensors lacks are stored as others, and ``dtypes`` says which: complex numbers as
    pairs of reals.

    Examples
    --------
    >>> import tempfile, numpy as np
    >>> state = {"model": {"weight": np.ones(2)}, "step": 3, "best": float("inf")}
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     save_checkpoint(f"{folder}/run.safetensors", state, {"note": "warm-up"})
    ...     state, header = load_checkpoint(f"{folder}/run.safetensors")
    >>> state
    {'model': {'weight': array([1., 1.])}, 'step': 3, 'best': inf}
    >>> header["metadata"]
    {'note': 'warm-up'}
    """
    if not isinstance(path, (str, os.PathLike)):
        raise ArgumentError("expected save_checkpoint(path, state), got another first argument than a path")
    encoder = Encoder()
    tree = encoder.encode(state, ())
    write(path, encoder.arrays, {_TREE: tree, _METADATA: encoded_metadata({} if metadata is None else metadata)})


def load_checkpoint(path: str | os.PathLike[str]) -> tuple[Any, dict[str, Any]]:
    """Read what :func:`save_checkpoint` wrote.

    Parameters
    ----------
    path : str or path

    Returns
    -------
    state : tree
        Equal to what was saved, with NumPy arrays, which own their memory. bfloat16 and the dtypes of 8 bits are those
        of the package ml_dtypes.
    header : dict
        ``format``, ``nnx``, ``metadata`` and ``dtypes``.

    Raises
    ------
    CheckpointError
        If the file is missing, unreadable, damaged, not a checkpoint, or of a newer format.
    MissingExtraError
        If an array has a dtype that needs ml_dtypes, and it is not installed.

    Notes
    -----
    Nothing in a file is executed or used as a path. The sizes that it claims are compared with its own before memory
    is taken: reading needs the size of the file and some 30 times that of its header, which is at most 32 MiB.

    Examples
    --------
    See :func:`save_checkpoint`.
    """
    with reading(path):
        arrays, header = read(path)
        _expect_tree(path, header)
        return decode(header.pop(_TREE), arrays), decoded_metadata(header)


def is_whole(path: str | os.PathLike[str]) -> bool:
    """Return whether a file is a whole checkpoint or a damaged one; it is read in blocks.

    Raises
    ------
    CheckpointError
        If that cannot be told: the file is missing, unreadable, weights alone, or of a newer format.
    """
    with reading(path):
        try:
            header = verify(path)
        except (DamageError, RecursionError):
            return False
    _expect_tree(path, header)
    return True


def _expect_tree(path: str | os.PathLike[str], header: Mapping[str, Any]) -> None:
    if _TREE not in header:
        raise CheckpointError(f"{path}: expected a checkpoint, got weights alone; read them with nnx.io.load_weights")


def encoded_metadata(metadata: Mapping[str, Any]) -> Any:
    """Return metadata as data for JSON.

    Raises
    ------
    CheckpointError
        If it holds arrays, or what no state can hold.
    """
    if not isinstance(metadata, Mapping):
        raise CheckpointError(f"expected metadata as a dict, got a {type(metadata).__name__}")
    encoder = Encoder()
    encoded = encoder.encode(metadata, (_METADATA,))
    if encoder.arrays:
        raise CheckpointError(f"{next(iter(encoder.arrays))}: expected metadata without arrays; save it in the state")
    return encoded


def decoded_metadata(header: dict[str, Any]) -> dict[str, Any]:
    """Return a header with its metadata as it was before :func:`encoded_metadata`.

    Raises
    ------
    DamageError
        If there is none.
    """
    metadata = decode(header.get(_METADATA), {})
    if not isinstance(metadata, dict):
        raise DamageError("a header without metadata")
    return {**header, _METADATA: metadata}
