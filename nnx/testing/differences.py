"""Numerical derivatives along a direction: central differences that tell a kink from a wrong derivative."""

import math
from collections.abc import Callable
from typing import Any, NamedTuple

from nnx.backend import namespace
from nnx.errors import ArgumentError
from nnx.tree import tree_leaves, tree_replace
from nnx.types import Array, Tree

_REFINEMENTS = (16, 256)  # eps is also tried divided by these, before a derivative is called wrong


class Difference(NamedTuple):
    """A numerical derivative at one step size."""

    value: float
    is_smooth: bool
    rounding: float

    def allowed(self, norm: float, rtol: float) -> float:
        """Return how far a correct derivative may be from this one."""
        return rtol * max(abs(self.value), norm) + self.rounding

    def allows(self, exact: float, norm: float, rtol: float) -> bool:
        """Return whether a derivative agrees with this one."""
        return abs(exact - self.value) <= self.allowed(norm, rtol)


class Differences:
    r"""Differences of :math:`t \mapsto \langle \bar y, f(x + t v) \rangle` at 0, for directions :math:`v`.

    Parameters
    ----------
    function : callable
        :math:`f`, of trees of float64 arrays.
    args : tuple of trees
        :math:`x`.
    output, cotangent : trees of arrays
        :math:`f(x)` and :math:`\bar y`.
    rtol : float
        Tolerance relative to the norm of the gradient.
    eps : float
        Step of the difference.
    """

    def __init__(
        self,
        function: Callable[..., Any],
        args: tuple[Tree, ...],
        output: Tree,
        cotangent: Tree,
        rtol: float,
        eps: float,
    ) -> None:
        self.function = function
        self.args = args
        self.leaves = [tree_leaves(arg) for arg in args]
        self.output = output
        self.cotangent = cotangent
        self.rtol = rtol
        self.eps = eps

    def compare(
        self, exact: float, norm: float, direction: list[list[Array]], what: str = "the pullback"
    ) -> str | None:
        """Return what is wrong with a derivative along a direction, or None.

        Parameters
        ----------
        exact : float
            The derivative in question.
        norm : float
            The norm of the gradient, to which the tolerance is relative.
        direction : list of lists of arrays
            An array for each leaf of each argument.
        what : str
            What computed the derivative, for the message.

        Raises
        ------
        ArgumentError
            If the function has a kink near the point, or is not finite there.
        """
        first = self._along(direction, self.eps)
        if first.is_smooth and first.allows(exact, norm, self.rtol):
            return None
        tried = [first, *(self._along(direction, self.eps / n) for n in _REFINEMENTS)]
        smooth = [difference for difference in tried if difference.is_smooth]
        error = abs(exact - first.value)
        # A kink within the first step but not within a smaller one: the smaller step agrees, and the first does not.
        if not smooth or any(
            d.allows(exact, norm, self.rtol) and error > 4 * d.allowed(norm, self.rtol) for d in smooth
        ):
            raise ArgumentError(
                f"kink near the point, not a wrong derivative: differences at steps of {self.eps:g} and less disagree "
                "with each other; move the point away from where the function is not smooth, or pass a smaller eps"
            )
        value = smooth[0].value
        ratio = f"{exact / value:.6g}" if value else "inf"
        return (
            f"{what} gives {exact:.10g} along a random direction, the central difference {value:.10g}: "
            f"{ratio} times the central difference"
        )

    def _along(self, direction: list[list[Array]], step: float) -> Difference:
        """Return the derivative along a direction from values at five points."""
        at = {t: self._contracted(direction, t * step) for t in (-1.0, -0.5, 0.0, 0.5, 1.0)}
        if not all(math.isfinite(value) for value, _ in at.values()):
            raise ArgumentError(
                f"expected a function that is finite within {self.eps:g} of the point, got a value that is not"
            )
        size = max(size for _, size in at.values())
        wide = (at[1.0][0] - at[-1.0][0]) / (2.0 * step)
        near = (at[0.5][0] - at[-0.5][0]) / step
        # Divided by the step, the second difference is step * f'' for a smooth function: half the step halves it. At a
        # kink it is the jump of the derivative, whatever the step.
        wide_bend = abs(at[1.0][0] - 2.0 * at[0.0][0] + at[-1.0][0]) / step
        near_bend = abs(at[0.5][0] - 2.0 * at[0.0][0] + at[-0.5][0]) / (0.5 * step)
        rounding = 64 * 2.0**-52 * size / step
        scale = self.rtol * max(abs(wide), abs(near)) + rounding
        is_smooth = (near_bend <= scale or near_bend <= 0.75 * wide_bend) and (
            abs(wide - near) <= 1e3 * scale or abs(wide - near) <= 1e-3 * max(abs(wide), abs(near))
        )
        return Difference((4.0 * near - wide) / 3.0, is_smooth, rounding)  # one step of Richardson's extrapolation

    def _contracted(self, direction: list[list[Array]], t: float) -> tuple[float, float]:
        """Return <cotangent, f(x + t v)>, and the sum of the magnitudes of its terms, which bounds its rounding."""
        moved = [
            tree_replace(arg, [x + t * v for x, v in zip(leaves, along, strict=True)])
            for arg, leaves, along in zip(self.args, self.leaves, direction, strict=True)
        ]
        output = self.function(*moved) if t else self.output
        pairs = list(zip(tree_leaves(output), tree_leaves(self.cotangent), strict=True))
        sizes = (namespace(y).abs(y * c) for y, c in pairs)
        return sum(dot(y, c) for y, c in pairs), sum(float(namespace(s).sum(s)) for s in sizes)


def dot(a: Array, b: Array) -> float:
    """Return the inner product of two arrays."""
    xp = namespace(a, b)
    return float(xp.sum(a * b))
