"""Losses of classifiers."""

from nnx import functional
from nnx.losses.base import ClassLoss
from nnx.types import Array


class CrossEntropy(ClassLoss):
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
        super().__init__(weight, axis, reduction, ignore_index)
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


class NLL(ClassLoss):
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
        super().__init__(weight, axis, reduction, ignore_index)

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
