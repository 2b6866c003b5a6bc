"""Load MNIST, or any data set in its four-file layout, from a directory, the cache or the network."""

import importlib.util
import os
import sys
from pathlib import Path
from typing import NamedTuple

import numpy as np

from nnx.data.idx import read_idx
from nnx.errors import ArgumentError, DataError, MissingExtraError
from nnx.functional.checks import counted
from nnx.types import Array

MIRRORS = (
    "https://ossci-datasets.s3.amazonaws.com/mnist/",
    "https://storage.googleapis.com/cvdf-datasets/mnist/",
)


class _File(NamedTuple):
    name: str
    sha256: str  # of the official file compressed with gzip


_FILES = {  # images and labels
    "train": (
        _File("train-images-idx3-ubyte", "440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609"),
        _File("train-labels-idx1-ubyte", "3552534a0a558bbed6aed32b30c495cca23d567ec52cac8be1a0730e8010255c"),
    ),
    "test": (
        _File("t10k-images-idx3-ubyte", "8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6"),
        _File("t10k-labels-idx1-ubyte", "f7ae60f92e00ec6debd23a6088c31dbd2371eca3ffa0defaefb259924204aec6"),
    ),
}


def load_mnist(
    directory: str | os.PathLike[str] | None = None, download: bool = True, split: str = "both"
) -> tuple[Array, ...]:
    """Return MNIST, 70,000 handwritten digits of 28x28 pixels, or another data set in the same four files.

    Parameters
    ----------
    directory : str or path, optional
        The directory of the files, plain or with ``.gz``: ``train-images-idx3-ubyte``, ``train-labels-idx1-ubyte``,
        ``t10k-images-idx3-ubyte`` and ``t10k-labels-idx1-ubyte``. They may hold another data set, such as
        Fashion-MNIST or digits of your own. Default: ``mnist`` in the cache, which is the directory in the environment
        variable ``NNX_DATA``, or else ``nnx`` in the system's directory for caches.
    download : bool
        Download missing files from one of two mirrors, with a progress bar. Nothing is added to a directory of your own
        that already has some of the files.
    split : {"both", "train", "test"}

    Returns
    -------
    x_train, y_train, x_test, y_test : NumPy arrays
        For a single split, the pair ``x, y``. ``x`` is float32 in [0, 1] of shape (batch, pixels), with 784 pixels for
        MNIST; ``y`` holds class indices, int32, of shape (batch,). MNIST has 60,000 training and 10,000 test samples.

    Raises
    ------
    DataError
        If a file is missing, damaged, cannot be downloaded, or does not have the right SHA-256 sum (in the cache and
        for downloads), or if images and labels do not belong together.
    ArgumentError
        If ``split`` is none of the three.
    MissingExtraError
        If a download needs pooch, and it is not installed.

    Notes
    -----
    The arrays are in the host's memory; :func:`nnx.to_device` moves them.

    Source: Y. LeCun, L. Bottou, Y. Bengio and P. Haffner, "Gradient-based learning applied to document
    recognition", Proceedings of the IEEE 86(11), 1998.

    Examples
    --------
    >>> import tempfile
    >>> from nnx.data import write_idx
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     write_idx(f"{folder}/t10k-images-idx3-ubyte.gz", np.zeros((3, 28, 28), np.uint8))
    ...     write_idx(f"{folder}/t10k-labels-idx1-ubyte.gz", np.array([7, 2, 1], np.uint8))
    ...     x, y = load_mnist(folder, split="test")
    >>> x.shape, y.tolist()
    ((3, 784), [7, 2, 1])
    """
    if split not in ("both", "train", "test"):
        raise ArgumentError(f'expected split to be "both", "train" or "test", got {split!r}')
    if directory is not None and not os.fspath(directory):
        raise DataError("expected the path of a directory, got ''; pass None for the one in the cache")
    parts = ("train", "test") if split == "both" else (split,)
    files = [file for part in parts for file in _FILES[part]]
    folder = _cache() / "mnist" if directory is None else Path(directory)
    if download and (directory is None or not _present(folder)):
        paths = [_fetch(folder, file) for file in files]
    else:
        paths = _locate(folder, files)
        if directory is None:
            _verify(paths, files)
    return tuple(array for pair in zip(paths[::2], paths[1::2], strict=True) for array in _read_pair(*pair))


def _locate(folder: Path, files: list[_File]) -> list[Path]:
    found = [_find(folder, file) for file in files]
    if missing := [file.name for file, path in zip(files, found, strict=True) if path is None]:
        raise DataError(
            f"{folder}: expected {', '.join(missing)}, plain or .gz, got no such files; add them{_advice(folder)}"
        )
    return [path for path in found if path is not None]


def _advice(folder: Path) -> str:
    present = _present(folder)
    whole = [part for part, pair in _FILES.items() if set(pair) <= present]
    if whole:
        return f', or pass split="{whole[0]}" to load the pair that is there'
    return "" if present else ", or pass download=True"


def _present(folder: Path) -> set[_File]:
    return {file for pair in _FILES.values() for file in pair if _find(folder, file)}


def _find(folder: Path, file: _File) -> Path | None:
    paths = (folder / f"{file.name}.gz", folder / file.name)
    return next((path for path in paths if path.is_file()), None)


def _verify(paths: list[Path], files: list[_File]) -> None:
    for path, file in zip(paths, files, strict=True):
        if (sha256 := _sha256(path)) != file.sha256:
            raise DataError(
                f"{path}: expected SHA-256 {file.sha256}, got {sha256}; "
                "delete the file, or pass download=True to fetch it again"
            )


def _sha256(path: Path) -> str:
    import hashlib  # slow to import, and only the cache is checked

    try:
        with path.open("rb") as stream:
            return hashlib.file_digest(stream, "sha256").hexdigest()
    except OSError as error:
        raise DataError(f"{path}: expected a readable file, got {error.strerror}; check its permissions") from error


def _fetch(folder: Path, file: _File) -> Path:
    path = folder / f"{file.name}.gz"
    return path if path.is_file() and _sha256(path) == file.sha256 else _download(folder, file)


def _download(folder: Path, file: _File) -> Path:
    try:
        import pooch
    except ImportError as error:
        raise MissingExtraError(
            f"expected the package pooch to download {file.name}, got: {error}; "
            "install it with: pip install 'nnx-array[cli]'"
        ) from error
    progress = importlib.util.find_spec("tqdm") is not None  # with which pooch draws its bar
    name, known_hash, failures = f"{file.name}.gz", f"sha256:{file.sha256}", []
    for mirror in MIRRORS:
        try:
            return Path(pooch.retrieve(mirror + name, known_hash, fname=name, path=folder, progressbar=progress))
        except (OSError, ValueError) as error:  # what requests and pooch raise
            cause = error
            reason = str(error).partition("\n")[0] or type(error).__name__
            failures.append(f"{mirror.split('/')[2]}: {reason}")
    raise DataError(
        f"expected to download {name}, got {'; '.join(failures)}; "
        f"check the network, or put the file into {folder} by hand"
    ) from cause


def _cache() -> Path:
    if chosen := os.environ.get("NNX_DATA"):
        return Path(chosen)
    home = Path.home()
    if sys.platform == "win32":
        base = os.environ.get("LOCALAPPDATA") or home / "AppData" / "Local"
    elif sys.platform == "darwin":
        base = home / "Library" / "Caches"
    else:
        base = os.environ.get("XDG_CACHE_HOME") or home / ".cache"
    return Path(base) / "nnx"


def _read_pair(images_path: Path, labels_path: Path) -> tuple[Array, Array]:
    images, labels = _read_bytes(images_path, axes=3), _read_bytes(labels_path, axes=1)
    if images.shape[0] != labels.shape[0]:
        raise DataError(
            f"{labels_path}: expected {images.shape[0]} labels, one for each image of {images_path.name}, "
            f"got {labels.shape[0]}; use two files of one data set"
        )
    samples, rows, columns = images.shape
    return images.reshape(samples, rows * columns) / np.float32(255), labels.astype(np.int32)


def _read_bytes(path: Path, axes: int) -> Array:
    array = read_idx(path)
    if array.ndim != axes or array.dtype != np.uint8:
        raise DataError(
            f"{path}: expected magic number {0x0800 + axes} ({counted(axes, 'axis')} of uint8), "
            f"got {counted(array.ndim, 'axis')} of {array.dtype}; check that images and labels are not swapped"
        )
    return array
