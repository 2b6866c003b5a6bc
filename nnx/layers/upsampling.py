"""Layers that interpolate over spatial axes, or exchange channels for space."""

from nnx import functional
from nnx.errors import ArgumentError
from nnx.functional.checks import as_integer, expect_choice
from nnx.functional.interpolation_maps import Scale
from nnx.functional.spatial import PerAxis
from nnx.layers.module import Module
from nnx.types import Array


class Upsample(Module):
    """Interpolation to another size over one, two or three spatial axes; see :func:`nnx.functional.upsample`.

    Parameters
    ----------
    size : int or one per spatial axis, optional
        Of the output.
    scale : float or one per spatial axis, optional
        Instead of ``size``: the output has floor(size * scale) elements along an axis.
    mode : {"nearest", "linear"}
        ``"linear"`` is bilinear over two axes and trilinear over three.
    align_corners : bool
        For ``"linear"``: whether the first and the last element of an axis keep their places.
    layout : str
        ``"NCHW"`` for channels first, ``"NHWC"`` for channels last, with one, two or three spatial axes.

    Raises
    ------
    ArgumentError
        If not exactly one of ``size`` and ``scale`` is given; on a call, if an option is out of its range.
    ShapeError
        On a call, if the input does not have one to three spatial axes, or one of them is empty or would be.

    Examples
    --------
    >>> import numpy as np, nnx
    >>> nnx.Upsample(scale=2)(np.ones((5, 3, 8, 6))).shape
    (5, 3, 16, 12)
    """

    def __init__(
        self,
        size: PerAxis | None = None,
        *,
        scale: Scale | None = None,
        mode: str = "nearest",
        align_corners: bool = False,
        layout: str = "NCHW",
    ) -> None:
        if (size is None) == (scale is None):
            raise ArgumentError(f"expected either size or scale, got size={size!r} and scale={scale!r}")
        expect_choice(mode, ("nearest", "linear"), "mode")
        self.size, self.scale = size, scale
        self.mode, self.align_corners, self.layout = mode, align_corners, layout

    def forward(self, x: Array) -> Array:
        """Map (batch, channels, *sizes), or the other layout, to the same with other sizes."""
        return functional.upsample(
            x,
            size=self.size,
            scale=self.scale,
            mode=self.mode,
            align_corners=self.align_corners,
            layout=self.layout,
        )


class PixelShuffle(Module):
    """Channels turned into space: each spatial axis becomes longer; see :func:`nnx.functional.pixel_shuffle`.

    Parameters
    ----------
    factor : int
    layout : str
        ``"NCHW"`` for channels first, ``"NHWC"`` for channels last.

    Raises
    ------
    ArgumentError
        If ``factor`` is less than 1.
    ShapeError
        On a call, if the channels do not divide.

    Examples
    --------
    >>> import numpy as np, nnx
    >>> nnx.PixelShuffle(2)(np.ones((5, 12, 8, 6))).shape
    (5, 3, 16, 12)
    """

    def __init__(self, factor: int, *, layout: str = "NCHW") -> None:
        self.factor, self.layout = as_integer(factor, "factor", 1), layout

    def forward(self, x: Array) -> Array:
        """Map (batch, channels * factor**2, height, width) to (batch, channels, height * factor, width * factor)."""
        return functional.pixel_shuffle(x, factor=self.factor, layout=self.layout)


class PixelUnshuffle(Module):
    """Space turned into channels, the inverse of :class:`PixelShuffle`; see :func:`nnx.functional.pixel_unshuffle`.

    Examples
    --------
    >>> import numpy as np, nnx
    >>> nnx.PixelUnshuffle(2)(np.ones((5, 3, 16, 12))).shape
    (5, 12, 8, 6)
    """

    def __init__(self, factor: int, *, layout: str = "NCHW") -> None:
        self.factor, self.layout = as_integer(factor, "factor", 1), layout

    def forward(self, x: Array) -> Array:
        """Map (batch, channels, height * factor, width * factor) to (batch, channels * factor**2, height, width)."""
        return functional.pixel_unshuffle(x, factor=self.factor, layout=self.layout)
