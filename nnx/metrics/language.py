"""Perplexity."""

from typing import Any, ClassVar

from nnx.backend import is_array, namespace, widest_dtype
from nnx.errors import ArgumentError
from nnx.functional import cross_entropy
from nnx.functional.checks import as_class_indices
from nnx.metrics.base import Metric
from nnx.metrics.predictions import count
from nnx.metrics.sums import ratio
from nnx.types import Array


class Perplexity(Metric):
    r"""The exponential of the mean cross-entropy: :math:`\exp\left(-\frac{1}{n} \sum_i \log p_i\right)`.

    :math:`p_i` is the probability that the model gives to token :math:`i`. A model that knows nothing about :math:`V`
    tokens has perplexity :math:`V`, a perfect one 1.

    ``update(logits, target)`` takes logits and class indices, as :func:`nnx.functional.cross_entropy`;
    ``update(loss, n)`` a cross-entropy that is the mean over ``n`` tokens.

    Parameters
    ----------
    axis : int
        The axis of the tokens' logits, default 1; a model of shape (batch, length, tokens) needs ``axis=-1``.
    ignore_index : int
        Targets that are not counted, such as padding.

    Raises
    ------
    ShapeError, DTypeError, ArgumentError
        If logits and target do not fit, as in :func:`nnx.functional.cross_entropy`, or ``n`` is not a number of tokens.

    Notes
    -----
    The mean is over all tokens of all batches, so it is not the mean of the batches' perplexities. Without a token to
    count it is NaN.

    Examples
    --------
    >>> import numpy as np
    >>> metric = Perplexity(axis=-1)
    >>> metric.update(np.zeros((2, 5, 10)), np.zeros((2, 5), np.int64))
    >>> round(float(metric.compute()), 6)
    10.0
    """

    sums: ClassVar[tuple[str, ...]] = ("total", "tokens")

    def __init__(self, *, axis: int = 1, ignore_index: int = -100) -> None:
        super().__init__()
        self.axis = axis
        self.ignore_index = ignore_index

    def measure(self, output: Array, target: Any) -> dict[str, Any]:
        """Return the sum of the cross-entropies of the tokens, and their number."""
        if not is_array(target):
            if type(target) is not int or target < 0 or tuple(output.shape) != ():
                raise ArgumentError(
                    "expected logits and an array of class indices, or a loss of shape () and the number of tokens of "
                    f"which it is the mean, got shape {tuple(output.shape)} and {target!r}"
                )
            xp = namespace(output)
            return {"total": xp.astype(output, widest_dtype(output, "real floating")) * target, "tokens": target}
        xp = namespace(output, target)
        terms = cross_entropy(output, target, axis=self.axis, ignore_index=self.ignore_index, reduction="none")
        total = xp.sum(xp.astype(terms, widest_dtype(terms, "real floating")))
        return {"total": total, "tokens": count(as_class_indices(target) != self.ignore_index)}

    def result(self, total: Array, tokens: Any) -> Array:
        """Return the exponential of the mean."""
        xp = namespace(total)
        if isinstance(tokens, int):
            return xp.exp(ratio(total, tokens)) if tokens else total + float("nan")
        mean = ratio(total, xp.where(tokens == 0, 1, tokens))
        return xp.where(tokens == 0, xp.full_like(mean, float("nan")), xp.exp(mean))
