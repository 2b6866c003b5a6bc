"""Histograms of the weights of a model and of what its layers return."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from nnx.backend import is_array, is_floating, to_numpy
from nnx.errors import ArgumentError
from nnx.layers import Module, layer_outputs
from nnx.training.canvas import BLUE, INK, ORANGE, in_own_style, panels_of, tidy
from nnx.training.modes import evaluating
from nnx.types import Array

_MOST_PANELS = 24


def plot_weights(model: Module) -> Any:
    """Draw a histogram of each parameter of a model; of more than 24, the largest.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    ArgumentError
        If there is no parameter.
    MissingExtraError
        If matplotlib is not installed.

    Examples
    --------
    >>> import nnx
    >>> figure = plot_weights(nnx.Linear(4, 2, rng=0))
    >>> [axes.get_title(loc="left") for axes in figure.axes]
    ['weight', 'bias']
    """
    return _histograms(model.parameters(), "a model with parameters", BLUE)


def plot_activations(model: Module, *args: Any, **kwargs: Any) -> Any:
    """Draw a histogram of the outputs of each layer of a model for an input; of more than 24, the largest.

    Parameters
    ----------
    model : Module
        Called in evaluation mode.
    *args, **kwargs
        What the model is called with, such as a batch.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    ArgumentError
        If no layer returns an array of floating-point numbers.
    MissingExtraError
        If matplotlib is not installed.

    Examples
    --------
    >>> import numpy as np, nnx
    >>> figure = plot_activations(nnx.Model([nnx.Linear(4, 8, rng=0), nnx.ReLU()]), np.ones((2, 4), np.float32))
    >>> [axes.get_title(loc="left") for axes in figure.axes]
    ['0: Linear', '1: ReLU']
    """
    with evaluating(model):
        calls = layer_outputs(model, *args, **kwargs)
    leaves = {
        f"{path}: {type(layer).__name__}".removeprefix(": "): output
        for path, layer, output in calls
        if is_array(output) and is_floating(output) and len(list(layer.named_modules())) == 1
    }
    return _histograms(leaves, "a model whose layers return arrays", ORANGE)


@in_own_style
def _histograms(arrays: Mapping[str, Array], what: str, color: str) -> Any:
    values = {name: np.asarray(to_numpy(array), np.float64).ravel() for name, array in arrays.items()}
    values = {name: value for name, value in values.items() if value.size}
    if not values:
        raise ArgumentError(f"expected {what}, got one without")
    largest = sorted(values, key=lambda name: -values[name].size)[:_MOST_PANELS]
    chosen = [name for name in values if name in largest]
    figure, panels = panels_of(len(chosen), 4.0, 2.4)
    for axes, name in zip(panels, chosen, strict=True):
        _draw(axes, name, values[name], color)
    if len(chosen) < len(values):
        figure.suptitle(f"the largest {len(chosen)} of {len(values)}", color=INK, fontsize=11)
    return figure


def _draw(axes: Any, name: str, values: Any, color: str) -> None:
    finite = values[np.isfinite(values)]
    if finite.size:
        counts, edges = np.histogram(finite, bins=min(50, max(10, finite.size // 10)))
        axes.stairs(counts, edges, fill=True, color=color, alpha=0.85)
    axes.set_title(name, loc="left", color=INK, fontsize=10, fontweight="bold")
    bad = values.size - finite.size
    note = f"{bad} not finite" if bad else f"{finite.mean():.2g} ± {finite.std():.2g}"
    axes.set_title(note, loc="right", color=ORANGE if bad else INK, fontsize=9)
    axes.locator_params(axis="x", nbins=5)
    axes.set_yticks([])
    tidy(axes)
