"""``nnx predict``: which digit an image file shows."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.markup import escape

from nnx.backend import asarray, to_numpy, use_backend
from nnx.cli import OK
from nnx.cli.configuration import Config
from nnx.cli.display import print_probabilities
from nnx.cli.framing import find_ink, resize
from nnx.cli.runs import read_run
from nnx.data.image_files import open_image
from nnx.errors import DataError, ShapeError
from nnx.functional import softmax
from nnx.training import predict as run_model
from nnx.types import Array

_LONGEST = 2048  # pixels of a side; the network sees far fewer, and a large photograph would take gigabytes


def predict(folder: Path, image: Path, *, spec: str, allow: Mapping[str, Callable[..., Any]], console: Console) -> int:
    """Print the digit that a run's network sees in an image, with a bar of probabilities; return the exit code.

    Raises
    ------
    CheckpointError
        If the run cannot be read.
    DataError
        If the image cannot be read, or is blank.
    ShapeError
        If the network was not trained on images in shades of gray, or on images of other proportions that are not
        square.
    NonFiniteError
        If the weights or the outputs are NaN or infinite.
    """
    with use_backend(spec):
        run, model = read_run(folder, allow)
        if len(run.shape) != 2 or run.is_regression:
            what = "numbers" if run.is_regression else f"samples of shape {run.shape}"
            raise ShapeError(f"{folder}: expected a network that tells gray images apart, got one for {what}")
        gray = read_gray(image)
        _expect_proportions(gray.shape, run.shape, image)
        ink, is_dark_on_light = find_ink(_reduced(gray), image)
        framed = run.framing.apply(ink, run.shape[0]) if run.shape[0] == run.shape[1] else resize(ink, run.shape)
        x = run.standard.apply(framed.reshape(1, -1).astype(run.configuration.dtype))
        output = run_model(model, asarray(x), batch_size=1, policy=run.configuration.policy)
        probabilities = _probabilities(output, run.configuration.loss)
    best = int(np.argmax(probabilities))
    console.print(f"[bold green]{best}[/] with probability {100 * probabilities[best]:.2f} %\n")
    print_probabilities(console, probabilities)
    height, width = gray.shape
    kind = "dark on light, so inverted" if is_dark_on_light else "light on dark"
    seen = f"{run.shape[1]}x{run.shape[0]}"
    console.print(f"\n[dim]{escape(str(image))}: {width}x{height} pixels, {kind}; seen by the network as {seen}[/]")
    return OK


def read_gray(path: Path) -> Array:
    """Return an image of any format and mode as brightness: float64 in [0, 1], shape (rows, columns).

    Raises
    ------
    DataError
        If the image cannot be read, or has a pixel that is NaN or infinite.
    """
    image = open_image(path)
    if image.mode[0] in "IF":  # more than 8 bits a pixel, which Pillow's conversion would cut off
        wide = np.asarray(image, np.float64)
        if bad := int(np.sum(~np.isfinite(wide))):
            raise DataError(f"{path}: expected finite pixels, got {bad} of {wide.size} that are NaN or infinite")
        return (wide - wide.min()) / max(float(np.ptp(wide)), 1e-12)
    return np.asarray(image.convert("L"), np.float64) / 255


def _reduced(gray: Array) -> Array:
    """Return an image whose sides are shorter than twice the longest that is needed, averaged over whole pixels."""
    from PIL import Image

    factor = max(gray.shape) // _LONGEST
    return gray if factor < 2 else np.asarray(Image.fromarray(gray.astype(np.float32)).reduce(factor), np.float64)


def _expect_proportions(shape: tuple[int, ...], trained: tuple[int, ...], path: Path) -> None:
    """A square image is cut out around a digit; of any other the whole is seen, which must not be distorted."""
    (height, width), (rows, columns) = shape, trained
    is_alike = abs(height * columns - width * rows) <= 0.1 * width * rows
    if rows != columns and not is_alike:
        raise ShapeError(
            f"{path}: expected an image with the proportions of {columns}x{rows} pixels, as the network was trained "
            f"on, got {width}x{height}; cut it to them"
        )


def _probabilities(output: Array, loss: Config) -> Any:
    if loss["type"] != "MSE":
        return to_numpy(softmax(output, axis=1))[0]
    # After training with the squared error on one-hot targets, the output itself estimates the probabilities.
    clipped = np.maximum(to_numpy(output)[0], 0)
    return clipped / max(clipped.sum(), 1e-12)
