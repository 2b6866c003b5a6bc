"""Initial values of parameters, drawn on the host, so that a seed gives the same numbers on every backend.

An initializer is called as ``initializer(rng, shape, fan_in, fan_out)`` and returns a NumPy array of float64.
``fan_in`` is the number of inputs that an output element is computed from, ``fan_out`` the number of outputs that an
input element contributes to.
"""

import math
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, Protocol

from nnx.backend import generator, host_full, namespace
from nnx.errors import ArgumentError, ShapeError
from nnx.types import Array, Shape


class Initializer(Protocol):
    """Draws the initial values of a parameter."""

    def __call__(self, rng: Any, shape: Shape, fan_in: int, fan_out: int) -> Array:
        """Return a NumPy array of that shape."""


@dataclass(frozen=True)
class Constant:
    """Every element is ``value``."""

    value: float = 0.0

    def __call__(self, rng: Any, shape: Shape, fan_in: int, fan_out: int) -> Array:
        """Return a NumPy array of that shape."""
        return host_full(shape, self.value)


@dataclass(frozen=True)
class Normal:
    """Normal distribution with mean ``mean`` and standard deviation ``std``."""

    mean: float = 0.0
    std: float = 0.01

    def __call__(self, rng: Any, shape: Shape, fan_in: int, fan_out: int) -> Array:
        """Return a NumPy array of that shape."""
        return generator(rng).normal(self.mean, self.std, shape)


@dataclass(frozen=True)
class Uniform:
    """Uniform distribution over [low, high)."""

    low: float = -0.05
    high: float = 0.05

    def __call__(self, rng: Any, shape: Shape, fan_in: int, fan_out: int) -> Array:
        """Return a NumPy array of that shape."""
        return generator(rng).uniform(self.low, self.high, shape)


@dataclass(frozen=True)
class TruncatedNormal:
    """Normal distribution of standard deviation ``std``; values beyond ``cut`` standard deviations are redrawn."""

    std: float = 0.01
    cut: float = 2.0

    def __post_init__(self) -> None:
        if not self.cut > 0:
            raise ArgumentError(f"expected cut > 0, got {self.cut}")

    def __call__(self, rng: Any, shape: Shape, fan_in: int, fan_out: int) -> Array:
        """Return a NumPy array of that shape."""
        rng = generator(rng)
        values = rng.standard_normal(shape)
        outside = abs(values) > self.cut
        while outside.any():
            values[outside] = rng.standard_normal(int(outside.sum()))
            outside = abs(values) > self.cut
        return self.std * values


@dataclass(frozen=True)
class Orthogonal:
    """A matrix with orthonormal rows or columns, whichever are fewer, times ``gain``.

    The rows are the first axis; all other axes together are the columns.

    Source: A. M. Saxe et al., "Exact solutions to the nonlinear dynamics of learning in deep linear neural
    networks", ICLR 2014.
    """

    gain: float = 1.0

    def __call__(self, rng: Any, shape: Shape, fan_in: int, fan_out: int) -> Array:
        """Return a NumPy array of that shape."""
        if len(shape) < 2:
            raise ShapeError(f"expected at least two axes for an orthogonal matrix, got shape {tuple(shape)}")
        rows, columns = shape[0], math.prod(shape[1:])
        drawn = generator(rng).standard_normal((max(rows, columns), min(rows, columns)))
        xp = namespace(drawn)
        q, r = xp.linalg.qr(drawn)
        # QR leaves the signs of r's diagonal to the library; made positive, q is uniform over orthogonal matrices.
        q = q * xp.sign(xp.linalg.diagonal(r))
        return self.gain * xp.reshape(q if rows >= columns else q.T, shape)


@dataclass(frozen=True)
class _Scaled:
    """Variance ``scale / fan``, from a normal or a uniform distribution."""

    scale: ClassVar[float]
    fan: ClassVar[Literal["in", "mean"]] = "in"
    uniform: ClassVar[bool] = False

    def __call__(self, rng: Any, shape: Shape, fan_in: int, fan_out: int) -> Array:
        """Return a NumPy array of that shape."""
        fan = fan_in if self.fan == "in" else (fan_in + fan_out) / 2
        std = math.sqrt(self.scale / fan)
        if self.uniform:
            limit = math.sqrt(3.0) * std
            return generator(rng).uniform(-limit, limit, shape)
        return generator(rng).normal(0.0, std, shape)


class HeNormal(_Scaled):
    """Normal with variance 2 / fan_in, which keeps the variance through ReLU layers.

    Source: K. He et al., "Delving deep into rectifiers", ICCV 2015.
    """

    scale = 2.0


class HeUniform(HeNormal):
    """Uniform with variance 2 / fan_in; see :class:`HeNormal`."""

    uniform = True


class LeCunNormal(_Scaled):
    """Normal with variance 1 / fan_in.

    Source: Y. LeCun et al., "Efficient BackProp", 1998.
    """

    scale = 1.0


class LeCunUniform(LeCunNormal):
    """Uniform with variance 1 / fan_in; see :class:`LeCunNormal`."""

    uniform = True


class XavierNormal(_Scaled):
    """Normal with variance 2 / (fan_in + fan_out).

    Source: X. Glorot and Y. Bengio, "Understanding the difficulty of training deep feedforward neural networks",
    AISTATS 2010.
    """

    scale = 1.0
    fan = "mean"


class XavierUniform(XavierNormal):
    """Uniform with variance 2 / (fan_in + fan_out); see :class:`XavierNormal`."""

    uniform = True
