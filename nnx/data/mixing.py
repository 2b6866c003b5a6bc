"""Mixup and CutMix: each sample is mixed with another one of its batch, and so are their targets."""

import math
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from nnx.backend import asarray, dtype_name, is_floating, namespace
from nnx.data.composing import Part, RandomTransform
from nnx.data.pixels import expect_images, expect_probability, inside_box
from nnx.data.sample_key import SampleKey
from nnx.errors import ArgumentError, DTypeError, ShapeError
from nnx.functional import one_hot
from nnx.functional.checks import as_integer
from nnx.types import Array


@dataclass(frozen=True, repr=False)
class _Mixing(RandomTransform):
    """Mixes samples with others; a subclass says how inputs are mixed, and with which share."""

    alpha: float
    classes: int | None = None
    probability: float = 1.0
    parts: Part | tuple[Part, ...] = field(default=(0, -1), kw_only=True)

    def __post_init__(self) -> None:
        super().__post_init__()
        if not isinstance(self.alpha, (int, float)) or not 0 < self.alpha < math.inf:
            raise ArgumentError(f"expected alpha to be a positive number, got {self.alpha!r}")
        if self.classes is not None:
            as_integer(self.classes, "classes", 1)
        expect_probability(self.probability)
        if not isinstance(self.parts, tuple) or len(self.parts) < 2:
            raise ArgumentError(f"expected parts to be inputs and, last, a target, got {self.parts!r}")

    def change(self, arrays: list[Array], key: SampleKey | None) -> list[Array]:
        """Return the parts, changed."""
        rng = self.key_for(arrays, key).generator()
        *inputs, target = arrays
        target = self._soft(target, inputs[0])
        # All is drawn in any case, so that the probability does not change what is drawn.
        is_mixed = rng.random() < self.probability
        share, order = rng.beta(self.alpha, self.alpha), rng.permutation(target.shape[0])
        if not is_mixed:
            return [*inputs, target]
        other = asarray(order.astype(np.int32), like=target)
        inputs, share = self.mix(inputs, other, float(share), rng)
        return [*inputs, _blend(target, other, share)]

    def mix(self, inputs: list[Array], other: Array, share: float, rng: Any) -> tuple[list[Array], float]:
        """Return the inputs, mixed, and the share of each sample in its mixture."""
        raise NotImplementedError

    def _soft(self, target: Array, x: Array) -> Array:
        if is_floating(target):
            return target
        if self.classes is None:
            raise ArgumentError(
                f"expected a target of one-hot vectors or numbers, got {dtype_name(target.dtype)}; "
                f"for class indices write {type(self).__name__}({self.alpha}, classes=...)"
            )
        return one_hot(target, self.classes, dtype=dtype_name(x.dtype) if is_floating(x) else "float32")


class Mixup(_Mixing):
    r"""Average each sample with another one of the batch: a line between two examples is labeled linearly.

    :math:`\tilde x_b = \lambda x_b + (1 - \lambda) x_{\pi(b)}`, and the targets likewise, with one
    :math:`\lambda \sim \mathrm{Beta}(\alpha, \alpha)` and one permutation :math:`\pi` for a batch.

    Parameters
    ----------
    alpha : float
        Positive; the paper has 0.1 to 0.4 on ImageNet, 1 on CIFAR-10.
    classes : int, optional
        Needed for a target of class indices, which becomes one-hot vectors in the dtype of the input.
    probability : float
        That a batch is mixed; default 1. The target becomes one-hot in any case.
    parts : tuple of int or str
        The inputs, and last the target; by default the first and the last part of the batch.

    Raises
    ------
    ArgumentError
        If an argument is out of range, or the target has class indices and ``classes`` is not given.
    DTypeError
        If an input is not of a floating-point dtype.

    Notes
    -----
    :class:`nnx.CrossEntropy` takes the mixed target as it is. What is drawn is a function of the seed, the epoch and
    the number of the batch's first sample.

    Source: H. Zhang et al., "mixup: Beyond Empirical Risk Minimization", ICLR 2018.

    Examples
    --------
    >>> from nnx.data import SampleKey
    >>> x, y = np.asarray([[0.0], [10.0]]), np.asarray([0, 1])
    >>> x, y = Mixup(1.0, classes=2)((x, y), SampleKey(seed=1, epoch=0, indices=[0, 1]))
    >>> bool(np.all(x == 10 * y[:, 1:]))
    True
    """

    def mix(self, inputs: list[Array], other: Array, share: float, rng: Any) -> tuple[list[Array], float]:
        """Return the inputs, mixed, and the share of each sample in its mixture."""
        return [_blend(x, other, share) for x in inputs], share


class CutMix(_Mixing):
    r"""Paste a box of another image of the batch into each image; the target is mixed by area.

    The box is :math:`H \sqrt{1 - \lambda}` high and :math:`W \sqrt{1 - \lambda}` wide, rounded down, with
    :math:`\lambda \sim \mathrm{Beta}(\alpha, \alpha)`; its center is uniform over the image, and what is outside is cut
    off. :math:`\lambda` is then set to the share of the pixels that were kept. Box, :math:`\lambda` and permutation are
    drawn once for a batch.

    Parameters
    ----------
    alpha : float
        Positive; the paper has 1.
    classes : int, optional
        Needed for a target of class indices, which becomes one-hot vectors, in the dtype of the input if that is a
        floating-point one, else float32.
    probability : float
        That a batch is mixed; default 1, and 0.5 in the paper for CIFAR. The target becomes one-hot in any case.
    parts : tuple of int or str
        The inputs (batch, ..., height, width) of any dtype, and last the target; by default the first and the last
        part of the batch.

    Raises
    ------
    ArgumentError
        If an argument is out of range, or the target has class indices and ``classes`` is not given.
    ShapeError
        If the images are no images.

    Notes
    -----
    :class:`nnx.CrossEntropy` takes the mixed target as it is. What is drawn is a function of the seed, the epoch and
    the number of the batch's first sample.

    Source: S. Yun et al., "CutMix: Regularization Strategy to Train Strong Classifiers with Localizable Features",
    ICCV 2019.

    Examples
    --------
    >>> from nnx.data import SampleKey
    >>> x, y = np.stack([np.zeros((4, 4)), np.ones((4, 4))]), np.asarray([0, 1])
    >>> x, y = CutMix(1.0, classes=2)((x, y), SampleKey(seed=1, epoch=0, indices=[0, 1]))
    >>> bool(np.all(x.mean(axis=(1, 2)) == y[:, 1]))
    True
    """

    def mix(self, inputs: list[Array], other: Array, share: float, rng: Any) -> tuple[list[Array], float]:
        """Return the inputs, mixed, and the share of each sample in its mixture."""
        height, width = expect_images(inputs[0])
        side, center = math.sqrt(1.0 - share), rng.random(2)
        (top, bottom), (left, right) = (
            (max(int(u * n) - k // 2, 0), min(int(u * n) + k - k // 2, n))
            for u, n, k in zip(center, (height, width), (int(height * side), int(width * side)), strict=True)
        )
        mixed = []
        for x in inputs:
            if expect_images(x) != (height, width):
                raise ShapeError(
                    f"expected inputs of one height and width, {height} x {width}, got shape {tuple(x.shape)}"
                )
            xp = namespace(x)
            inside = inside_box(x, *([side] for side in (top, bottom, left, right)))
            mixed.append(xp.where(inside, xp.take(x, other, axis=0), x))
        return mixed, 1.0 - (bottom - top) * (right - left) / (height * width)


def _blend(x: Array, other: Array, share: float) -> Array:
    if not is_floating(x):
        raise DTypeError(
            f"expected inputs of a floating-point dtype to average, got {dtype_name(x.dtype)}; convert them before, "
            'such as with Normalize(0, 255, dtype="float32")'
        )
    return share * x + (1.0 - share) * namespace(x).take(x, other, axis=0)
