"""The bilinear layer."""

from typing import Any

from nnx import functional
from nnx.functional.checks import as_integer
from nnx.initializers import Initializer
from nnx.layers.module import Module
from nnx.layers.open_sizes import InitialValues
from nnx.layers.parameter import Parameter
from nnx.types import Array, DType


class Bilinear(Module):
    r"""Bilinear layer of two inputs: :math:`y_k = x_1^\top W_k\, x_2 + b_k`; see :func:`nnx.functional.bilinear`.

    Parameters
    ----------
    in1_features, in2_features : int
        Lengths of the last axes of the two inputs.
    out_features : int
        Length of the last axis of the output.
    bias : bool
        Whether to add :math:`b`.
    initializer : Initializer, optional
        Draws the initial weight; default :class:`nnx.initializers.HeNormal`, where the fan-in is the number of
        products that are added up, in1_features * in2_features. The initial bias is zero.
    rng : int or NumPy Generator, optional
        Source of the initial weight; by default the system's entropy. Pass one generator to all layers.
    dtype : dtype or str
        Of the parameters; default float32.

    Attributes
    ----------
    weight : array, shape (out_features, in1_features, in2_features)
        As PyTorch stores it.
    bias : array, shape (out_features,), or None

    Raises
    ------
    ShapeError
        On a call, if the inputs are not of shapes (..., in1_features) and (..., in2_features).
    DTypeError
        On a call, if an input holds integers, or its dtype is not that of the weight.
    ArgumentError
        If a number of features is less than 1.

    Examples
    --------
    >>> import numpy as np, nnx
    >>> layer = nnx.Bilinear(3, 2, 4, rng=0)
    >>> layer(np.ones((5, 3), np.float32), np.ones((5, 2), np.float32)).shape
    (5, 4)
    """

    def __init__(
        self,
        in1_features: int,
        in2_features: int,
        out_features: int,
        bias: bool = True,
        *,
        initializer: Initializer | None = None,
        rng: Any = None,
        dtype: DType | str = "float32",
    ) -> None:
        self.in1_features = as_integer(in1_features, "in1_features", 1)
        self.in2_features = as_integer(in2_features, "in2_features", 1)
        self.out_features = as_integer(out_features, "out_features", 1)
        shape = (self.out_features, self.in1_features, self.in2_features)
        fan_in = self.in1_features * self.in2_features
        values = InitialValues(initializer, rng, dtype)
        self.weight: Array = Parameter(values.drawn(shape, fan_in, self.out_features))
        self.bias: Array | None = Parameter(values.full((self.out_features,), 0.0)) if bias else None

    def forward(self, x1: Array, x2: Array) -> Array:
        """Map (..., in1_features) and (..., in2_features) to (..., out_features)."""
        return functional.bilinear(x1, x2, self.weight, self.bias)

    def _current_arguments(self) -> dict[str, Any]:
        return {"bias": self.bias is not None}
