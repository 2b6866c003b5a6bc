"""The area under the ROC curve."""

from typing import Any, ClassVar

from nnx.backend import dtype_name, is_array, is_cheap_to_read, is_real_floating, namespace, to_numpy, widest_dtype
from nnx.errors import ArgumentError, DTypeError, ShapeError
from nnx.metrics.base import Metric
from nnx.types import Array


class AUC(Metric):
    r"""Area under the ROC curve: how often a positive example has a higher score than a negative one.

    .. math:: \frac{1}{P N} \sum_{i: t_i = 1} \sum_{j: t_j = 0} \left([x_i > x_j] + \tfrac{1}{2} [x_i = x_j]\right)

    It is exact, ties included: the scores and targets of all batches are kept, and ranked when it is computed. It is
    NaN without a positive or without a negative example, or if a score is NaN.

    ``update(output, target)`` takes scores of any kind, of shape (batch,), (batch, 1), or (batch, 2) for two classes,
    of which the difference is ranked. The target has 0 and 1, or booleans, and as many elements as there are examples.
    For one of several classes against the rest, pass ``output[:, k]`` and ``target == k``.

    Raises
    ------
    ShapeError, DTypeError
        If the arrays do not fit.
    ArgumentError
        If a target is neither 0 nor 1, where that can be read without waiting for a device; otherwise the result is
        NaN.

    Notes
    -----
    Computed from the ranks of the positive examples, the statistic of H. B. Mann and D. R. Whitney, "On a test of
    whether one of two random variables is stochastically larger than the other", 1947.

    Examples
    --------
    >>> import numpy as np
    >>> metric = AUC()
    >>> metric.update(np.asarray([0.1, 0.4, 0.4]), np.asarray([0, 0, 1]))
    >>> metric.update(np.asarray([0.8]), np.asarray([1]))
    >>> float(metric.compute())
    0.875
    """

    sums: ClassVar[tuple[str, ...]] = ("scores", "targets")
    rows: ClassVar[tuple[str, ...]] = sums

    def measure(self, output: Array, target: Array) -> dict[str, Any]:
        """Return the scores as a vector, and the targets as one of int8; -1 stands for one that is neither 0 nor 1."""
        scores = _as_scores(output)
        xp, shape = namespace(scores, target), tuple(target.shape)
        if shape not in {tuple(scores.shape), (*scores.shape, 1)}:
            raise ShapeError(f"expected a target of shape {tuple(scores.shape)}, one for each example, got {shape}")
        target = xp.reshape(target, tuple(scores.shape))
        if target.dtype == xp.bool:
            return {"scores": scores, "targets": xp.astype(target, xp.int8)}
        is_wrong = xp.logical_and(target != 0, target != 1)
        if is_cheap_to_read(is_wrong) and bool(to_numpy(xp.any(is_wrong))):
            raise ArgumentError("expected targets 0 and 1, got others; one class against the rest is target == k")
        return {"scores": scores, "targets": xp.where(is_wrong, -1, xp.astype(target, xp.int8))}

    def result(self, scores: Array, targets: Array) -> Array:
        """Return the area."""
        xp, dtype = namespace(scores, targets), widest_dtype(scores, "real floating")
        ordered = xp.sort(scores)
        below, upto = (xp.searchsorted(ordered, scores, side=side) for side in ("left", "right"))
        # The mean of the ranks, from 0, of equal scores; halves of both, since their sum might overflow int32.
        rank = 0.5 * xp.astype(below, dtype) + 0.5 * xp.astype(upto, dtype) - 0.5
        positive = xp.sum(xp.astype(targets == 1, dtype))
        negative = xp.sum(xp.astype(targets == 0, dtype))
        wins = xp.sum(xp.where(targets == 1, rank, 0.0)) - 0.5 * positive * (positive - 1.0)
        pairs = positive * negative
        is_undefined = xp.logical_or(pairs == 0, xp.logical_or(xp.any(xp.isnan(scores)), xp.any(targets < 0)))
        area = wins / xp.where(pairs == 0, 1.0, pairs)
        return xp.where(is_undefined, xp.full_like(area, float("nan")), area)


def _as_scores(output: Any) -> Array:
    if not is_array(output) or not is_real_floating(output):
        got = dtype_name(output.dtype) if is_array(output) else type(output).__name__
        raise DTypeError(f"expected scores of a real floating-point dtype, got {got}")
    if output.ndim == 1:
        return output
    if output.ndim == 2 and output.shape[1] in (1, 2):
        return output[:, 0] if output.shape[1] == 1 else output[:, 1] - output[:, 0]
    raise ShapeError(
        f"expected scores of shape (batch,), (batch, 1) or (batch, 2), got {tuple(output.shape)}; "
        "for one of several classes against the rest, pass output[:, k] and target == k"
    )
