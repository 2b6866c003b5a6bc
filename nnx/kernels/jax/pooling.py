"""Pooling and interpolation in JAX: the portable bodies, compiled.

XLA makes one loop of them. Its own reduction of windows takes longer: on a CPU the gradient of the maximum of 2 x 2
windows takes 40 times as long, that of overlapping ones 18 times.
"""

from collections.abc import Sequence
from typing import Any

import jax

from nnx.autodiff import Pullback
from nnx.functional import adaptive_max_pool, max_pool
from nnx.functional.axis_maps import AxisMap
from nnx.functional.resampling import resample, transposed
from nnx.kernels.jax.automatic import native


def _check(x: Any, **options: Any) -> None:
    """Leave the errors to the body, which is the portable one."""


for _function in (max_pool, adaptive_max_pool):
    native(_function, _check)(_function.function)

_resampled: Any = jax.jit(resample.function, static_argnames=("axes", "maps"))


@resample.kernel("jax", fresh=True)
def _(wanted: Sequence[Any], x: Any, *, axes: Sequence[int], maps: Sequence[AxisMap]) -> tuple[Any, Pullback]:
    return _resampled(x, axes=tuple(axes), maps=tuple(maps)), lambda g: (transposed(g, axes, maps),)
