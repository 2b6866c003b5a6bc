"""Random rotations of images."""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from nnx.backend import asarray, device_of, is_floating, namespace
from nnx.data.composing import RandomTransform
from nnx.data.pixels import bordered, expect_images, pixels_at, taken
from nnx.errors import ArgumentError
from nnx.functional.checks import expect_choice
from nnx.types import Array


@dataclass(frozen=True, repr=False)
class RandomRotation(RandomTransform):
    r"""Turn each image about its center by a random angle, counterclockwise.

    With the row :math:`i` and the column :math:`j` counted from the center, :math:`y_{i j} = x_{u v}` where

    .. math:: u = i \cos \varphi + j \sin \varphi, \quad v = j \cos \varphi - i \sin \varphi.

    Parameters
    ----------
    degrees : float or pair of float
        The angle is uniform over [-degrees, degrees), or over [low, high).
    mode : str
        ``"bilinear"``, the default, weights the four pixels around :math:`(u, v)`; ``"nearest"`` takes the nearest,
        which masks of class indices need.
    fill : number
        The value outside the image; default 0.
    parts : int, str or tuple of them
        See :class:`Transform`; each is of shape (batch, ..., height, width) and of a numeric dtype.

    Raises
    ------
    ArgumentError
        If an argument is out of range.
    ShapeError
        If the images are no images.

    Notes
    -----
    Positions and weights are computed in float32, pixels in the images' dtype, or in float32 if that has 16 bits or
    holds integers; integers are then rounded to the nearest. Bilinear interpolation smooths: turning an image there
    and back does not restore it.

    Examples
    --------
    >>> from nnx.data import SampleKey
    >>> image = np.asarray([[[1.0, 2.0], [3.0, 4.0]]])
    >>> RandomRotation((90, 90))(image, SampleKey(seed=0, epoch=0, indices=[0]))
    array([[[2., 4.],
            [1., 3.]]])
    """

    degrees: float | tuple[float, float]
    mode: str = "bilinear"
    fill: float = 0

    def __post_init__(self) -> None:
        super().__post_init__()
        low, high = self._range()
        if not (math.isfinite(low) and math.isfinite(high) and low <= high):
            raise ArgumentError(
                f"expected degrees to be a number of at least 0, or a pair (low, high), got {self.degrees!r}"
            )
        expect_choice(self.mode, ("bilinear", "nearest"), "mode")

    def vary(self, x: Array, draws: Array) -> Array:
        """Return the images of one part, turned."""
        expect_images(x)
        low, high = self._range()
        row, column = _sources(x, low + draws[:, 0] * (high - low))
        if self.mode == "nearest":
            return pixels_at(x, _floor(row + 0.5), _floor(column + 0.5), self.fill)
        return _bilinear(x, row, column, self.fill)

    def _range(self) -> tuple[float, float]:
        pair = self.degrees if isinstance(self.degrees, tuple) else (-self.degrees, self.degrees)
        return pair if len(pair) == 2 else (math.nan, math.nan)


def _sources(x: Array, degrees: Array) -> tuple[Array, Array]:
    """Return the row and the column from which each new pixel comes, float32 (batch, height, width)."""
    xp, device = namespace(x), device_of(x)
    height, width = x.shape[-2:]
    quarters, rest = np.divmod(degrees, 90.0)  # so that quarter turns are exact
    angle, quarters = np.deg2rad(rest), quarters.astype(np.int64) % 4
    cos, sin = np.cos(angle), np.sin(angle)
    cos, sin = np.choose(quarters, [cos, -sin, -cos, sin]), np.choose(quarters, [sin, cos, -sin, -cos])
    cos, sin = (asarray(each.astype(np.float32)[:, None, None], like=x) for each in (cos, sin))
    middle = (height - 1) / 2, (width - 1) / 2
    i = xp.reshape(xp.arange(height, dtype=xp.float32, device=device), (1, height, 1)) - middle[0]
    j = xp.reshape(xp.arange(width, dtype=xp.float32, device=device), (1, 1, width)) - middle[1]
    return i * cos + j * sin + middle[0], j * cos - i * sin + middle[1]


def _bilinear(x: Array, row: Array, column: Array, fill: Any) -> Array:
    xp = namespace(x)
    top, left = xp.floor(row), xp.floor(column)
    wide = x.dtype if is_floating(x) and xp.finfo(x.dtype).bits > 16 else xp.float32
    shape = (x.shape[0], *(1,) * (x.ndim - 3), *x.shape[-2:])
    down, right = (xp.reshape(xp.astype(each, wide), shape) for each in (row - top, column - left))
    x, top, left = bordered(x, xp.astype(top, xp.int32), xp.astype(left, xp.int32), fill, reach=1)
    width = x.shape[-1]
    index = top * width + left

    def pixels(offset: int) -> Array:
        return xp.astype(taken(x, index + offset), wide, copy=False)

    above = pixels(0) * (1.0 - right) + pixels(1) * right
    below = pixels(width) * (1.0 - right) + pixels(width + 1) * right
    found = above * (1.0 - down) + below * down
    return xp.astype(found if is_floating(x) else xp.round(found), x.dtype, copy=False)


def _floor(x: Array) -> Array:
    xp = namespace(x)
    return xp.astype(xp.floor(x), xp.int32)
