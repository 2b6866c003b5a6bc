"""Shape arithmetic of windows over one to three spatial axes: plain Python, cached. Convolution and pooling use it."""

import functools
import itertools
from collections.abc import Hashable, Sequence
from typing import Any, NamedTuple

from nnx.backend import namespace
from nnx.errors import ArgumentError, ShapeError
from nnx.functional.checks import as_integer, expect_array
from nnx.types import Array

_NAMES = ("depth", "height", "width")
_LAYOUTS = {1: ("NCW", "NWC"), 2: ("NCHW", "NHWC"), 3: ("NCDHW", "NDHWC")}

ANY_SIZE = 2**40
"""The size of an input that any kernel fits into, with which a layer checks its options."""

PerAxis = int | Sequence[int]
"""One integer for all spatial axes, or one for each."""

Padding = int | str | Sequence[int | Sequence[int]]
"""``"valid"``, ``"same"``, one integer, or for each spatial axis an integer or a pair (before, after)."""


class Axes(NamedTuple):
    """Where the channels and the spatial axes of an array are; the batch is axis 0."""

    channels: int
    spatial: tuple[int, ...]

    @property
    def last(self) -> bool:
        """Whether the channels come last."""
        return self.spatial[0] == 1


def channels_first(x: Array, axes: Axes) -> Array:
    """Return an array of a layout as (batch, channels, spatial axes)."""
    return namespace(x).permute_dims(x, (0, axes.channels, *axes.spatial)) if axes.last else x


def in_layout(x: Array, axes: Axes) -> Array:
    """Return an array (batch, channels, spatial axes) in a layout."""
    return namespace(x).permute_dims(x, (0, *range(2, x.ndim), 1)) if axes.last else x


@functools.cache
def axes_of(layout: str, count: int) -> Axes:
    """Return the axes that a layout names, for ``count`` spatial axes.

    ``"NCHW"`` and ``"NHWC"`` stand for channels first and last with any number of spatial axes; ``"NCW"``, ``"NWC"``,
    ``"NCDHW"`` and ``"NDHWC"`` for one and three.
    """
    for names in (_LAYOUTS[2], _LAYOUTS[count]):
        if layout in names:
            first = layout == names[0]
            return Axes(1 if first else count + 1, tuple(range(2 if first else 1, count + (2 if first else 1))))
    allowed = " or ".join(map(repr, dict.fromkeys((*_LAYOUTS[count], *_LAYOUTS[2]))))
    raise ArgumentError(f"expected layout to be {allowed}, got {layout!r}")


def expect_spatial(x: Array, layout: str, count: int, channels: int | str = "channels") -> Axes:
    """Return the axes of an array; raises ShapeError unless it has ``count`` spatial axes and that many channels."""
    axes = axes_of(layout, count)
    if x.ndim != count + 2 or (channels != "channels" and x.shape[axes.channels] != channels):
        names: list[Any] = ["batch", *_NAMES[-count:]]
        names.insert(axes.channels, channels)
        raise ShapeError(f"expected input of shape ({', '.join(map(str, names))}), got {tuple(x.shape)}")
    return axes


def expect_any_spatial(x: Array, layout: str) -> Axes:
    """Return the axes of an array; raises ShapeError unless it has one, two or three spatial axes."""
    expect_array(x)
    if not 3 <= x.ndim <= 5:
        raise ShapeError(
            "expected input with a batch axis, a channel axis and one to three spatial axes, such as "
            f"(batch, channels, height, width), got {tuple(x.shape)}"
        )
    return axes_of(layout, x.ndim - 2)


class Windows(NamedTuple):
    """Windows that slide over spatial axes; every attribute has an entry per axis.

    Attributes
    ----------
    sizes : of the input, before it is padded.
    kernel : elements in a window.
    stride : from the start of a window to that of the next.
    dilation : from an element of a window to the next.
    padding : (before, after).
    output : the number of windows.
    """

    sizes: tuple[int, ...]
    kernel: tuple[int, ...]
    stride: tuple[int, ...]
    dilation: tuple[int, ...]
    padding: tuple[tuple[int, int], ...]
    output: tuple[int, ...]

    @property
    def cover(self) -> tuple[tuple[int, int], ...]:
        """Widths (before, after) that take the input to exactly what the windows cover.

        ``after`` differs from the padding: it is negative where the last elements are in no window, and larger where
        ``ceil_mode`` lets the last window reach beyond the padding.
        """
        reach = (
            (out - 1) * step + span(k, d)
            for out, step, k, d in zip(self.output, self.stride, self.kernel, self.dilation, strict=True)
        )
        return tuple(
            (before, length - before - size)
            for length, size, (before, _) in zip(reach, self.sizes, self.padding, strict=True)
        )

    def taps(self) -> list[tuple[slice, ...]]:
        """Return for each element of a window, in the order of the kernel, where it lies in all windows at once.

        The slices are of the spatial axes of an input that was brought to what the windows :attr:`cover`.
        """
        along = (
            [slice(tap * d, tap * d + (out - 1) * step + 1, step) for tap in range(k)]
            for out, step, k, d in zip(self.output, self.stride, self.kernel, self.dilation, strict=True)
        )
        return list(itertools.product(*along))


def windows(
    sizes: Sequence[int],
    kernel: PerAxis,
    stride: PerAxis = 1,
    padding: Padding = 0,
    dilation: PerAxis = 1,
    *,
    ceil_mode: bool = False,
) -> Windows:
    """Return the windows over an input with these spatial sizes.

    There are ``floor((padded - span) / stride) + 1`` along an axis. With ``ceil_mode`` there is one more if elements
    are left over and it would not start in the padding after the input. ``"same"`` pads such that there are
    ``ceil(size / stride)``, with the odd element after the input.

    Raises
    ------
    ArgumentError
        If an option is not one integer or one per axis, or is too small.
    ShapeError
        If a window is larger than the padded input.
    """
    return _windows(tuple(sizes), *map(_hashable, (kernel, stride, padding, dilation)), ceil_mode)


def transposed_windows(
    sizes: Sequence[int],
    kernel: PerAxis,
    stride: PerAxis = 1,
    padding: Padding = 0,
    dilation: PerAxis = 1,
    output_padding: PerAxis = 0,
) -> Windows:
    """Return the windows of the convolution that a transposed convolution of this input is the transpose of.

    Their ``output`` is the input's ``sizes``; their ``sizes`` are those of the transposed convolution's output:
    ``(size - 1) * stride - before - after + span + output_padding``, or ``size * stride`` with ``"same"``.

    Raises
    ------
    ArgumentError
        If an option is not one integer or one per axis, or ``output_padding`` is as large as stride and dilation.
    ShapeError
        If nothing is left of the output.
    """
    return _transposed_windows(tuple(sizes), *map(_hashable, (kernel, stride, padding, dilation, output_padding)))


def per_axis(value: Any, name: str, count: int, least: int = 1) -> tuple[int, ...]:
    """Return one integer for each spatial axis; raises ArgumentError unless all are at least ``least``."""
    if isinstance(value, Sequence) and not isinstance(value, str):
        if len(value) != count:
            raise ArgumentError(
                f"expected {name} to be one integer or {count}, one for each spatial axis, got {value!r}"
            )
        return tuple(as_integer(part, f"each {name}", least) for part in value)
    return (as_integer(value, name, least),) * count


def span(kernel: int, dilation: int) -> int:
    """Return how many elements a window reaches over, those between its own included."""
    return dilation * (kernel - 1) + 1


def _hashable(value: Any) -> Any:
    if isinstance(value, Sequence) and not isinstance(value, str):
        return tuple(map(_hashable, value))
    if not isinstance(value, Hashable):
        raise ArgumentError(f"expected integers, got {value!r}; write them as a tuple")
    return value


@functools.lru_cache(maxsize=1024, typed=True)  # typed, or True would be found in the place of 1
def _windows(sizes: Any, kernel: Any, stride: Any, padding: Any, dilation: Any, ceil_mode: bool) -> Windows:
    kernel, stride, dilation = _parsed(len(sizes), kernel, stride, dilation)
    spans = tuple(map(span, kernel, dilation))
    if padding == "same":
        totals = [max((-(-n // s) - 1) * s + w - n, 0) for n, s, w in zip(sizes, stride, spans, strict=True)]
        pads = tuple((total // 2, total - total // 2) for total in totals)
    else:
        pads = _pairs(padding, len(sizes))
    output = []
    for size, step, length, (before, after) in zip(sizes, stride, spans, pads, strict=True):
        fitting, rest = divmod(size + before + after - length, step)
        count = fitting + 1
        output.append(count + 1 if ceil_mode and rest and count * step < size + before else count)
    if min(output) < 1:
        padded = tuple(size + before + after for size, (before, after) in zip(sizes, pads, strict=True))
        raise ShapeError(
            f"expected a padded input at least as large as the kernel, which spans {spans}, got {padded} "
            f"from an input of {sizes}; use a smaller kernel or dilation, or more padding"
        )
    return Windows(sizes, kernel, stride, dilation, pads, tuple(output))


@functools.lru_cache(maxsize=1024, typed=True)
def _transposed_windows(
    sizes: Any, kernel: Any, stride: Any, padding: Any, dilation: Any, output_padding: Any
) -> Windows:
    count = len(sizes)
    kernel, stride, dilation = _parsed(count, kernel, stride, dilation)
    extra = per_axis(output_padding, "output_padding", count, 0)
    if padding == "same":
        if any(extra):
            raise ArgumentError(f"expected output_padding 0 with padding 'same', got {output_padding!r}")
        return _windows(
            tuple(n * s for n, s in zip(sizes, stride, strict=True)), kernel, stride, padding, dilation, False
        )
    if any(more >= max(s, d) for more, s, d in zip(extra, stride, dilation, strict=True)):
        raise ArgumentError(
            f"expected output_padding smaller than the stride {stride} or the dilation {dilation}, got {extra}"
        )
    pads = _pairs(padding, count)
    output = tuple(
        (n - 1) * s - sum(pair) + span(k, d) + more
        for n, s, pair, k, d, more in zip(sizes, stride, pads, kernel, dilation, extra, strict=True)
    )
    if min(output) < 1 or min(sizes) < 1:
        raise ShapeError(f"expected an input whose output has elements, got {sizes}, which gives {output}; pad less")
    return Windows(output, kernel, stride, dilation, pads, sizes)


def _parsed(count: int, kernel: Any, stride: Any, dilation: Any) -> list[tuple[int, ...]]:
    named = {"kernel_size": kernel, "stride": stride, "dilation": dilation}
    return [per_axis(value, name, count) for name, value in named.items()]


def _pairs(padding: Any, count: int) -> tuple[tuple[int, int], ...]:
    """Return padding other than ``"same"`` as pairs (before, after)."""
    if padding == "valid":
        return ((0, 0),) * count
    entries = padding if isinstance(padding, tuple) else (padding,) * count
    pairs = tuple(entry if isinstance(entry, tuple) else (entry, entry) for entry in entries)
    if isinstance(padding, str) or len(pairs) != count or any(len(pair) != 2 for pair in pairs):
        raise ArgumentError(
            f"expected padding to be 'valid', 'same', an integer, or {count} integers or pairs (before, after), "
            f"one for each spatial axis, got {padding!r}"
        )
    return tuple((as_integer(a, "padding", 0), as_integer(b, "padding", 0)) for a, b in pairs)
