"""The three bilinear maps that a convolution, its transpose and all their derivatives are made of, in array API code.

Each of them is linear in two of: the input x (batch, channels, *sizes), the output y (batch, out, *windows) and the
weight (out, channels / groups, *kernel); it returns the third. Each is the derivative of the other two. None of them
makes a copy of all windows: they are sums over the elements of the kernel, its taps, of matrix products.
"""

import itertools
import math
from collections.abc import Sequence

from nnx.backend import device_of, namespace
from nnx.functional.spatial import Windows
from nnx.types import Array, Namespace


def correlate(x: Array, weight: Array, windows: Windows, groups: int) -> Array:
    """Return y, the sum over taps of weight times shifted input."""
    xp = namespace(x, weight)
    x = resized(xp, x, windows.cover)
    batch, per_group = x.shape[0], weight.shape[1]
    shape = (batch, groups, per_group, math.prod(windows.output))
    total = None
    for tap, where in zip(_by_tap(xp, weight, groups), windows.taps(), strict=True):
        part = xp.reshape(x[(slice(None), slice(None), *where)], shape)
        product = _product(tap, part)
        total = product if total is None else total + product
    return xp.reshape(total, (batch, weight.shape[0], *windows.output))


def spread(y: Array, weight: Array, windows: Windows, groups: int) -> Array:
    """Return x, in which each element of y has been added to all elements of its window.

    With a stride of s, the elements whose position leaves the same remainder on division by s are touched by the same
    taps. They form a phase, which is a correlation of stride 1; the phases are interleaved at the end.
    """
    xp = namespace(y, weight)
    out, stride, dilation = windows.output, windows.stride, windows.dilation
    most = [(k - 1) * d // s for k, d, s in zip(windows.kernel, dilation, stride, strict=True)]
    lengths = [n + m for n, m in zip(out, most, strict=True)]
    y = resized(xp, y, [(m, m) for m in most])
    batch, per_group = y.shape[0], weight.shape[1]
    shape = (batch, groups, weight.shape[0] // groups, math.prod(lengths))
    phases: dict[tuple[int, ...], Array] = {}
    for tap, index in zip(_by_tap(xp, weight, groups), itertools.product(*map(range, windows.kernel)), strict=True):
        shifts, phase = zip(*(divmod(i * d, s) for i, d, s in zip(index, dilation, stride, strict=True)), strict=True)
        where = [slice(m - q, m - q + n) for m, q, n in zip(most, shifts, lengths, strict=True)]
        part = xp.reshape(y[(slice(None), slice(None), *where)], shape)
        product = _product(xp.matrix_transpose(tap), part)
        phases[phase] = phases[phase] + product if phase in phases else product
    x = _interleaved(xp, phases, (batch, groups * per_group, *lengths), stride)
    pads = zip(windows.sizes, windows.padding, x.shape[2:], strict=True)
    return resized(xp, x, [(-before, before + size - length) for size, (before, _), length in pads])


def correlate_with_output(x: Array, y: Array, windows: Windows, groups: int) -> Array:
    """Return the weight: for each tap, products of y with the shifted input, summed over batch and windows."""
    xp = namespace(x, y)
    x = resized(xp, x, windows.cover)
    batch, out, channels = x.shape[0], y.shape[1] // groups, x.shape[1] // groups
    count = math.prod(windows.output)
    rows = xp.permute_dims(xp.reshape(y, (batch, groups, out, count)), (1, 2, 0, 3))
    rows = xp.reshape(rows, (groups, out, batch * count))
    taps = []
    for where in windows.taps():
        part = xp.reshape(x[(slice(None), slice(None), *where)], (batch, groups, channels, count))
        part = xp.reshape(xp.permute_dims(part, (1, 0, 3, 2)), (groups, batch * count, channels))
        taps.append(rows @ part)
    return xp.reshape(xp.stack(taps, axis=-1), (groups * out, channels, *windows.kernel))


def resized(xp: Namespace, x: Array, widths: Sequence[tuple[int, int]]) -> Array:
    """Surround the axes from 2 on with zeros, or cut elements off where a width is negative."""
    for axis, (before, after) in enumerate(widths, start=2):
        if before < 0 or after < 0:
            kept = slice(max(-before, 0), x.shape[axis] + min(after, 0))
            x = x[(slice(None),) * axis + (kept, ...)]
        if before > 0 or after > 0:
            shapes = [(*x.shape[:axis], width, *x.shape[axis + 1 :]) for width in (before, after)]
            zeros = [
                xp.zeros(shape, dtype=x.dtype, device=device_of(x)) if shape[axis] > 0 else None for shape in shapes
            ]
            x = xp.concat([part for part in (zeros[0], x, zeros[1]) if part is not None], axis=axis)
    return x


def _by_tap(xp: Namespace, weight: Array, groups: int) -> list[Array]:
    """Return for each tap the matrices of all groups, (groups, out / groups, channels / groups)."""
    out, channels, *kernel = weight.shape
    taps = xp.reshape(weight, (groups, out // groups, channels, math.prod(kernel)))
    return [taps[..., tap] for tap in range(taps.shape[-1])]


def _product(matrix: Array, columns: Array) -> Array:
    """Return the matrix product; with an inner axis of length 1, as in a depthwise convolution, that is a product."""
    return matrix * columns if matrix.shape[-1] == 1 else matrix @ columns


def _interleaved(
    xp: Namespace, phases: dict[tuple[int, ...], Array], shape: tuple[int, ...], stride: tuple[int, ...]
) -> Array:
    """Put phases together: along each axis, element ``l`` of phase ``r`` goes to ``l * stride + r``."""
    if math.prod(stride) == 1:
        return xp.reshape(phases[(0,) * len(stride)], shape)
    example = next(iter(phases.values()))
    parts = [
        phases[phase] if phase in phases else xp.zeros_like(example) for phase in itertools.product(*map(range, stride))
    ]
    count = len(stride)
    x = xp.reshape(xp.stack(parts, axis=-1), (*shape, *stride))
    order = [axis for i in range(2, count + 2) for axis in (i, i + count)]
    lengths = [n * s for n, s in zip(shape[2:], stride, strict=True)]
    return xp.reshape(xp.permute_dims(x, (0, 1, *order)), (*shape[:2], *lengths))
