"""Bring the picture of a digit to the form of the training images: ink on no background, at their size and place."""

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from nnx.errors import DataError
from nnx.types import Array

_LEAST_CONTRAST = 0.1  # between background and ink; an image with less is blank
_FAINTEST = 0.2  # of the ink, relative to the darkest, that belongs to the digit
_PIXEL = 1.0  # an image of the right size is left alone if size and place of its digit differ by no more


@dataclass(frozen=True)
class Framing:
    """Where the digits of a data set are in their square images, as fractions of the side.

    MNIST scales each digit until its longer side is 20 of 28 pixels, and puts its center of mass at the middle of
    pixel 14. The embedded digits have no margins.

    Attributes
    ----------
    fill : float
        Length of the longer side of a digit, the average of the data set; 1 if it reaches from edge to edge.
    center : float
        Distance of the center of mass from the upper and the left edge.
    """

    fill: float = 1.0
    center: float = 0.5

    @classmethod
    def of(cls, x: Array) -> "Framing":
        """Measure a training set, (batch, pixels)."""
        side = math.isqrt(x.shape[1])
        if side * side != x.shape[1]:
            return cls()
        images = x[:1000].reshape(-1, side, side)
        ink = images > 0.5 * images.max(axis=(1, 2), keepdims=True)
        extents = [_extent(ink.any(axis=axis)) for axis in (1, 2)]
        mass = images.sum(axis=0, dtype=np.float64)
        center = (_center(mass.sum(axis=0)) + _center(mass.sum(axis=1))) / 2 if mass.any() else side / 2
        return cls(float(np.mean(np.maximum(*extents)) / side), center / side)

    def apply(self, ink: Array, side: int) -> Array:
        """Return ink of any shape as a square of ``side`` pixels, in which the digit has the size and place of others.

        An image that has them already is returned as it is.
        """
        top, bottom, left, right = _box(ink)
        digit = ink[top:bottom, left:right]
        longer = max(digit.shape)
        centers = [_center(digit.sum(axis=1)), _center(digit.sum(axis=0))]
        if ink.shape == (side, side):
            offsets = [top + centers[0] - self.center * side, left + centers[1] - self.center * side]
            if max(abs(longer - self.fill * side), *map(abs, offsets)) <= _PIXEL:
                return ink
        field = max(longer, longer * side / max(round(self.fill * side), 1))
        starts = [
            min(max(center - self.center * field, length - field), 0.0)  # no part of the digit is cut off
            for center, length in zip(centers, digit.shape, strict=True)
        ]
        resized = _resize(digit, starts, field, side)
        return resized / resized.max()


def find_ink(gray: Array, path: Path) -> tuple[Array, bool]:
    """Return the ink in each pixel, from 0 (background) to 1, and whether the image was dark on light.

    Parameters
    ----------
    gray : array, shape (rows, columns)
        Brightness from 0 to 1.
    path : Path
        For the error.

    Raises
    ------
    DataError
        If there is no ink.
    """
    background, noise = _background(gray)
    is_dark_on_light = bool((background - gray).max() > (gray - background).max())
    ink = np.maximum((background - gray if is_dark_on_light else gray - background) - noise, 0.0)
    if is_dark_on_light:  # ink takes away a part of the light that falls on the paper, which need not be even
        ink /= np.maximum(background, _LEAST_CONTRAST)
    if ink.max() < _LEAST_CONTRAST:
        brightness = float(np.median(background))
        raise DataError(f"{path}: expected a digit on a background, got an image of one brightness, {brightness:.2f}")
    return ink / ink.max(), is_dark_on_light


def _background(gray: Array) -> tuple[Array, float]:
    """Return the brightness of the background at each pixel, and how far it varies at random.

    It is a plane, since light may fall from one side: that of most pixels of the border.
    """
    rows, columns = np.meshgrid(*(np.linspace(-1, 1, length) for length in gray.shape), indexing="ij")
    planes = np.stack([np.ones_like(gray), rows, columns], axis=-1)
    edge = np.ones(gray.shape, bool)
    edge[1:-1, 1:-1] = False
    plane = np.asarray([np.median(gray[edge]), 0.0, 0.0])
    for _ in range(3):  # each time without what is far from the last plane, such as ink at the border
        away = np.abs(planes @ plane - gray)
        near = edge & (away <= max(3 * float(np.median(away[edge])), 0.02))
        plane = np.linalg.lstsq(planes[near], gray[near], rcond=None)[0]
    away = np.abs(planes @ plane - gray)[near]
    return planes @ plane, float(away.max())


def _box(ink: Array) -> tuple[int, int, int, int]:
    """Return top, bottom, left and right of the ink that is not faint."""
    rows, columns = (np.flatnonzero((ink > _FAINTEST).any(axis=axis)) for axis in (1, 0))
    return rows[0], rows[-1] + 1, columns[0], columns[-1] + 1


def _center(profile: Array) -> float:
    """Return the center of mass along an axis, counted from its edge."""
    return float(np.average(np.arange(len(profile)) + 0.5, weights=profile))


def _resize(digit: Array, starts: list[float], field: float, side: int) -> Array:
    """Return a square of ``side`` pixels that shows the square field of a digit which starts at these distances."""
    from PIL import Image

    margin = math.ceil(field) + 1
    padded = Image.fromarray(np.pad(digit, margin).astype(np.float32))
    top, left = (margin + start for start in starts)
    # Pillow averages over all pixels that become one, with weights that fall off linearly, and enlarges smoothly.
    method = Image.Resampling.BILINEAR
    return np.asarray(padded.resize((side, side), method, box=(left, top, left + field, top + field)))


def resize(ink: Array, shape: tuple[int, ...]) -> Array:
    """Return a whole image with another number of rows and columns, for networks whose images are not square."""
    from PIL import Image

    image = Image.fromarray(ink.astype(np.float32)).resize(shape[::-1], Image.Resampling.BILINEAR)
    return np.asarray(image) / max(float(np.max(image)), 1e-12)


def _extent(occupied: Any) -> Any:
    """Return the length from the first to the last True of each row, both included."""
    width = occupied.shape[1]
    first, last = occupied.argmax(axis=1), width - 1 - occupied[:, ::-1].argmax(axis=1)
    return np.where(occupied.any(axis=1), last - first + 1, width)
