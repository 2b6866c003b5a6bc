"""Layers that slide a kernel over one, two or three spatial axes."""

import math
from typing import Any, ClassVar

from nnx import functional
from nnx.errors import ArgumentError
from nnx.functional.checks import as_integer, counted
from nnx.functional.spatial import ANY_SIZE, Padding, PerAxis, axes_of, expect_spatial, per_axis, windows
from nnx.initializers import Initializer
from nnx.layers.examples import or_one_example
from nnx.layers.open_sizes import InitialValues, OpenSizeLayer
from nnx.layers.parameter import Parameter
from nnx.types import Array, DType


class Convolution(OpenSizeLayer):
    """The base of all convolutions: channels, parameters and the options of the function."""

    _open_size = "in_channels"
    in_channels: int | None
    _count: ClassVar[int]

    def __init__(
        self,
        in_channels: int | None,
        out_channels: int,
        kernel_size: PerAxis,
        *,
        stride: PerAxis = 1,
        padding: Padding = 0,
        dilation: PerAxis = 1,
        groups: int = 1,
        bias: bool = True,
        layout: str = "NCHW",
        initializer: Initializer | None = None,
        rng: Any = None,
        dtype: DType | str = "float32",
    ) -> None:
        windows((ANY_SIZE,) * self._count, kernel_size, stride, padding, dilation)  # raises for a bad option
        self.out_channels = as_integer(out_channels, "out_channels", 1)
        self.kernel_size = kernel_size
        self.stride, self.padding, self.dilation = stride, padding, dilation
        self.groups = as_integer(groups, "groups", 1)
        self.layout = layout
        axes_of(layout, self._count)
        self._divided(self.out_channels, "out_channels")
        self.weight: Array | None = None
        self.bias: Array | bool | None = bias
        self._start(in_channels, InitialValues(initializer, rng, dtype))

    def _make_parameters(self, size: int, values: InitialValues) -> None:
        into, out = self._divided(size, "in_channels"), self._divided(self.out_channels, "out_channels")
        kernel = per_axis(self.kernel_size, "kernel_size", self._count)
        volume = math.prod(kernel)
        shape = (*self._weight_channels(size), *kernel)
        self.weight = Parameter(values.drawn(shape, into * volume, out * volume))
        self.bias = Parameter(values.full((self.out_channels,), 0.0)) if self.bias else None

    def _weight_channels(self, in_channels: int) -> tuple[int, int]:
        return self.out_channels, in_channels // self.groups

    def _divided(self, channels: int, name: str) -> int:
        """Return the channels of a group."""
        if channels % self.groups:
            raise ArgumentError(
                f"expected groups to divide {name}, got {self.groups} groups of {counted(channels, 'channel')}"
            )
        return channels // self.groups

    def _size_from(self, x: Array) -> int:
        axes = axes_of(self.layout, self._count)
        if x.ndim == self._count + 1:  # one example
            return int(x.shape[axes.channels - 1])
        return int(x.shape[expect_spatial(x, self.layout, self._count).channels])

    @or_one_example
    def forward(self, x: Array) -> Array:
        """Map the input to the output, in the layout of both."""
        return functional.convolution(
            x,
            self.weight,
            self.bias,
            stride=self.stride,
            padding=self.padding,
            dilation=self.dilation,
            groups=self.groups,
            layout=self.layout,
        )


class Conv1d(Convolution):
    """Convolution over one spatial axis; arguments and attributes are those of :class:`Conv2d`, with one axis.

    The input is (batch, in_channels, width), or (batch, width, in_channels) with ``layout="NHWC"`` or ``"NWC"``.

    Examples
    --------
    >>> import numpy as np, nnx
    >>> layer = nnx.Conv1d(3, 8, 5, padding="same", rng=0)
    >>> layer(np.ones((2, 3, 20), np.float32)).shape
    (2, 8, 20)
    """

    _count = 1


class Conv2d(Convolution):
    r"""Convolution over two spatial axes: :math:`y_{n o p} = b_o + \sum_{c k} W_{o c k}\, x_{n c\, (s p + d k - a)}`.

    Parameters
    ----------
    in_channels : int or None
        ``None`` takes it from the first input, see :meth:`nnx.Module.settle`.
    out_channels : int
    kernel_size : int or one per spatial axis
    stride : int or one per spatial axis
        :math:`s`, the distance from a window to the next.
    padding : int, ``"valid"``, ``"same"``, or per spatial axis an int or a pair (before, after)
        Zeros around the input, :math:`a` of them before it. With ``"same"`` the output has size / stride elements
        along an axis, rounded up.
    dilation : int or one per spatial axis
        :math:`d`, the distance between the elements that a kernel is applied to.
    groups : int
        The channels form that many groups, and an output channel sees the inputs of its group alone; as many groups
        as input channels make the convolution depthwise.
    bias : bool
        Whether to add :math:`b`.
    layout : str
        ``"NCHW"`` for channels first, ``"NHWC"`` for channels last, in the input and the output. The weight is the
        same in both. A call also takes one example, without the batch axis.
    initializer : Initializer, optional
        Draws the initial weight; default :class:`nnx.initializers.HeNormal`, of standard deviation
        :math:`\sqrt{2 / \mathrm{fan\_in}}`, where ``fan_in`` is in_channels / groups times the size of the kernel. The
        initial bias is zero.
    rng : int or NumPy Generator, optional
        Source of the initial weight; by default the system's entropy. Pass one generator to all layers.
    dtype : dtype or str
        Of the parameters; default float32.

    Attributes
    ----------
    weight : array, shape (out_channels, in_channels / groups, kernel height, kernel width)
        As PyTorch stores it.
    bias : array, shape (out_channels,), or None

    Raises
    ------
    ArgumentError
        If an option is out of its range, or ``groups`` does not divide the channels.
    ShapeError
        On a call, if the input has other axes or channels, or is smaller, with its padding, than the kernel.
    DTypeError
        On a call, if the input holds integers, or its dtype is not that of the weight.

    Notes
    -----
    Source of the initial weight: K. He et al., "Delving deep into rectifiers", ICCV 2015.

    Examples
    --------
    >>> import numpy as np, nnx
    >>> layer = nnx.Conv2d(1, 8, 3, padding="same", rng=0)
    >>> layer(np.ones((5, 1, 28, 28), np.float32)).shape
    (5, 8, 28, 28)
    """

    _count = 2


class Conv3d(Convolution):
    """Convolution over three spatial axes; arguments and attributes are those of :class:`Conv2d`, with three axes.

    The input is (batch, in_channels, depth, height, width); with ``layout="NHWC"`` or ``"NDHWC"`` the channels are
    last.

    Examples
    --------
    >>> import numpy as np, nnx
    >>> layer = nnx.Conv3d(1, 2, (1, 3, 3), rng=0)
    >>> layer(np.ones((2, 1, 4, 5, 5), np.float32)).shape
    (2, 2, 4, 3, 3)
    """

    _count = 3
