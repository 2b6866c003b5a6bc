"""Layers that pool spatial axes to a given size, or to nothing."""

from typing import ClassVar

from nnx import functional
from nnx.functional.pooling_windows import OutputSize, output_sizes
from nnx.functional.spatial import axes_of, expect_spatial
from nnx.layers.examples import or_one_example
from nnx.layers.module import Module
from nnx.types import Array


class AdaptivePool(Module):
    """The base of adaptive pooling: the size of the output, for a number of spatial axes."""

    _count: ClassVar[int]

    def __init__(self, output_size: OutputSize, *, layout: str = "NCHW") -> None:
        self.output_size, self.layout = output_size, layout
        axes_of(layout, self._count)
        output_sizes(output_size, self._count)


class AdaptiveAvgPool(AdaptivePool):
    """The base of adaptive average pooling."""

    @or_one_example
    def forward(self, x: Array) -> Array:
        """Map (batch, channels, *sizes) to (batch, channels, *output_size), or so in the other layout."""
        expect_spatial(x, self.layout, self._count)
        return functional.adaptive_average_pool(x, output_size=self.output_size, layout=self.layout)


class AdaptiveAvgPool1d(AdaptiveAvgPool):
    """Adaptive average pooling over one spatial axis; arguments are those of :class:`AdaptiveAvgPool2d`.

    Examples
    --------
    >>> import numpy as np, nnx
    >>> nnx.AdaptiveAvgPool1d(2)(np.asarray([[[1.0, 3.0, 5.0]]]))
    array([[[2., 4.]]])
    """

    _count = 1


class AdaptiveAvgPool2d(AdaptiveAvgPool):
    """Average pooling to an output of a given size; see :func:`nnx.functional.adaptive_average_pool`.

    Parameters
    ----------
    output_size : int or None, or one per spatial axis
        ``None`` keeps the size of the input.
    layout : str
        ``"NCHW"`` for channels first, ``"NHWC"`` for channels last, in the input and the output.

    Raises
    ------
    ArgumentError
        If ``output_size`` is not one positive integer or one per spatial axis.
    ShapeError
        On a call, if the input is not of shape (batch, channels, height, width) or (batch, height, width, channels),
        or one of its spatial axes is empty.

    Examples
    --------
    >>> import numpy as np, nnx
    >>> nnx.AdaptiveAvgPool2d(7)(np.ones((5, 3, 20, 10))).shape
    (5, 3, 7, 7)
    """

    _count = 2


class AdaptiveAvgPool3d(AdaptiveAvgPool):
    """Adaptive average pooling over three spatial axes; arguments are those of :class:`AdaptiveAvgPool2d`.

    Examples
    --------
    >>> import numpy as np, nnx
    >>> nnx.AdaptiveAvgPool3d((1, None, 2))(np.ones((5, 3, 4, 8, 6))).shape
    (5, 3, 1, 8, 2)
    """

    _count = 3


class AdaptiveMaxPool(AdaptivePool):
    """The base of adaptive max pooling."""

    @or_one_example
    def forward(self, x: Array) -> Array:
        """Map (batch, channels, *sizes) to (batch, channels, *output_size), or so in the other layout."""
        expect_spatial(x, self.layout, self._count)
        return functional.adaptive_max_pool(x, output_size=self.output_size, layout=self.layout)


class AdaptiveMaxPool1d(AdaptiveMaxPool):
    """Adaptive max pooling over one spatial axis; arguments are those of :class:`AdaptiveAvgPool2d`.

    Examples
    --------
    >>> import numpy as np, nnx
    >>> nnx.AdaptiveMaxPool1d(2)(np.asarray([[[1.0, 5.0, 3.0]]]))
    array([[[5., 5.]]])
    """

    _count = 1


class AdaptiveMaxPool2d(AdaptiveMaxPool):
    """Max pooling to an output of a given size; arguments and errors are those of :class:`AdaptiveAvgPool2d`.

    Examples
    --------
    >>> import numpy as np, nnx
    >>> nnx.AdaptiveMaxPool2d(7)(np.ones((5, 3, 20, 10))).shape
    (5, 3, 7, 7)
    """

    _count = 2


class AdaptiveMaxPool3d(AdaptiveMaxPool):
    """Adaptive max pooling over three spatial axes; arguments are those of :class:`AdaptiveAvgPool2d`.

    Examples
    --------
    >>> import numpy as np, nnx
    >>> nnx.AdaptiveMaxPool3d((1, None, 2))(np.ones((5, 3, 4, 8, 6))).shape
    (5, 3, 1, 8, 2)
    """

    _count = 3


class GlobalAvgPool(Module):
    r"""Mean over all spatial axes: :math:`y_{n c} = \frac{1}{h w} \sum_{i j} x_{n c i j}`.

    Parameters
    ----------
    layout : str
        ``"NCHW"`` for channels first, ``"NHWC"`` for channels last, with one, two or three spatial axes.

    Raises
    ------
    ShapeError
        On a call, if the input does not have one to three spatial axes, or one of them is empty.

    Examples
    --------
    >>> import numpy as np, nnx
    >>> nnx.GlobalAvgPool()(np.ones((5, 3, 8, 6))).shape
    (5, 3)
    """

    def __init__(self, *, layout: str = "NCHW") -> None:
        self.layout = layout

    def forward(self, x: Array) -> Array:
        """Map (batch, channels, *sizes), or the other layout, to (batch, channels)."""
        return functional.global_average_pool(x, layout=self.layout)


class GlobalMaxPool(Module):
    r"""Maximum over all spatial axes: :math:`y_{n c} = \max_{i j} x_{n c i j}`; see :class:`GlobalAvgPool`.

    Examples
    --------
    >>> import numpy as np, nnx
    >>> nnx.GlobalMaxPool()(np.ones((5, 3, 8, 6))).shape
    (5, 3)
    """

    def __init__(self, *, layout: str = "NCHW") -> None:
        self.layout = layout

    def forward(self, x: Array) -> Array:
        """Map (batch, channels, *sizes), or the other layout, to (batch, channels)."""
        return functional.global_max_pool(x, layout=self.layout)
