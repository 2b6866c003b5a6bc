"""The fully connected layer."""

from typing import Any, Self

from nnx import functional
from nnx.backend import asarray, generator, host_full
from nnx.errors import ShapeError
from nnx.functional.checks import as_integer, expect_floating
from nnx.initializers import HeNormal, Initializer
from nnx.layers.module import Module
from nnx.layers.parameter import Parameter
from nnx.types import Array, DType


class Linear(Module):
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
        self.in_features = None if in_features is None else as_integer(in_features, "in_features", 1)
        self.out_features = as_integer(out_features, "out_features", 1)
        self.weight: Array | None = None
        self.bias: Array | None = None
        self._start = (initializer or HeNormal(), generator(rng), dtype, bias)
        if self.in_features is None:
            self.is_settled = False
        else:
            self._make_parameters(self.in_features, None)

    def settle(self, x: Array) -> Self:
        """Take the number of input features, if it is open, from an input (..., in_features)."""
        if not self.is_settled:
            expect_floating(x)
            if x.ndim == 0:
                raise ShapeError("expected input of shape (..., in_features), got ()")
            self._make_parameters(x.shape[-1], x)
            self.in_features = x.shape[-1]
            self.is_settled = True
        return self

    def _make_parameters(self, in_features: int, like: Array | None) -> None:
        as_integer(in_features, "in_features", 1)  # an input may have an axis of length 0
        initializer, rng, dtype, bias = self._start
        weight = initializer(rng, (in_features, self.out_features), in_features, self.out_features)
        self.weight = Parameter(asarray(weight, dtype=dtype, like=like))
        if bias:
            self.bias = Parameter(asarray(host_full((self.out_features,), 0.0), dtype=dtype, like=like))
        del self._start

    def forward(self, x: Array) -> Array:
        """Map (..., in_features) to (..., out_features)."""
        return functional.linear(x, self.weight, self.bias)

    def _current_arguments(self) -> dict[str, Any]:
        return {"bias": self.bias is not None} if self.is_settled else {}
