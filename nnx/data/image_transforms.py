"""Random crops, flips and erased boxes, drawn for each image of a batch."""

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from nnx.backend import asarray, namespace
from nnx.data.composing import RandomTransform
from nnx.data.pixels import as_pair, expect_images, expect_probability, for_each_image, inside_box, pixels_at
from nnx.errors import ArgumentError, ShapeError
from nnx.functional.checks import expect_choice, normalize_axis
from nnx.functional.windows import as_fill
from nnx.types import Array

_TRIES = 10  # boxes drawn for an image, of which the first that fits is erased


@dataclass(frozen=True, repr=False)
class RandomCrop(RandomTransform):
    r"""Cut a window of random position from each image, which is padded first.

    :math:`y_{b \ldots i j} = x_{b \ldots, i + s_b - p, j + t_b - q}` with :math:`s_b` uniform over
    :math:`0, \ldots, H + 2 p - h`, and :math:`t_b` likewise over the columns.

    Parameters
    ----------
    size : int or pair of int
        Height and width :math:`h, w` of the window.
    padding : int or pair of int
        Rows :math:`p` added above and below, and columns :math:`q` added left and right; default 0.
    mode : str
        What the added pixels are: ``"constant"``, the value ``fill``; ``"edge"``, the nearest pixel; or ``"reflect"``,
        the image mirrored at its outermost pixels.
    fill : number
        Default 0. In images that are normalized afterwards it is one of the raw pixels' values.
    parts : int, str or tuple of them
        See :class:`Transform`; each is of shape (batch, ..., height, width) and any dtype.

    Raises
    ------
    ArgumentError
        If an argument is out of range.
    ShapeError
        If the images are no images, or smaller than the window. Reflection cannot add as many pixels as there are.

    Notes
    -----
    The numbers drawn are described under :class:`RandomTransform`.

    Examples
    --------
    >>> from nnx.data import SampleKey
    >>> images = np.arange(18.0).reshape(2, 3, 3)
    >>> RandomCrop(2)(images, SampleKey(seed=0, epoch=0, indices=[0, 1]))[1]
    array([[ 9., 10.],
           [12., 13.]])
    """

    size: int | tuple[int, int]
    padding: int | tuple[int, int] = 0
    mode: str = "constant"
    fill: float = 0

    count: ClassVar[int] = 2

    def __post_init__(self) -> None:
        super().__post_init__()
        as_pair(self.size, "size", 1)
        as_pair(self.padding, "padding", 0)
        expect_choice(self.mode, ("constant", "edge", "reflect"), "mode")

    def vary(self, x: Array, draws: Array) -> Array:
        """Return the windows of one part."""
        lengths, sizes = expect_images(x), as_pair(self.size, "size", 1)
        paddings = as_pair(self.padding, "padding", 0)
        along = zip(lengths, sizes, paddings, draws.T, strict=True)
        row, column = (self._pixels(*each) for each in along)
        fill = self.fill if self.mode == "constant" and any(paddings) else None
        return pixels_at(x, asarray(row[:, :, None], like=x), asarray(column[:, None, :], like=x), fill)

    def _pixels(self, length: int, size: int, padding: int, draws: Array) -> Array:
        """Return which pixels of an axis the window of each image takes, as a NumPy array (batch, size)."""
        positions = length + 2 * padding - size + 1
        if positions < 1:
            raise ShapeError(
                f"expected images at least as large as the window of {size} pixels, got {length} with "
                f"{padding} on either side; use a smaller size or more padding"
            )
        if self.mode == "reflect" and padding >= length:
            raise ShapeError(f"expected less padding than the {length} pixels to be mirrored, got {padding}")
        start = np.floor(draws * positions).astype(np.int32)
        pixels = start[:, None] - np.int32(padding) + np.arange(size, dtype=np.int32)
        if self.mode == "edge":
            return np.clip(pixels, 0, length - 1)
        return length - 1 - abs(length - 1 - abs(pixels)) if self.mode == "reflect" else pixels


@dataclass(frozen=True, repr=False)
class RandomFlip(RandomTransform):
    """Reverse an axis of each sample with a given probability.

    Parameters
    ----------
    axis : int
        Default -1, which mirrors left and right. Not 0, the batch.
    probability : float
        Default 0.5.
    parts : int, str or tuple of them
        See :class:`Transform`; each is of any shape with that axis, and any dtype.

    Raises
    ------
    ArgumentError
        If the probability is not in [0, 1], or the axis is that of the batch.
    ShapeError
        If there is no such axis.

    Examples
    --------
    >>> from nnx.data import SampleKey
    >>> RandomFlip()(np.asarray([[1, 2], [3, 4], [5, 6]]), SampleKey(seed=0, epoch=0, indices=[0, 1, 2]))
    array([[1, 2],
           [4, 3],
           [5, 6]])
    """

    axis: int = -1
    probability: float = 0.5

    def __post_init__(self) -> None:
        super().__post_init__()
        expect_probability(self.probability)

    def vary(self, x: Array, draws: Array) -> Array:
        """Return one part, with some samples reversed."""
        axis = normalize_axis(self.axis, x.ndim)
        if axis == 0:
            raise ArgumentError(f"expected an axis of the samples, got {self.axis}, which is the batch")
        xp = namespace(x)
        return xp.where(for_each_image(draws < self.probability, x), xp.flip(x, axis=axis), x)


@dataclass(frozen=True, repr=False)
class RandomErasing(RandomTransform):
    r"""Fill a random box in each image with a given probability.

    The box has the area :math:`s H W` and the ratio :math:`r` of height to width, so it is
    :math:`\sqrt{s r H W}` high and :math:`\sqrt{s H W / r}` wide, rounded. :math:`s` is uniform over ``area``,
    :math:`\log r` uniform over the logarithms of ``ratio``, and the position uniform over those inside the image. Of
    ten boxes the first that is smaller than the image is taken; if none is, the image stays as it is.

    Parameters
    ----------
    probability : float
        Default 0.5.
    area : pair of float
        Default (0.02, 0.4), shares of the image.
    ratio : pair of float
        Default (0.3, 1 / 0.3).
    fill : number
        Default 0.
    parts : int, str or tuple of them
        See :class:`Transform`; each is of shape (batch, ..., height, width) and any dtype.

    Raises
    ------
    ArgumentError
        If an argument is out of range.
    ShapeError
        If the images are no images.

    Notes
    -----
    Source: Z. Zhong et al., "Random Erasing Data Augmentation", AAAI 2020 (arXiv:1708.04896), which draws the ratio
    uniformly, so that flat boxes are rarer than high ones, and has the defaults given here.

    Examples
    --------
    >>> from nnx.data import SampleKey
    >>> erase = RandomErasing(probability=1.0, area=(0.25, 0.25), ratio=(1.0, 1.0))
    >>> erase(np.ones((1, 4, 4), int), SampleKey(seed=0, epoch=0, indices=[7]))[0]
    array([[1, 1, 1, 1],
           [0, 0, 1, 1],
           [0, 0, 1, 1],
           [1, 1, 1, 1]])
    """

    probability: float = 0.5
    area: tuple[float, float] = (0.02, 0.4)
    ratio: tuple[float, float] = (0.3, 1 / 0.3)
    fill: float = 0

    count: ClassVar[int] = 3 + 2 * _TRIES

    def __post_init__(self) -> None:
        super().__post_init__()
        expect_probability(self.probability)
        _expect_range(self.area, "area", 1.0)
        _expect_range(self.ratio, "ratio", np.inf)

    def vary(self, x: Array, draws: Array) -> Array:
        """Return one part, with boxes filled."""
        height, width = expect_images(x)
        top, bottom, left, right = self._boxes(height, width, draws)
        erased = draws[:, 0] < self.probability
        inside = inside_box(x, top, np.where(erased, bottom, top), left, right)
        return namespace(x).where(inside, as_fill(x, self.fill), x)

    def _boxes(self, height: int, width: int, draws: Array) -> tuple[Array, ...]:
        """Return the sides of the box of each image as NumPy arrays (batch,); one that does not fit has no height."""
        shares, ratios = draws[:, 3 : 3 + _TRIES], draws[:, 3 + _TRIES :]
        area = height * width * (self.area[0] + shares * (self.area[1] - self.area[0]))
        low, high = np.log(self.ratio[0]), np.log(self.ratio[1])
        ratio = np.exp(low + ratios * (high - low))
        rows, columns = np.rint(np.sqrt(area * ratio)), np.rint(np.sqrt(area / ratio))
        fits = (rows < height) & (columns < width)
        first = np.argmax(fits, axis=1)[:, None]
        rows, columns = (np.take_along_axis(np.where(fits, size, 0), first, 1)[:, 0] for size in (rows, columns))
        top, left = np.floor(draws[:, 1] * (height - rows + 1)), np.floor(draws[:, 2] * (width - columns + 1))
        return top, top + rows, left, left + columns


def _expect_range(value: Any, name: str, most: float) -> None:
    is_pair = isinstance(value, tuple) and len(value) == 2 and all(isinstance(x, (int, float)) for x in value)
    if not is_pair or not 0 < value[0] <= value[1] <= most or value[1] == np.inf:
        limit = "" if most == np.inf else f", at most {most:g}"
        raise ArgumentError(f"expected {name} to be a pair (low, high) of positive numbers{limit}, got {value!r}")
