"""The networks that ``nnx train`` offers by name, as configurations."""

import math
from itertools import pairwise
from typing import Any

from nnx.errors import ShapeError


def perceptron(sizes: tuple[int, ...], dtype: str) -> dict[str, Any]:
    """Return the configuration of a network of linear layers with ReLU between them."""
    layers: list[dict[str, Any]] = []
    for in_features, out_features in pairwise(sizes):
        layers += [
            {"type": "Linear", "in_features": in_features, "out_features": out_features, "dtype": dtype},
            {"type": "ReLU"},
        ]
    return {"type": "Sequential", "layers": layers[:-1]}


def lenet(pixels: int, classes: int, dtype: str) -> dict[str, Any]:
    """Return the configuration of two convolutions with maxima over 2x2, and two linear layers.

    Raises
    ------
    ShapeError
        If the images are not squares of at least 4x4 pixels.

    Notes
    -----
    Source: Y. LeCun et al., "Gradient-based learning applied to document recognition", Proceedings of the IEEE, 1998;
    with ReLU, maxima and dropout, which came later.
    """
    side = math.isqrt(pixels)
    if side * side != pixels or side < 4:
        raise ShapeError(f"expected square images of at least 4x4 pixels for lenet, got {pixels} pixels")
    made: dict[str, Any] = {"dtype": dtype}
    convolution: dict[str, Any] = {"type": "Conv2d", "kernel_size": 5, "padding": "same", **made}
    features = 32 * (side // 4) ** 2
    return {
        "type": "Sequential",
        "layers": [
            {"type": "Unflatten", "axis": 1, "shape": {"type": "tuple", "items": [1, side, side]}},
            {**convolution, "in_channels": 1, "out_channels": 16},
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
