"""The worst mistakes of a classifier of images, as pictures."""

import math
from typing import Any

import numpy as np

from nnx.backend import to_numpy
from nnx.errors import ArgumentError, ShapeError
from nnx.functional.checks import counted
from nnx.training.canvas import INK, ORANGE, in_own_style, new_figure, panels_of
from nnx.types import Array


@in_own_style
def plot_mistakes(
    images: Array, targets: Array, outputs: Array, names: list[str] | None = None, count: int = 12
) -> Any:
    """Draw the images that a classifier gets most wrong, those first whose true class it gave the least probability.

    Parameters
    ----------
    images : array, shape (samples, height, width), (samples, channels, height, width) or (samples, pixels)
        With one channel or three; flat ones are square. Each is drawn from its darkest value to its brightest.
    targets : array of integers, shape (samples,)
        The true classes.
    outputs : array, shape (samples, classes)
        What the model returns: logits, or anything that grows with the probability.
    names : list of str, optional
        The names of the classes; default their indices.
    count : int
        How many at most.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    ShapeError
        If the arrays do not have these shapes.
    ArgumentError
        If there is not a name for each class, or ``count`` is less than 1.
    MissingExtraError
        If matplotlib is not installed.

    Examples
    --------
    >>> import numpy as np
    >>> images = np.random.default_rng(0).uniform(size=(3, 4, 4))
    >>> figure = plot_mistakes(images, np.asarray([0, 1, 1]), np.asarray([[9.0, 0.0], [2.0, 0.0], [8.0, 0.0]]))
    >>> [axes.get_title() for axes in figure.axes]
    ['1, taken for 0', '1, taken for 0']
    """
    pictures, classes, scores = (to_numpy(array) for array in (images, targets, outputs))
    if scores.ndim != 2 or classes.shape != scores.shape[:1] or pictures.shape[:1] != classes.shape:
        raise ShapeError(
            "expected images, classes (samples,) and outputs (samples, classes), got shapes "
            f"{pictures.shape}, {classes.shape} and {scores.shape}"
        )
    if names is not None and len(names) != scores.shape[1]:
        raise ArgumentError(f"expected a name for each of {scores.shape[1]} classes, got {len(names)}")
    if count < 1:
        raise ArgumentError(f"expected count to be at least 1, got {count}")
    pictures = _as_pictures(pictures)
    taken = scores.argmax(axis=1)
    lost = scores.max(axis=1) - scores[np.arange(len(classes)), classes]
    worst = [int(i) for i in np.argsort(-lost, kind="stable") if taken[i] != classes[i]][:count]
    labels = names or [str(i) for i in range(scores.shape[1])]
    if not worst:
        figure = new_figure(5.0, 1.5)
        figure.text(0.5, 0.5, f"no mistake among {counted(len(classes), 'image')}", color=INK, ha="center", va="center")
        return figure
    figure, panels = panels_of(len(worst), 1.9, 2.1, columns=6)
    for axes, i in zip(panels, worst, strict=True):
        axes.imshow(pictures[i], cmap="gray", interpolation="nearest")
        title = f"{labels[classes[i]]}, taken for {labels[taken[i]]}"
        axes.set_title(title, color=INK, fontsize=9 if len(title) < 22 else 6.5)
        axes.set_xticks([])
        axes.set_yticks([])
        axes.spines[:].set_color(ORANGE)
    return figure


def _as_pictures(images: Any) -> Any:
    """Return images as (samples, height, width) or (samples, height, width, 3), each from 0 to 1."""
    shape = images.shape
    if images.ndim == 2 and math.isqrt(shape[1]) ** 2 == shape[1]:
        images = images.reshape(shape[0], math.isqrt(shape[1]), -1)
    elif images.ndim == 4 and shape[1] in (1, 3):
        images = images[:, 0] if shape[1] == 1 else np.moveaxis(images, 1, -1)
    elif images.ndim != 3:
        raise ShapeError(
            "expected images (samples, height, width), (samples, 1 or 3, height, width), or flat ones that are square, "
            f"got shape {shape}"
        )
    axes = tuple(range(1, images.ndim))
    images = images.astype(np.float64)
    low, high = images.min(axis=axes, keepdims=True), images.max(axis=axes, keepdims=True)
    return (images - low) / np.where(high > low, high - low, 1.0)
