"""Errors of numbers that a model predicts, over many batches."""

import math
from typing import Any, ClassVar

from nnx.backend import dtype_name, is_real_floating, namespace, widest_dtype
from nnx.errors import DTypeError, ShapeError
from nnx.functional.checks import expect_shape
from nnx.metrics.base import Metric
from nnx.metrics.sums import ratio, sum_dtype
from nnx.types import Array


class MeanSquaredError(Metric):
    r"""The mean squared error over all elements of all batches: :math:`\frac{1}{n} \sum_i (x_i - t_i)^2`.

    ``update(output, target)`` takes two arrays of one shape and of real floating-point dtypes.

    Raises
    ------
    ShapeError, DTypeError
        If the arrays do not fit.

    Examples
    --------
    >>> import numpy as np
    >>> metric = MeanSquaredError()
    >>> metric.update(np.asarray([1.0, 2.0]), np.asarray([1.0, 4.0]))
    >>> metric.update(np.asarray([3.0]), np.asarray([3.0]))
    >>> round(float(metric.compute()), 4)
    1.3333
    """

    sums: ClassVar[tuple[str, ...]] = ("total", "elements")

    def measure(self, output: Array, target: Array) -> dict[str, Any]:
        """Return the sum of the errors of a batch, and their number."""
        difference = _difference(self, output, target)
        xp = namespace(difference)
        return {"total": xp.sum(self._error(difference)), "elements": math.prod(difference.shape)}

    def result(self, total: Array, elements: int) -> Array:
        """Return the mean; NaN if there were no elements."""
        return ratio(total, elements) if elements else total + float("nan")

    def _error(self, difference: Array) -> Array:
        return difference * difference


class MeanAbsoluteError(MeanSquaredError):
    r"""The mean absolute error over all elements of all batches: :math:`\frac{1}{n} \sum_i |x_i - t_i|`.

    ``update(output, target)`` takes two arrays of one shape and of real floating-point dtypes.

    Raises
    ------
    ShapeError, DTypeError
        If the arrays do not fit.

    Examples
    --------
    >>> import numpy as np
    >>> metric = MeanAbsoluteError()
    >>> metric.update(np.asarray([1.0, 2.0]), np.asarray([1.0, 4.0]))
    >>> float(metric.compute())
    1.0
    """

    def _error(self, difference: Array) -> Array:
        return namespace(difference).abs(difference)


class R2(Metric):
    r"""Coefficient of determination: :math:`1 - \sum_i (x_i - t_i)^2 / \sum_i (t_i - \bar{t})^2`.

    1 is perfect, 0 as good as always predicting the mean :math:`\bar{t}` of all targets, and it may be negative.

    ``update(output, target)`` takes two arrays of one shape (batch, ...) and of real floating-point dtypes. Of several
    outputs it is the mean of their values.

    Raises
    ------
    ShapeError, DTypeError
        If the arrays do not fit, or a batch is empty.

    Notes
    -----
    Of an output whose targets are all the same it is 1 if every prediction is right, else 0, as in scikit-learn.

    The mean and the squares around it are kept for each batch, and joined when it is computed. The difference of the
    sums of :math:`t^2` and :math:`t` would lose its digits where the mean is large.

    Examples
    --------
    >>> import numpy as np
    >>> metric = R2()
    >>> metric.update(np.asarray([2.5, 0.0]), np.asarray([3.0, -0.5]))
    >>> metric.update(np.asarray([2.0, 8.0]), np.asarray([2.0, 7.0]))
    >>> round(float(metric.compute()), 4)
    0.9486
    """

    sums: ClassVar[tuple[str, ...]] = ("error", "means", "squares", "counts")
    rows: ClassVar[tuple[str, ...]] = ("means", "squares", "counts")

    def measure(self, output: Array, target: Array) -> dict[str, Any]:
        """Return the squared error of each output, and mean, squares around it, and number of the targets."""
        difference = _difference(self, output, target)
        if difference.ndim == 0 or 0 in difference.shape:
            raise ShapeError(f"expected arrays of shape (batch, ...), not empty, got {tuple(difference.shape)}")
        xp = namespace(difference)
        target = xp.astype(target, difference.dtype)
        mean = xp.mean(target, axis=0, keepdims=True)
        around = target - mean
        return {
            "error": xp.sum(difference * difference, axis=0),
            "means": mean,
            "squares": xp.sum(around * around, axis=0, keepdims=True),
            "counts": xp.full_like(mean, float(target.shape[0])),
        }

    def result(self, error: Array, means: Array, squares: Array, counts: Array) -> Array:
        """Return the mean over the outputs."""
        xp = namespace(error, means, squares, counts)
        mean = xp.sum(counts * means, axis=0) / xp.sum(counts, axis=0)
        around = means - mean
        total = xp.sum(squares + counts * around * around, axis=0)
        is_constant = total == 0
        found = 1.0 - xp.astype(error, total.dtype) / xp.where(is_constant, 1.0, total)
        return xp.mean(xp.where(is_constant, xp.astype(error == 0, total.dtype), found))


def _difference(metric: Metric, output: Array, target: Array) -> Array:
    """Return the difference of two arrays in the dtype of the sums."""
    xp = namespace(output, target)
    for array, name in ((output, "output"), (target, "target")):
        if not is_real_floating(array):
            raise DTypeError(
                f"expected {name} of a real floating-point dtype, got {dtype_name(array.dtype)}; "
                "convert it, for example with xp.astype(x, xp.float32)"
            )
    expect_shape(target, output.shape, "target", "as the output")
    known = metric._totals.get(metric.sums[0])
    dtype = sum_dtype(output, known) if known is not None else widest_dtype(output, "real floating")
    return xp.astype(output, dtype) - xp.astype(target, dtype)
