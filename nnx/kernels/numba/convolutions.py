"""Convolution as products of the weight with blocks of columns that loops fill and add up, image by image.

Each image has its own product, which writes where the image's output is. So nothing is copied but the columns. Kernels
of 3 x 3 with many channels need fewer multiplications in ``tiles.py``.
"""

import functools
import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np

from nnx.autodiff import Primitive, Pullback, TracedArray
from nnx.autodiff.dispatch import Declined
from nnx.functional import convolution, transposed_convolution
from nnx.functional.convolutions import Plan, Residuals, convolution_cotangents, plan_convolution, plan_transposed
from nnx.functional.spatial import Windows
from nnx.kernels.numba.columns import add_to_channels, fold, unfold
from nnx.kernels.numba.tiles import correlate_in_tiles, suits
from nnx.kernels.numpy.convolutions import reversed_windows
from nnx.kernels.numpy.elementwise import DTYPES
from nnx.kernels.numpy.rows import ones

_ELEMENTS = 2**17  # of a block of columns
_LARGE = 2**15  # a weight that takes time to add up


def _register(function: Primitive[..., Any], plan_of: Callable[..., Plan]) -> None:
    @function.kernel("numpy", tier="compiled", fresh=True)
    def _(
        wanted: Sequence[Any], x: Any, weight: Any, bias: Any = None, **options: Any
    ) -> tuple[Any, Pullback] | Declined:
        if not (_is_common(x) and type(weight) is np.ndarray and weight.dtype == x.dtype):
            return Declined("x and weight are not NumPy arrays of float32 or float64, or x is not contiguous")
        plan = plan_of(x, weight, bias, **options)
        windows = plan.windows
        if plan.axes.last or len(windows.sizes) > 2 or math.prod(windows.kernel) == 1:
            return Declined("the channels come last, there are three spatial axes, or the kernel has one element")
        if weight.size > _LARGE and math.prod(windows.output) < weight.shape[0]:
            return Declined("an image has fewer windows than channels: one product for several images is quicker")
        kept, shape = Residuals.of(wanted, x, weight, bias), weight.shape
        forward, backward = (_spread, _correlate) if plan.is_transposed else (_correlate, _spread)

        def pullback(g: Any) -> Sequence[Any]:
            if type(g) is TracedArray:
                return convolution_cotangents(wanted, kept, plan, g)
            g = np.ascontiguousarray(g).reshape(output)  # loops would read beyond a smaller one
            to_x = None if kept.weight is None or not wanted[0] else backward(g, kept.weight, plan)
            to_weight = None
            if kept.x is not None and wanted[1]:
                pair = (g, kept.x) if plan.is_transposed else (kept.x, g)
                to_weight = _weight_gradient(*pair, shape, plan)
            return to_x, to_weight, _sums(g) if kept.wants_bias else None

        y = forward(x, weight, plan)
        if bias is not None:
            add_to_channels(y.reshape(*y.shape[:2], -1), bias)
        output = y.shape
        return y, pullback


_register(convolution, plan_convolution)
_register(transposed_convolution, plan_transposed)


def _is_common(x: Any) -> bool:
    return type(x) is np.ndarray and x.dtype in DTYPES and x.flags.c_contiguous and x.size > 0


class _Form(NamedTuple):
    """Windows over two axes, the first of which may be made up; a block has columns for some rows of windows."""

    sizes: tuple[int, ...]
    output: tuple[int, ...]
    rest: tuple[tuple[int, ...], ...]
    taps: int

    def blocks(self, images: int, channels: int) -> Iterator[tuple[slice, slice, tuple[Any, ...]]]:
        """Yield which images, which windows, and what else a loop needs to know about a block."""
        rows, count = self.output
        row = channels * self.taps * count
        step = max(1, _ELEMENTS // (row * rows))
        parts = -(-row * rows // (4 * _ELEMENTS))  # a product with more columns is quicker
        rows = -(-rows // min(parts, rows))
        for start in range(0, images, step):
            for first in range(0, self.output[0], rows):
                number = min(rows, self.output[0] - first)
                where = slice(first * count, (first + number) * count)
                yield slice(start, start + step), where, (self.sizes, *self.rest, first, (number, count))


@functools.lru_cache(maxsize=256)
def _form(windows: Windows) -> _Form:
    before = tuple(pair[0] for pair in windows.padding)
    *rest, sizes, output = windows.kernel, windows.stride, windows.dilation, before, windows.sizes, windows.output
    if len(sizes) == 1:
        neutral = ((1,), (1,), (1,), (0,))
        rest, sizes, output = [a + b for a, b in zip(neutral, rest, strict=True)], (1, *sizes), (1, *output)
    return _Form(sizes, output, tuple(rest), math.prod(windows.kernel))


def _correlate(x: Any, weight: Any, plan: Plan) -> Any:
    if suits(plan.windows, plan.groups, weight):
        found = correlate_in_tiles(x, weight, plan.windows)
        if found is not None:
            return found
    form, groups, (images, channels) = _form(plan.windows), plan.groups, x.shape[:2]
    matrix = weight.reshape(groups, weight.shape[0] // groups, -1)
    y = np.empty((images, weight.shape[0], *plan.windows.output), x.dtype)
    source, target = x.reshape(images, channels, -1), y.reshape(images, groups, matrix.shape[1], -1)
    for which, where, rest in form.blocks(images, channels):
        part, into = source[which], target[which, ..., where]
        columns = np.empty((len(part), channels * form.taps, into.shape[3]), x.dtype)
        unfold(part, columns, *rest)
        np.matmul(matrix, columns.reshape(len(part), groups, matrix.shape[2], -1), out=into)
    return y


def _spread(y: Any, weight: Any, plan: Plan) -> Any:
    turned = reversed_windows(plan.windows)
    if turned is not None and suits(turned, plan.groups, weight):
        found = correlate_in_tiles(y, np.flip(weight, axis=(2, 3)).swapaxes(0, 1), turned)
        if found is not None:
            return found
    form, groups, images, channels = _form(plan.windows), plan.groups, len(y), weight.shape[1] * plan.groups
    matrix = weight.reshape(groups, weight.shape[0] // groups, -1).swapaxes(1, 2)
    x = np.zeros((images, channels, *plan.windows.sizes), y.dtype)
    source, target = y.reshape(images, groups, matrix.shape[2], -1), x.reshape(images, channels, -1)
    for which, where, rest in form.blocks(images, channels):
        part = source[which, ..., where]
        columns = matrix * part if matrix.shape[2] == 1 else np.matmul(matrix, part)
        fold(target[which], columns.reshape(len(columns), channels * form.taps, -1), *rest)
    return x


def _weight_gradient(x: Any, y: Any, shape: tuple[int, ...], plan: Plan) -> Any:
    form, groups, (images, channels) = _form(plan.windows), plan.groups, x.shape[:2]
    source, other = x.reshape(images, channels, -1), y.reshape(images, groups, shape[0] // groups, -1)
    # Made as its transpose: a product in which the many columns stand last in both factors is up to twice as slow if
    # the first one has few rows.
    total = np.zeros((groups, math.prod(shape[1:]), shape[0] // groups), x.dtype)
    for which, where, rest in form.blocks(images, channels):
        part, of = source[which], other[which, ..., where]
        columns = np.empty((len(part), channels * form.taps, of.shape[3]), x.dtype)
        unfold(part, columns, *rest)
        products = np.matmul(columns.reshape(len(part), groups, total.shape[1], -1), of.swapaxes(2, 3))
        total += products[0] if len(products) == 1 else np.add.reduce(products, axis=0)
    return np.ascontiguousarray(total.swapaxes(1, 2)).reshape(shape)


def _sums(g: Any) -> Any:
    """Return the sum of each channel; products with vectors of ones are quicker than sums."""
    pixels = g.reshape(g.shape[0] * g.shape[1], -1)
    by_image = pixels.dot(ones(pixels.shape[1], g.dtype)).reshape(g.shape[:2])
    return ones(len(by_image), g.dtype).dot(by_image)
