"""Wrappers that compute a weight of the layer inside: by magnitude and direction, or by its largest singular value."""

from collections.abc import Sequence
from typing import Any, Self

from nnx import functional
from nnx.autodiff import stop_gradient
from nnx.backend import accumulation_dtype, asarray, generator, namespace
from nnx.errors import ArgumentError
from nnx.functional.checks import as_integer, as_nonnegative, expect_real
from nnx.functional.precision import cast
from nnx.functional.weight_normalization import as_matrix
from nnx.layers.location import locate
from nnx.layers.module import Module
from nnx.layers.parameter import Buffer, Parameter
from nnx.layers.plan import plan_of
from nnx.tree import tree_split
from nnx.types import Array

_FIRST_ITERATIONS = 15  # as in PyTorch


class ComputedWeight(Module):
    """The base of layers that call a layer with another weight than its parameter, which they compute of that.

    A subclass defines ``_start(weight)``, which makes what it needs beside the parameter, and ``_computed(weight)``.
    """

    def __init__(self, layer: Module, name: str) -> None:
        self.layer = layer
        self.name = name
        if plan_of(layer).unsettled:
            self.is_settled = False
        else:
            self._start(self._weight())

    def settle(self, *args: Any, **kwargs: Any) -> Self:
        """Settle the layer inside, if its size is open."""
        if not self.is_settled:
            self.layer.settle(*args, **kwargs)
            self._start(self._weight())
            self.is_settled = True
        return self

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """Return what the layer inside returns with the computed weight."""
        leaves, rebuild = tree_split(self.layer)
        leaves[self.name] = self._computed(leaves[self.name])
        try:
            return rebuild(list(leaves.values()))(*args, **kwargs)
        except Exception as error:
            locate(error, self.layer)  # the module that was called is a copy, which has no path
            raise

    def _weight(self) -> Array:
        found = self.layer.parameters()
        if self.name not in found:
            raise ArgumentError(f"expected the name of one of the parameters {list(found)}, got {self.name!r}")
        expect_real(found[self.name], self.name)
        return found[self.name]

    def _start(self, weight: Array) -> None:
        raise NotImplementedError

    def _computed(self, weight: Array) -> Array:
        raise NotImplementedError


class WeightNorm(ComputedWeight):
    r"""Weight normalization: the layer inside is called with the weight :math:`g\, v / \lVert v \rVert`.

    Its own parameter is the direction :math:`v`; the magnitude :math:`g` is trained beside it.

    Parameters
    ----------
    layer : Module
    name : str
        The path of the parameter in the layer.
    axes : int, sequence of int or None
        The axes along which the magnitude varies; ``()`` for one magnitude. By default that of the outputs: the last
        one of a matrix, as in :class:`Linear`, and the first one of a kernel, as in :class:`Conv2d`.

    Attributes
    ----------
    layer : Module
        With the direction as its parameter.
    magnitude : array, shape of the parameter along ``axes``
        Initially the norm of the parameter, so that the layer computes what it did.

    Raises
    ------
    ArgumentError
        If the layer has no such parameter.

    Notes
    -----
    See :func:`nnx.functional.weight_norm`.
    Source: T. Salimans and D. P. Kingma, "Weight normalization", NeurIPS 2016.

    Examples
    --------
    >>> import numpy as np, nnx
    >>> layer = nnx.WeightNorm(nnx.Linear(3, 2, rng=0))
    >>> {path: w.shape for path, w in layer.parameters().items()}
    {'magnitude': (2,), 'layer.weight': (3, 2), 'layer.bias': (2,)}
    >>> layer(np.ones((5, 3), np.float32)).shape
    (5, 2)
    """

    def __init__(self, layer: Module, name: str = "weight", *, axes: int | Sequence[int] | None = None) -> None:
        self.axes = axes
        super().__init__(layer, name)

    def _start(self, weight: Array) -> None:
        xp, axes = namespace(weight), self._axes_of(weight)
        others = tuple(i for i in range(weight.ndim) if i not in [axis % weight.ndim for axis in axes])
        wide = xp.astype(weight, accumulation_dtype(weight), copy=False)
        self.magnitude = Parameter(xp.astype(xp.sqrt(xp.sum(wide * wide, axis=others)), weight.dtype, copy=False))

    def _computed(self, weight: Array) -> Array:
        magnitude: Any = self.magnitude
        return functional.weight_norm(weight, magnitude, axes=self._axes_of(weight))

    def _axes_of(self, weight: Array) -> tuple[int, ...]:
        if self.axes is None:
            return (output_axis(weight),)
        return (self.axes,) if isinstance(self.axes, int) else tuple(self.axes)


class SpectralNorm(ComputedWeight):
    r"""Spectral normalization: the layer inside is called with its weight divided by the largest singular value.

    The singular vectors are followed by power iteration, in training mode at each call.

    Parameters
    ----------
    layer : Module
    name : str
        The path of the parameter in the layer.
    iterations : int
        Of the power method, at each call.
    axis : int or None
        The weight is a matrix of this axis against all others; by default that of the outputs, as in
        :class:`WeightNorm`.
    eps : float
        The least norm that a vector is divided by.
    rng : int or NumPy Generator, optional
        Draws the initial vectors.

    Attributes
    ----------
    layer : Module
        With its parameter as it was.
    left, right : Buffer
        The singular vectors, of norm 1. They are constants to a derivative.

    Raises
    ------
    ArgumentError
        If the layer has no such parameter, or ``iterations`` is less than 1.

    Notes
    -----
    See :func:`nnx.functional.spectral_norm`. The first vectors are those of 15 iterations.
    Source: T. Miyato et al., "Spectral normalization for generative adversarial networks", ICLR 2018.

    Examples
    --------
    >>> import numpy as np, nnx
    >>> layer = nnx.SpectralNorm(nnx.Linear(3, 2, bias=False, rng=0), rng=0)
    >>> bool(np.linalg.norm(layer(np.eye(3, dtype=np.float32)), 2).round(2) == 1.0)
    True
    """

    def __init__(
        self,
        layer: Module,
        name: str = "weight",
        *,
        iterations: int = 1,
        axis: int | None = None,
        eps: float = 1e-12,
        rng: Any = None,
    ) -> None:
        self.iterations = as_integer(iterations, "iterations", 1)
        self.axis = axis
        self.eps = as_nonnegative(eps, "eps")
        self._rng = generator(rng)
        super().__init__(layer, name)

    def _start(self, weight: Array) -> None:
        matrix = self._matrix(weight)
        left, right = (asarray(self._rng.normal(size=n), dtype=weight.dtype, like=weight) for n in matrix.shape)
        left, right = self._iterated(matrix, left, right, _FIRST_ITERATIONS)
        self.left, self.right = Buffer(left), Buffer(right)
        del self._rng

    def _computed(self, weight: Array) -> Array:
        left, right = self.left.value, self.right.value
        if self.training:
            left, right = self._iterated(self._matrix(stop_gradient(weight)), left, right, self.iterations)
            self.left.value, self.right.value = left, right
        left, right = (cast(vector, weight.dtype) for vector in (left, right))  # they may be kept in more bits
        return functional.spectral_norm(weight, left, right, axis=self._axis_of(weight))

    def _iterated(self, matrix: Array, left: Array, right: Array, count: int) -> tuple[Array, Array]:
        xp, dtype, wide = namespace(matrix), right.dtype, accumulation_dtype(matrix)
        matrix, right = (xp.astype(x, wide, copy=False) for x in (matrix, right))
        for _ in range(count):
            left = self._normalized(matrix @ right)
            right = self._normalized(matrix.T @ left)
        return xp.astype(left, dtype, copy=False), xp.astype(right, dtype, copy=False)

    def _normalized(self, vector: Array) -> Array:
        xp = namespace(vector)
        norm = xp.sqrt(xp.sum(vector * vector))
        return vector / xp.where(norm < self.eps, self.eps, norm)

    def _matrix(self, weight: Array) -> Array:
        return as_matrix(namespace(weight), weight, self._axis_of(weight))

    def _axis_of(self, weight: Array) -> int:
        return output_axis(weight) if self.axis is None else self.axis


def output_axis(weight: Array) -> int:
    """Return the axis of the outputs: the last one of a matrix, (in, out), else the first one, (out, in, ...)."""
    return weight.ndim - 1 if weight.ndim <= 2 else 0
