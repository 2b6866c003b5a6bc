"""Layers that normalize each example by itself: over its last axes, or over channels and their groups."""

from collections.abc import Sequence
from typing import Any

from nnx import functional
from nnx.errors import ArgumentError, ShapeError
from nnx.functional.checks import as_integer, as_nonnegative
from nnx.layers.open_sizes import InitialValues, OpenSizeLayer
from nnx.layers.parameter import Parameter
from nnx.types import Array, DType, Shape


class _OverLastAxes(OpenSizeLayer):
    """What layers share that normalize over the last axes of their input."""

    _open_size = "shape"

    def __init__(self, shape: int | Sequence[int] | None, eps: float, affine: bool, bias: bool, dtype: Any) -> None:
        self.eps = as_nonnegative(eps, "eps")
        self.affine = affine
        self.weight: Array | None = None
        self.bias: Array | None = None
        self._has_bias = affine and bias
        values = InitialValues(None, None, dtype)
        if isinstance(shape, Sequence):
            self.shape: Any = tuple(as_integer(n, "shape", 1) for n in shape)
            self._make_parameters(self.shape, values)
        else:
            self._start(shape, values)

    def _make_parameters(self, size: Any, values: InitialValues) -> None:
        shape = size if isinstance(size, tuple) else (size,)
        if not shape:
            raise ArgumentError("expected shape to have at least one axis, got ()")
        if self.affine:
            self.weight = Parameter(values.full(shape, 1.0))
        if self._has_bias:
            self.bias = Parameter(values.full(shape, 0.0))

    def _size_from(self, x: Array) -> int:
        if x.ndim == 0:
            raise ShapeError("expected input of shape (..., features), got ()")
        return int(x.shape[-1])

    def _expect_fitting(self, x: Array) -> int:
        """Return the number of axes to normalize over, after a check that the input ends with them."""
        shape: Shape = self.shape if isinstance(self.shape, tuple) else (self.shape,)
        if tuple(x.shape[-len(shape) :]) != shape:
            raise ShapeError(f"expected input of shape (..., {', '.join(map(str, shape))}), got {tuple(x.shape)}")
        return len(shape)


class LayerNorm(_OverLastAxes):
    r"""Layer normalization: :math:`y = w (x - m) / \sqrt{v + \epsilon} + b` over the last axes of each example.

    Parameters
    ----------
    shape : int, sequence of int or None
        The lengths of the last axes; ``None`` takes that of the last one from the first input.
    eps : float
        :math:`\epsilon`, added to the variance.
    affine : bool
        Whether there are a weight and a bias.
    bias : bool
        Whether there is a bias beside the weight.
    dtype : dtype or str
        Of the parameters; default float32.

    Attributes
    ----------
    weight : array of that shape, or None
        Initially 1.
    bias : array of that shape, or None
        Initially 0.

    Raises
    ------
    ShapeError
        On a call, if the last axes of the input are not of that shape.
    DTypeError
        On a call, if the input holds integers or complex numbers, or its dtype is not that of the weight.
    ArgumentError
        If a length is less than 1, or ``eps`` is negative.

    Notes
    -----
    See :func:`nnx.functional.layer_norm`.
    Source: J. L. Ba et al., "Layer normalization", arXiv:1607.06450.

    Examples
    --------
    >>> import numpy as np, nnx
    >>> nnx.LayerNorm(2)(np.asarray([[1.0, 3.0]], np.float32)).round(2)
    array([[-1.,  1.]], dtype=float32)
    """

    def __init__(
        self,
        shape: int | Sequence[int] | None,
        *,
        eps: float = 1e-5,
        affine: bool = True,
        bias: bool = True,
        dtype: DType | str = "float32",
    ) -> None:
        super().__init__(shape, eps, affine, bias, dtype)

    def forward(self, x: Array) -> Array:
        """Map an array that ends with the axes of ``shape`` to one of the same shape."""
        return functional.layer_norm(x, self.weight, self.bias, num_axes=self._expect_fitting(x), eps=self.eps)

    def _current_arguments(self) -> dict[str, Any]:
        return {"bias": self.bias is not None} if self.affine and self.is_settled else {}


class RMSNorm(_OverLastAxes):
    r"""Normalization by the root mean square: :math:`y = w x / \sqrt{s + \epsilon}` with the mean :math:`s` of squares.

    Parameters
    ----------
    shape : int, sequence of int or None
        The lengths of the last axes; ``None`` takes that of the last one from the first input.
    eps : float
        :math:`\epsilon`, added to the mean of the squares.
    affine : bool
        Whether there is a weight.
    dtype : dtype or str
        Of the weight; default float32.

    Attributes
    ----------
    weight : array of that shape, or None
        Initially 1.

    Raises
    ------
    ShapeError, DTypeError, ArgumentError
        As :class:`LayerNorm`.

    Notes
    -----
    See :func:`nnx.functional.rms_norm`.
    Source: B. Zhang and R. Sennrich, "Root mean square layer normalization", NeurIPS 2019.

    Examples
    --------
    >>> import numpy as np, nnx
    >>> nnx.RMSNorm(2)(np.asarray([[3.0, 4.0]], np.float32)).round(3)
    array([[0.849, 1.131]], dtype=float32)
    """

    def __init__(
        self,
        shape: int | Sequence[int] | None,
        *,
        eps: float = 1e-6,
        affine: bool = True,
        dtype: DType | str = "float32",
    ) -> None:
        super().__init__(shape, eps, affine, False, dtype)

    def forward(self, x: Array) -> Array:
        """Map an array that ends with the axes of ``shape`` to one of the same shape."""
        return functional.rms_norm(x, self.weight, num_axes=self._expect_fitting(x), eps=self.eps)
