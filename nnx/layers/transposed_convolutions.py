"""Layers that apply the transpose of a convolution over one, two or three spatial axes."""

from typing import Any

from nnx import functional
from nnx.functional.spatial import ANY_SIZE, Padding, PerAxis, transposed_windows
from nnx.initializers import Initializer
from nnx.layers.convolutions import Convolution
from nnx.layers.examples import or_one_example
from nnx.types import Array, DType


class _TransposedConvolution(Convolution):
    def __init__(
        self,
        in_channels: int | None,
        out_channels: int,
        kernel_size: PerAxis,
        *,
        stride: PerAxis = 1,
        padding: Padding = 0,
        output_padding: PerAxis = 0,
        dilation: PerAxis = 1,
        groups: int = 1,
        bias: bool = True,
        layout: str = "NCHW",
        initializer: Initializer | None = None,
        rng: Any = None,
        dtype: DType | str = "float32",
    ) -> None:
        transposed_windows((ANY_SIZE,) * self._count, kernel_size, stride, padding, dilation, output_padding)
        self.output_padding = output_padding
        super().__init__(
            in_channels,
            out_channels,
            kernel_size,
            stride=stride,
            padding=padding,
            dilation=dilation,
            groups=groups,
            bias=bias,
            layout=layout,
            initializer=initializer,
            rng=rng,
            dtype=dtype,
        )

    def _weight_channels(self, in_channels: int) -> tuple[int, int]:
        return in_channels, self.out_channels // self.groups

    @or_one_example
    def forward(self, x: Array) -> Array:
        """Map the input to the output, in the layout of both."""
        return functional.transposed_convolution(
            x,
            self.weight,
            self.bias,
            stride=self.stride,
            padding=self.padding,
            output_padding=self.output_padding,
            dilation=self.dilation,
            groups=self.groups,
            layout=self.layout,
        )


class ConvTranspose1d(_TransposedConvolution):
    """Transposed convolution over one spatial axis; arguments and attributes are those of :class:`ConvTranspose2d`.

    The input is (batch, in_channels, width), or (batch, width, in_channels) with ``layout="NHWC"`` or ``"NWC"``.

    Examples
    --------
    >>> import numpy as np, nnx
    >>> layer = nnx.ConvTranspose1d(3, 2, 4, stride=2, padding=1, rng=0)
    >>> layer(np.ones((2, 3, 10), np.float32)).shape
    (2, 2, 20)
    """

    _count = 1


class ConvTranspose2d(_TransposedConvolution):
    r"""Transposed convolution over two spatial axes: :math:`y_{n o\, (s p + d k - a)} \mathrel{+}= W_{cok} x_{n c p}`.

    It enlarges by the stride: the output has (size - 1) * stride - padding before and after + dilation * (kernel size -
    1) + output_padding + 1 elements along an axis. See :func:`nnx.functional.transposed_convolution`.

    Parameters
    ----------
    in_channels, out_channels, kernel_size, stride, dilation, groups, bias, layout, initializer, rng, dtype
        As in :class:`Conv2d`.
    padding : int, ``"valid"``, ``"same"``, or per spatial axis an int or a pair (before, after)
        Elements to leave out at the borders of the output; with ``"same"`` the output has size * stride elements.
    output_padding : int or one per spatial axis
        Elements to add after the output; less than the stride or the dilation.

    Attributes
    ----------
    weight : array, shape (in_channels, out_channels / groups, kernel height, kernel width)
        As PyTorch stores it.
    bias : array, shape (out_channels,), or None

    Raises
    ------
    ArgumentError, ShapeError, DTypeError
        As in :class:`Conv2d`.

    Examples
    --------
    >>> import numpy as np, nnx
    >>> layer = nnx.ConvTranspose2d(8, 3, 3, stride=2, padding="same", rng=0)
    >>> layer(np.ones((5, 8, 7, 7), np.float32)).shape
    (5, 3, 14, 14)
    """

    _count = 2


class ConvTranspose3d(_TransposedConvolution):
    """Transposed convolution over three spatial axes; arguments and attributes are those of :class:`ConvTranspose2d`.

    The input is (batch, in_channels, depth, height, width); with ``layout="NHWC"`` or ``"NDHWC"`` the channels are
    last.

    Examples
    --------
    >>> import numpy as np, nnx
    >>> layer = nnx.ConvTranspose3d(2, 1, 2, stride=2, rng=0)
    >>> layer(np.ones((1, 2, 3, 4, 4), np.float32)).shape
    (1, 1, 6, 8, 8)
    """

    _count = 3
