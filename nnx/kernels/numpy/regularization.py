"""Dropout by the bits of the numbers, since ``numpy.where`` is slow for a mask without a pattern."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from nnx.autodiff import Pullback, TracedArray
from nnx.autodiff.dispatch import Declined
from nnx.functional import dropout
from nnx.functional.regularization import drawn, masked
from nnx.kernels.numpy.dense import cut_out


@dropout.kernel("numpy", fresh=True)
def _(
    wanted: Sequence[Any],
    x: Any,
    *,
    probability: float = 0.5,
    seed: int,
    stream: str = "dropout",
    step: Any = 0,
    axes: Sequence[int] | None = None,
) -> tuple[Any, Pullback] | Declined:
    keep, scale = drawn(x, probability, seed, stream, step, axes)
    if keep is None:
        return Declined("nothing is dropped")
    cut = np.logical_not(keep, out=keep)
    y = cut_out(cut, x)
    y *= scale

    def pullback(g: Any) -> Sequence[Any]:
        if type(g) is TracedArray:
            return (masked(g, ~cut, scale),)
        to_x = cut_out(cut, g)
        to_x *= scale
        return (to_x,)

    return y, pullback
