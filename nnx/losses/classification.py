"""Losses of classifiers."""

from nnx import functional
from nnx.functional.class_targets import count_each
from nnx.losses.base import Loss, expect_array_or_none
from nnx.types import Array, Shape


class CrossEntropy(Loss):
    """Cross-entropy of logits with class indices or probabilities; see :func:`nnx.functional.cross_entropy`.

    Parameters
    ----------
    weight : array, shape (classes,), optional
        A weight for each class.
    axis : int
        The axis of the classes.
    reduction : {"mean", "sum", "none"}
    ignore_index : int
        Examples with this class index are ignored.
    label_smoothing : float, in [0, 1)

    Examples
    --------
    >>> import numpy as np, nnx
    >>> loss = nnx.CrossEntropy()
    >>> round(float(loss(np.asarray([[0.0, 0.0]]), np.asarray([1]))), 4)
    0.6931
    >>> loss.gradient()
    array([[ 0.5, -0.5]])
    """

    def __init__(
        self,
        weight: Array | None = None,
        *,
        axis: int = 1,
        reduction: str = "mean",
        ignore_index: int = -100,
        label_smoothing: float = 0.0,
    ) -> None:
        super().__init__(reduction)
        self.weight = expect_array_or_none(weight, "weight")
        self.axis = axis
        self.ignore_index = ignore_index
        self.label_smoothing = label_smoothing

    def forward(self, logits: Array, target: Array) -> Array:
        """Return the loss of logits (batch, classes, ...) and a target of indices or probabilities."""
        return functional.cross_entropy(
            logits,
            target,
            self.weight,
            axis=self.axis,
            reduction=self.reduction,
            ignore_index=self.ignore_index,
            label_smoothing=self.label_smoothing,
        )

    def counts(self, logits: Array, target: Array) -> Array | Shape:
        """Return the weight of each example's class, 0 if it is ignored; for probabilities the examples' shape."""
        return count_each(logits, target, self.weight, self.axis, self.ignore_index)


class NLL(Loss):
    """Negative log-likelihood of log-probabilities; see :func:`nnx.functional.nll`. For logits: :class:`CrossEntropy`.

    Parameters
    ----------
    weight : array, shape (classes,), optional
        A weight for each class.
    axis : int
        The axis of the classes.
    reduction : {"mean", "sum", "none"}
    ignore_index : int
        Examples with this class index are ignored.

    Examples
    --------
    >>> import numpy as np, nnx
    >>> loss = nnx.NLL()
    >>> round(float(loss(np.log(np.asarray([[0.5, 0.5]])), np.asarray([1]))), 4)
    0.6931
    >>> loss.gradient()
    array([[ 0., -1.]])
    """

    def __init__(
        self, weight: Array | None = None, *, axis: int = 1, reduction: str = "mean", ignore_index: int = -100
    ) -> None:
        super().__init__(reduction)
        self.weight = expect_array_or_none(weight, "weight")
        self.axis = axis
        self.ignore_index = ignore_index

    def forward(self, log_probabilities: Array, target: Array) -> Array:
        """Return the loss of log-probabilities (batch, classes, ...) and class indices (batch, ...)."""
        return functional.nll(
            log_probabilities,
            target,
            self.weight,
            axis=self.axis,
            reduction=self.reduction,
            ignore_index=self.ignore_index,
        )

    def counts(self, log_probabilities: Array, target: Array) -> Array | Shape:
        """Return the weight of each example's class, 0 if it is ignored."""
        return count_each(log_probabilities, target, self.weight, self.axis, self.ignore_index)
