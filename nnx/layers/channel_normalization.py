"""Layers that normalize the channels of each example, in groups or one by one."""

from typing import Any, ClassVar

from nnx import functional
from nnx.errors import ArgumentError, ShapeError
from nnx.functional.checks import as_integer, as_nonnegative, counted
from nnx.layers.examples import or_one_example
from nnx.layers.open_sizes import InitialValues, OpenSizeLayer
from nnx.layers.parameter import Parameter
from nnx.types import Array, DType


class ChannelNormalization(OpenSizeLayer):
    """The base of layers that have a weight and a bias for each channel of (batch, channels, ...)."""

    _open_size = "num_features"
    num_features: int
    _forms: ClassVar[tuple[str, ...]]  # the axes of an input beside those of batch and channels

    def __init__(
        self,
        num_features: int | None,
        *,
        eps: float = 1e-5,
        affine: bool = True,
        bias: bool = True,
        axis: int = 1,
        dtype: DType | str = "float32",
    ) -> None:
        self.eps = as_nonnegative(eps, "eps")
        self.affine = affine
        self.axis = axis
        self.weight: Array | None = None
        self.bias: Array | bool | None = bias
        self._start(num_features, InitialValues(None, None, dtype))

    def _make_parameters(self, size: int, values: InitialValues) -> None:
        if self.affine:
            self.weight = Parameter(values.full((size,), 1.0))
        self.bias = Parameter(values.full((size,), 0.0)) if self.affine and self.bias else None

    def _current_arguments(self) -> dict[str, Any]:
        return {"bias": self.bias is not None or not self.affine} if self.is_settled else {}

    def _size_from(self, x: Array) -> int:
        self._expect_form(x, "channels")
        return int(x.shape[self.axis])

    def _expect_form(self, x: Array, channels: Any) -> None:
        """Raise ShapeError unless an input has one of the forms of this layer, with these channels."""
        forms = [form.split() for form in self._forms]
        fits = self.axis % max(x.ndim, 1) > 0 and -x.ndim < self.axis < x.ndim
        if not (fits and any(form == ["..."] or x.ndim == 2 + len(form) for form in forms)) or (
            channels != "channels" and x.shape[self.axis] != channels
        ):
            last = [["batch", *form, str(channels)] for form in forms]
            first = [["batch", str(channels), *form] for form in forms]
            text = " or ".join(f"({', '.join(form)})" for form in (first if self.axis > 0 else last))
            raise ShapeError(f"expected input {text}, got {tuple(x.shape)}")


class GroupNorm(ChannelNormalization):
    r"""Group normalization: mean and variance of all positions of some neighboring channels of an example.

    Parameters
    ----------
    groups : int
        The number of groups, which divides that of the channels.
    num_features : int or None
        The number of channels; ``None`` takes it from the first input.
    eps : float
        Added to the variance.
    affine : bool
        Whether there are a weight and a bias.
    bias : bool
        Whether there is a bias, if there is a weight.
    axis : int
        That of the channels: default 1, -1 where they are last.
    dtype : dtype or str
        Of the parameters; default float32.

    Attributes
    ----------
    weight, bias : array, shape (num_features,), or None
        Initially 1 and 0.

    Raises
    ------
    ShapeError
        On a call, if the input is not (batch, num_features, ...), or the groups do not divide the channels.
    DTypeError
        On a call, if the input holds integers or complex numbers, or its dtype is not that of the weight.
    ArgumentError
        If a number is less than 1, the groups do not divide the channels, or ``eps`` is negative.

    Notes
    -----
    See :func:`nnx.functional.group_norm`.
    Source: Y. Wu and K. He, "Group normalization", ECCV 2018.

    Examples
    --------
    >>> import numpy as np, nnx
    >>> nnx.GroupNorm(2, 4)(np.asarray([[1.0, 3.0, 4.0, 8.0]], np.float32)).round(2)
    array([[-1.,  1., -1.,  1.]], dtype=float32)
    """

    _forms = ("...",)

    def __init__(
        self,
        groups: int,
        num_features: int | None,
        *,
        eps: float = 1e-5,
        affine: bool = True,
        bias: bool = True,
        axis: int = 1,
        dtype: DType | str = "float32",
    ) -> None:
        self.groups = as_integer(groups, "groups", 1)
        super().__init__(num_features, eps=eps, affine=affine, bias=bias, axis=axis, dtype=dtype)

    def _make_parameters(self, size: int, values: InitialValues) -> None:
        if size % self.groups:
            raise ArgumentError(
                f"expected groups to divide num_features, got {self.groups} groups of {counted(size, 'channel')}"
            )
        super()._make_parameters(size, values)

    def forward(self, x: Array) -> Array:
        """Map (batch, num_features, ...) to the same shape."""
        self._expect_form(x, self.num_features)
        return functional.group_norm(x, self.weight, self.bias, groups=self.groups, axis=self.axis, eps=self.eps)


class _InstanceNorm(ChannelNormalization):
    _count: ClassVar[int]

    def __init__(
        self,
        num_features: int | None,
        *,
        eps: float = 1e-5,
        affine: bool = False,
        bias: bool = True,
        axis: int = 1,
        dtype: DType | str = "float32",
    ) -> None:
        super().__init__(num_features, eps=eps, affine=affine, bias=bias, axis=axis, dtype=dtype)

    @or_one_example
    def forward(self, x: Array) -> Array:
        """Map an input to one of the same shape."""
        self._expect_form(x, self.num_features)
        return functional.instance_norm(x, self.weight, self.bias, axis=self.axis, eps=self.eps)


class InstanceNorm1d(_InstanceNorm):
    """Instance normalization of (batch, num_features, length); all else is as in :class:`InstanceNorm2d`.

    Examples
    --------
    >>> import numpy as np, nnx
    >>> nnx.InstanceNorm1d(2)(np.asarray([[[1.0, 3.0], [4.0, 8.0]]], np.float32)).round(2)
    array([[[-1.,  1.],
            [-1.,  1.]]], dtype=float32)
    """

    _forms = ("length",)
    _count = 1


class InstanceNorm2d(_InstanceNorm):
    r"""Instance normalization: mean and variance of each channel of each example, over its positions.

    Parameters
    ----------
    num_features : int or None
        The number of channels; ``None`` takes it from the first input.
    eps : float
        Added to the variance.
    affine : bool
        Whether there are a weight and a bias; by default not, as in PyTorch.
    axis : int
        That of the channels: default 1, -1 where they are last.
    dtype : dtype or str
        Of the parameters; default float32.

    Attributes
    ----------
    weight, bias : array, shape (num_features,), or None
        Initially 1 and 0.

    Raises
    ------
    ShapeError
        On a call, if the input is not (batch, num_features, height, width), or has one value a channel.
    DTypeError
        On a call, if the input holds integers or complex numbers, or its dtype is not that of the weight.
    ArgumentError
        If ``num_features`` is less than 1, or ``eps`` is negative.

    Notes
    -----
    See :func:`nnx.functional.instance_norm`. It does the same in training and evaluation mode.
    Source: D. Ulyanov et al., "Instance normalization: the missing ingredient for fast stylization", arXiv:1607.08022.

    Examples
    --------
    >>> import numpy as np, nnx
    >>> nnx.InstanceNorm2d(None)(np.asarray([[[[1.0], [3.0]]]], np.float32)).round(2).ravel()
    array([-1.,  1.], dtype=float32)
    """

    _forms = ("height width",)
    _count = 2


class InstanceNorm3d(_InstanceNorm):
    """Instance normalization of (batch, num_features, depth, height, width); see :class:`InstanceNorm2d`.

    Examples
    --------
    >>> import numpy as np, nnx
    >>> nnx.InstanceNorm3d(2)(np.ones((1, 2, 3, 4, 4), np.float32)).shape
    (1, 2, 3, 4, 4)
    """

    _forms = ("depth height width",)
    _count = 3
