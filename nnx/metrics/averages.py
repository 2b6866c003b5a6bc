"""Averages over many batches."""

import math
from typing import Any

from nnx.backend import device_of, host_full, is_array, is_real_floating, namespace, widest_dtype
from nnx.errors import DTypeError, ShapeError, UsageError
from nnx.metrics.base import Metric
from nnx.metrics.sums import ratio, sum_dtype
from nnx.types import Array


class Mean(Metric):
    r"""The weighted mean of a value: :math:`\sum_i w_i v_i / \sum_i w_i`.

    Such as the loss of an epoch, ``mean.update(value, loss.divisor(outputs, target))``, so that a short batch counts
    less.
    It stays accurate over any number of batches: sums are kept in float64 or, on a device without float64, in float32
    together with their rounding errors.

    Examples
    --------
    >>> import numpy as np
    >>> mean = Mean()
    >>> mean.update(np.asarray(2.0), 3)
    >>> mean.update(np.asarray([1.0, 4.0]))  # two values of weight 1
    >>> float(mean.compute())
    2.2
    """

    sums = ("total", "weight")

    def measure(self, value: Array, weight: Any = 1) -> dict[str, Any]:
        """Return the sums of a value or an array of values, and of their weights.

        Parameters
        ----------
        value : array of any shape, or float
            Of a real dtype.
        weight : int, float, or array
            One weight for all values, or an array with one for each.

        Raises
        ------
        ShapeError
            If there is neither one weight for all values nor one for each.
        DTypeError
            If a value is not a real number.
        """
        value = value if is_array(value) else host_full((), _number(value))
        xp = namespace(value, weight)
        if not is_real_floating(value):
            value = _as_real(value)
        dtype = sum_dtype(value, self._totals.get("total"))
        value = value if value.dtype == dtype else xp.astype(value, dtype)
        if isinstance(weight, int):  # the usual case, and exact
            total = xp.sum(value) if value.ndim else value
            return {"total": total * weight, "weight": weight * math.prod(value.shape)}
        if not is_array(weight):
            weight = xp.full((), _number(weight), dtype=value.dtype, device=device_of(value))
        if tuple(weight.shape) not in ((), tuple(value.shape)):
            raise ShapeError(
                f"expected one weight for all values or one for each, of shape {tuple(value.shape)}, "
                f"got {tuple(weight.shape)}"
            )
        weight = xp.broadcast_to(xp.astype(weight, value.dtype), value.shape)
        return {"total": xp.sum(value * weight), "weight": xp.sum(weight)}

    def result(self, total: Array, weight: Any) -> Array:
        """Return the quotient of the sums."""
        if isinstance(weight, int) and weight == 0:
            raise UsageError("expected weights that do not add up to 0, got 0; there is nothing to take the mean of")
        return ratio(total, weight)


def _as_real(value: Array) -> Array:
    xp = namespace(value)
    if not xp.isdtype(value.dtype, ("bool", "integral")):
        raise DTypeError(f"expected real values, got {value.dtype}; take their real part or their absolute value")
    return xp.astype(value, widest_dtype(value, "real floating"))


def _number(value: Any) -> float:
    if not isinstance(value, (int, float)):
        raise DTypeError(f"expected an array or a number to take the mean of, got {type(value).__name__}")
    return float(value)
