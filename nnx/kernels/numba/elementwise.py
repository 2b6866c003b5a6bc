"""Elementwise functions as loops: one that writes the result, and one that multiplies a cotangent in place."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from nnx.autodiff import Primitive, Pullback, TracedArray
from nnx.autodiff.dispatch import Declined
from nnx.backend import namespace
from nnx.kernels.numpy.elementwise import DTYPES

Loops = tuple[Callable[..., None], Callable[..., None], tuple[float, ...]]
"""``forward(x, y, *numbers)`` writes ``y``; ``backward(x, g, *numbers)`` multiplies ``g`` by the derivative.

The arrays have two axes, and the numbers get their precision.
"""


def elementwise(function: Primitive[..., Any], choose: Callable[..., Loops | None], *, of_output: bool = False) -> None:
    """Register the loops of a function.

    Parameters
    ----------
    function : Primitive
    choose : callable
        ``choose(**options)`` returns the loops, or None for options that they do not compute with.
    of_output : bool
        Whether ``backward`` is given the result instead of ``x``.
    """

    @function.kernel("numpy", tier="compiled", fresh=True)
    def _(wanted: Any, x: Any, **options: Any) -> tuple[Any, Pullback] | Declined:
        if type(x) is not np.ndarray or x.dtype not in DTYPES or not x.flags.c_contiguous:
            return Declined("x is not a contiguous array of float32 or float64")
        loops = choose(**options)
        if loops is None or any(type(number) not in (int, float) for number in loops[2]):
            return Declined("an option is not one of those that it computes with")
        forward, backward, given = loops
        shape, numbers = x.shape, tuple(map(x.dtype.type, given))
        rows = x if len(shape) == 2 else x.reshape((1, x.size))  # so that loops are compiled once for each dtype
        y: Any = np.empty(rows.shape, x.dtype)
        forward(rows, y, *numbers)
        kept = y if of_output else rows

        def pullback(g: Any) -> Sequence[Any]:
            if not wanted[0]:
                return (None,)
            traced = type(g) is TracedArray
            if traced:  # the pullback is linear in g, so the factor is enough; no portable body needed
                own = np.ones(rows.shape, rows.dtype)
            elif wanted.may_overwrite and g.flags.c_contiguous:
                own = g.reshape(rows.shape)
            else:
                own = np.array(g, order="C", ndmin=1).reshape(rows.shape)
            backward(kept, own, *numbers)
            own = own if len(shape) == 2 else own.reshape(shape)
            return (namespace(g).multiply(own, g) if traced else own,)

        return y if len(shape) == 2 else y.reshape(shape), pullback
