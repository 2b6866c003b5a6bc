"""The networks that ``nnx train`` offers by name, as configurations."""

import math
from collections.abc import Mapping
from itertools import pairwise
from typing import Any

from nnx.errors import ArgumentError, ShapeError
from nnx.functional.checks import nearest


def perceptron(sizes: tuple[int, ...], dtype: str) -> dict[str, Any]:
    """Return the configuration of a network of linear layers with ReLU between them."""
    layers: list[dict[str, Any]] = []
    for in_features, out_features in pairwise(sizes):
        layers += [
            {"type": "Linear", "in_features": in_features, "out_features": out_features, "dtype": dtype},
            {"type": "ReLU"},
        ]
    return {"type": "Sequential", "layers": layers[:-1]}


def resolved(model: Mapping[str, Any], shape: tuple[int, ...], outputs: int, dtype: str) -> Mapping[str, Any]:
    """Return the configuration of a model, which may be given as a preset.

    Parameters
    ----------
    model : mapping
        With ``preset``, and with ``hidden`` for a perceptron; anything else is returned as it is.
    shape : tuple of int
        Of a sample.
    outputs : int
    dtype : str

    Raises
    ------
    ArgumentError
        If there is no such preset, or it has no such option.
    ShapeError
        If the samples do not fit.
    """
    if "preset" not in model:
        return model
    name, options = model["preset"], {key: value for key, value in model.items() if key != "preset"}
    if name not in ("perceptron", "lenet"):
        advice = nearest(str(name), ("perceptron", "lenet"))
        raise ArgumentError(f"model: expected the preset perceptron or lenet, got {name!r}{advice}")
    hidden = options.pop("hidden", [50]) if name == "perceptron" else []
    if options:
        near = nearest(next(iter(options)), ["hidden"] * (name == "perceptron"))
        raise ArgumentError(f"model: the preset {name} takes no {', '.join(options)}{near}")
    if name == "lenet":
        return lenet(shape, outputs, dtype)
    if not isinstance(hidden, (list, tuple)) or not all(type(size) is int and size > 0 for size in hidden):
        raise ArgumentError(f"model: expected hidden to be a list of numbers of units, got {hidden!r}")
    return perceptron((math.prod(shape), *hidden, outputs), dtype)


def lenet(shape: tuple[int, ...], classes: int, dtype: str) -> dict[str, Any]:
    """Return the configuration of two convolutions with maxima over 2x2, and two linear layers.

    Raises
    ------
    ShapeError
        If the samples are no images of at least 4x4 pixels.

    Notes
    -----
    Source: Y. LeCun et al., "Gradient-based learning applied to document recognition", Proceedings of the IEEE, 1998;
    with ReLU, maxima and dropout, which came later.
    """
    channels, *sides = shape if len(shape) == 3 else (1, *shape)
    if len(sides) != 2 or min(sides) < 4:
        raise ShapeError(f"expected images of at least 4x4 pixels for lenet, got samples of shape {shape}")
    made: dict[str, Any] = {"dtype": dtype}
    convolution: dict[str, Any] = {"type": "Conv2d", "kernel_size": 5, "padding": "same", **made}
    features = 32 * (sides[0] // 4) * (sides[1] // 4)
    return {
        "type": "Sequential",
        "layers": [
            {"type": "Unflatten", "axis": 1, "shape": {"type": "tuple", "items": [channels, *sides]}},
            {**convolution, "in_channels": channels, "out_channels": 16},
            {"type": "ReLU"},
            {"type": "MaxPool2d", "kernel_size": 2},
            {**convolution, "in_channels": 16, "out_channels": 32},
            {"type": "ReLU"},
            {"type": "MaxPool2d", "kernel_size": 2},
            {"type": "Flatten"},
            {"type": "Linear", "in_features": features, "out_features": 128, **made},
            {"type": "ReLU"},
            {"type": "Dropout", "probability": 0.3},
            {"type": "Linear", "in_features": 128, "out_features": classes, **made},
        ],
    }
