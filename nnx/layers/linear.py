"""The fully connected layer."""

from typing import Any

from nnx import functional
from nnx.errors import ShapeError
from nnx.functional.checks import as_integer
from nnx.initializers import Initializer
from nnx.layers.open_sizes import InitialValues, OpenSizeLayer
from nnx.layers.parameter import Parameter
from nnx.types import Array, DType


class Linear(OpenSizeLayer):
    r"""Fully connected layer: :math:`y = x W + b`.

    Parameters
    ----------
    in_features : int or None
        Length of the last axis of the input; ``None`` takes it from the first input, see :meth:`nnx.Module.settle`.
    out_features : int
        Length of the last axis of the output.
    bias : bool
        Whether to add :math:`b`.
    initializer : Initializer, optional
        Draws the initial weight; default :class:`nnx.initializers.HeNormal`, of standard deviation
        :math:`\sqrt{2 / \mathrm{in\_features}}`. The initial bias is zero.
    rng : int or NumPy Generator, optional
        Source of the initial weight; by default the system's entropy. Pass one generator to all layers.
    dtype : dtype or str
        Of the parameters; default float32.

    Attributes
    ----------
    weight : array, shape (in_features, out_features)
        PyTorch stores its transpose.
    bias : array, shape (out_features,), or None

    Raises
    ------
    ShapeError
        On a call, if the input is not of shape (..., in_features).
    DTypeError
        On a call, if the input holds integers, or its dtype is not that of the weight.
    ArgumentError
        If a number of features is less than 1.

    Notes
    -----
    Source of the initial weight: K. He et al., "Delving deep into rectifiers", ICCV 2015.

    Examples
    --------
    >>> import numpy as np, nnx
    >>> layer = nnx.Linear(3, 2, rng=0)
    >>> layer(np.ones((5, 3), np.float32)).shape
    (5, 2)
    """

    _open_size = "in_features"
    in_features: int | None

    def __init__(
        self,
        in_features: int | None,
        out_features: int,
        bias: bool = True,
        *,
        initializer: Initializer | None = None,
        rng: Any = None,
        dtype: DType | str = "float32",
    ) -> None:
        self.out_features = as_integer(out_features, "out_features", 1)
        self.weight: Array | None = None
        self.bias: Array | bool | None = bias
        self._start(in_features, InitialValues(initializer, rng, dtype))

    def _make_parameters(self, size: int, values: InitialValues) -> None:
        self.weight = Parameter(values.drawn((size, self.out_features), size, self.out_features))
        self.bias = Parameter(values.full((self.out_features,), 0.0)) if self.bias else None

    def _size_from(self, x: Array) -> int:
        if x.ndim == 0:
            raise ShapeError("expected input of shape (..., in_features), got ()")
        return int(x.shape[-1])

    def forward(self, input: Array) -> Array:
        """Map (..., in_features) to (..., out_features)."""
        return functional.linear(input, self.weight, self.bias)
