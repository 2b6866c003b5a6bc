"""Derivatives of the extension ``fft``: the functions are linear, and the transpose of each is another of them.

A transpose without a conjugate keeps the sign of the exponent, and with it the meaning of ``norm``.
"""

from collections.abc import Callable, Sequence
from typing import Any

from nnx.autodiff.rules.kinds import Linear, Rule
from nnx.autodiff.rules.parts import Spec
from nnx.backend import device_of
from nnx.types import Array, Namespace, Shape


def _fitted(xp: Namespace, g: Array, shape: Shape) -> Array:
    """Transpose what the length ``n`` did: cut off what was padded, pad with zeros what was cut off."""
    for axis, length in enumerate(shape):
        front = (slice(None),) * axis
        if g.shape[axis] > length:
            g = g[(*front, slice(length), ...)]
        elif g.shape[axis] < length:
            rest = (*g.shape[:axis], length - g.shape[axis], *g.shape[axis + 1 :])
            g = xp.concat([g, xp.zeros(rest, dtype=g.dtype, device=device_of(g))], axis=axis)
    return g


def _full(name: str) -> Rule:
    """Return the rule of a transform of complex numbers: its matrix is symmetric."""

    def transpose(xp: Namespace, g: Array, spec: Spec, axis: int = -1, norm: str = "backward") -> Array:
        return _fitted(xp, getattr(xp.fft, name)(g, axis=axis, norm=norm), spec.shape)

    return Linear("x", transpose)


def _full_of_many(name: str) -> Rule:
    def transpose(xp: Namespace, g: Array, spec: Spec, axes: Any = None, norm: str = "backward") -> Array:
        return _fitted(xp, getattr(xp.fft, name)(g, axes=axes, norm=norm), spec.shape)

    return Linear("x", transpose)


def _from_real(full: str) -> Rule:
    """Return the rule of a transform from real numbers to half a spectrum.

    The half is a slice of the full transform, so its transpose pads with zeros and applies the full transform, which
    ``n`` does in one call.
    """

    def transpose(
        xp: Namespace, g: Array, spec: Spec, n: int | None = None, axis: int = -1, norm: str = "backward"
    ) -> Array:
        n = spec.shape[axis] if n is None else n
        return _fitted(xp, xp.real(getattr(xp.fft, full)(g, n=n, axis=axis, norm=norm)), spec.shape)

    return Linear("x", transpose)


def _to_real(half: str) -> Rule:
    """Return the rule of a transform from half a spectrum: an entry that stands for its mirror image counts twice."""

    def transpose(xp: Namespace, g: Array, spec: Spec, axis: int = -1, norm: str = "backward") -> Array:
        axis %= len(spec.shape)
        n = g.shape[axis]
        g = getattr(xp.fft, half)(g, axis=axis, norm=norm)
        # Entry 0 and, of an even number, entry n / 2 are their own mirror image.
        index = xp.arange(n // 2 + 1, device=device_of(g))
        mirrored = (index > 0) & (2 * index < n)
        twice = xp.reshape(xp.astype(mirrored, g.dtype) + 1.0, (-1,) + (1,) * (g.ndim - axis - 1))
        return _fitted(xp, g * twice, spec.shape)

    return Linear("x", transpose)


def _shift(name: str) -> Rule:
    return Linear("x", lambda xp, g, axes=None: getattr(xp.fft, name)(g, axes=axes))


FFT: dict[str, Rule] = {
    "fft": _full("fft"),
    "fftn": _full_of_many("fftn"),
    "fftshift": _shift("ifftshift"),
    "hfft": _to_real("rfft"),
    "ifft": _full("ifft"),
    "ifftn": _full_of_many("ifftn"),
    "ifftshift": _shift("fftshift"),
    "ihfft": _from_real("ifft"),
    "irfft": _to_real("ihfft"),
    "rfft": _from_real("fft"),
}


def _split(x: Array, s: Sequence[int] | None, axes: Sequence[int] | None) -> tuple[Any, Any, Sequence[int], int]:
    """Return lengths and axes, the last of each apart: only that axis is transformed to or from half a spectrum."""
    axes = range(-(x.ndim if s is None else len(s)), 0) if axes is None else axes
    return (None, None, axes[:-1], axes[-1]) if s is None else (s[:-1], s[-1], axes[:-1], axes[-1])


def _rfftn(
    fft: Namespace, x: Array, /, *, s: Sequence[int] | None = None, axes: Any = None, norm: str = "backward"
) -> Array:
    lengths, n, others, last = _split(x, s, axes)
    y = fft.rfft(x, n=n, axis=last, norm=norm)
    return fft.fftn(y, s=lengths, axes=tuple(others), norm=norm) if others else y


def _irfftn(
    fft: Namespace, x: Array, /, *, s: Sequence[int] | None = None, axes: Any = None, norm: str = "backward"
) -> Array:
    lengths, n, others, last = _split(x, s, axes)
    y = fft.ifftn(x, s=lengths, axes=tuple(others), norm=norm) if others else x
    return fft.irfft(y, n=n, axis=last, norm=norm)


COMPOSED_FFT: dict[str, Callable[..., Any]] = {"irfftn": _irfftn, "rfftn": _rfftn}
"""Functions written in terms of others; the first argument is the traced ``fft``."""
