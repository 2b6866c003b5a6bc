"""Layers that pool windows of one, two or three spatial axes."""

from typing import ClassVar

from nnx import functional
from nnx.functional.spatial import ANY_SIZE, Padding, PerAxis, axes_of, expect_spatial, windows
from nnx.layers.examples import or_one_example
from nnx.layers.module import Module
from nnx.types import Array


class MaxPool(Module):
    """The base of max pooling: the options of the function, for a number of spatial axes."""

    _count: ClassVar[int]

    def __init__(
        self,
        kernel_size: PerAxis,
        *,
        stride: PerAxis | None = None,
        padding: Padding = 0,
        dilation: PerAxis = 1,
        ceil_mode: bool = False,
        layout: str = "NCHW",
    ) -> None:
        self.kernel_size, self.stride = kernel_size, stride
        self.padding, self.dilation, self.ceil_mode = padding, dilation, ceil_mode
        self.layout = layout
        _check(self._count, layout, kernel_size, stride, padding, dilation)

    @or_one_example
    def forward(self, x: Array) -> Array:
        """Map (batch, channels, *sizes), or the other layout, to the same with fewer elements along spatial axes."""
        expect_spatial(x, self.layout, self._count)
        return functional.max_pool(
            x,
            kernel_size=self.kernel_size,
            stride=self.stride,
            padding=self.padding,
            dilation=self.dilation,
            ceil_mode=self.ceil_mode,
            layout=self.layout,
        )


class MaxPool1d(MaxPool):
    """Max pooling over one spatial axis; arguments are those of :class:`MaxPool2d`, with one axis.

    Examples
    --------
    >>> import numpy as np, nnx
    >>> nnx.MaxPool1d(2)(np.asarray([[[1.0, 3.0, 7.0, 5.0]]]))
    array([[[3., 7.]]])
    """

    _count = 1


class MaxPool2d(MaxPool):
    r"""Max pooling over two spatial axes: the maximum of each window; see :func:`nnx.functional.max_pool`.

    Parameters
    ----------
    kernel_size : int or one per spatial axis
    stride : int or one per spatial axis
        From one window to the next; by default the size of a window, so that they do not overlap.
    padding : int, ``"valid"``, ``"same"``, or per spatial axis an int or a pair (before, after)
        Elements that are never the maximum, around the input.
    dilation : int or one per spatial axis
        Distance between the elements of a window.
    ceil_mode : bool
        Whether elements left over at the end get a last, incomplete window.
    layout : str
        ``"NCHW"`` for channels first, ``"NHWC"`` for channels last, in the input and the output.

    Raises
    ------
    ArgumentError
        If an option is out of its range.
    ShapeError
        On a call, if the input is not of shape (batch, channels, height, width) or (batch, height, width, channels),
        a window is larger than the padded input, or one lies in the padding alone.

    Examples
    --------
    >>> import numpy as np, nnx
    >>> nnx.MaxPool2d(2)(np.ones((5, 3, 8, 6))).shape
    (5, 3, 4, 3)
    """

    _count = 2


class MaxPool3d(MaxPool):
    """Max pooling over three spatial axes; arguments are those of :class:`MaxPool2d`, with three axes.

    Examples
    --------
    >>> import numpy as np, nnx
    >>> nnx.MaxPool3d(2)(np.ones((5, 3, 4, 8, 6))).shape
    (5, 3, 2, 4, 3)
    """

    _count = 3


class AvgPool(Module):
    """The base of average pooling: the options of the function, for a number of spatial axes."""

    _count: ClassVar[int]

    def __init__(
        self,
        kernel_size: PerAxis,
        *,
        stride: PerAxis | None = None,
        padding: Padding = 0,
        ceil_mode: bool = False,
        count_include_pad: bool = True,
        layout: str = "NCHW",
    ) -> None:
        self.kernel_size, self.stride = kernel_size, stride
        self.padding, self.ceil_mode, self.count_include_pad = padding, ceil_mode, count_include_pad
        self.layout = layout
        _check(self._count, layout, kernel_size, stride, padding)

    @or_one_example
    def forward(self, x: Array) -> Array:
        """Map (batch, channels, *sizes), or the other layout, to the same with fewer elements along spatial axes."""
        expect_spatial(x, self.layout, self._count)
        return functional.average_pool(
            x,
            kernel_size=self.kernel_size,
            stride=self.stride,
            padding=self.padding,
            ceil_mode=self.ceil_mode,
            count_include_pad=self.count_include_pad,
            layout=self.layout,
        )


class AvgPool1d(AvgPool):
    """Average pooling over one spatial axis; arguments are those of :class:`AvgPool2d`, with one axis.

    Examples
    --------
    >>> import numpy as np, nnx
    >>> nnx.AvgPool1d(2)(np.asarray([[[1.0, 3.0, 5.0, 7.0]]]))
    array([[[2., 6.]]])
    """

    _count = 1


class AvgPool2d(AvgPool):
    r"""Average pooling over two spatial axes: the mean of each window; see :func:`nnx.functional.average_pool`.

    Parameters
    ----------
    kernel_size : int or one per spatial axis
    stride : int or one per spatial axis
        From one window to the next; by default the size of a window, so that they do not overlap.
    padding : int, ``"valid"``, ``"same"``, or per spatial axis an int or a pair (before, after)
        Zeros around the input.
    ceil_mode : bool
        Whether elements left over at the end get a last, incomplete window.
    count_include_pad : bool
        Whether the zeros count in the mean.
    layout : str
        ``"NCHW"`` for channels first, ``"NHWC"`` for channels last, in the input and the output.

    Raises
    ------
    ArgumentError
        If an option is out of its range.
    ShapeError
        On a call, if the input is not of shape (batch, channels, height, width) or (batch, height, width, channels),
        a window is larger than the padded input, or one lies in the padding alone.

    Examples
    --------
    >>> import numpy as np, nnx
    >>> nnx.AvgPool2d(2)(np.ones((5, 3, 8, 6))).shape
    (5, 3, 4, 3)
    """

    _count = 2


class AvgPool3d(AvgPool):
    """Average pooling over three spatial axes; arguments are those of :class:`AvgPool2d`, with three axes.

    Examples
    --------
    >>> import numpy as np, nnx
    >>> nnx.AvgPool3d(2)(np.ones((5, 3, 4, 8, 6))).shape
    (5, 3, 2, 4, 3)
    """

    _count = 3


def _check(
    count: int,
    layout: str,
    kernel_size: PerAxis,
    stride: PerAxis | None,
    padding: Padding,
    dilation: PerAxis = 1,
) -> None:
    """Raise ArgumentError for options that no input fits."""
    axes_of(layout, count)
    windows((ANY_SIZE,) * count, kernel_size, kernel_size if stride is None else stride, padding, dilation)
