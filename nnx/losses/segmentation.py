"""Losses for dense predictions in which most examples are easy, or of one class."""

from nnx import functional
from nnx.functional.overlap import dice_axes
from nnx.losses.base import ClassLoss, ElementwiseLoss, Loss
from nnx.types import Array, Shape


class Focal(ClassLoss):
    """Cross-entropy in which examples that are right already count less; see :func:`nnx.functional.focal`.

    Parameters
    ----------
    weight : array, shape (classes,), optional
        A weight for each class.
    gamma : float
        At least 0; with 0 it is :class:`CrossEntropy`.
    axis : int
        The axis of the classes.
    reduction : {"mean", "sum", "none"}
    ignore_index : int
        Examples with this class index are ignored.

    Examples
    --------
    >>> import numpy as np, nnx
    >>> round(float(nnx.Focal()(np.zeros((1, 2)), np.asarray([0]))), 4)
    0.1733
    """

    def __init__(
        self,
        weight: Array | None = None,
        *,
        gamma: float = 2.0,
        axis: int = 1,
        reduction: str = "mean",
        ignore_index: int = -100,
    ) -> None:
        super().__init__(weight, axis, reduction, ignore_index)
        self.gamma = gamma

    def forward(self, logits: Array, target: Array) -> Array:
        """Return the loss of logits (batch, classes, ...) and class indices (batch, ...)."""
        return functional.focal(
            logits,
            target,
            self.weight,
            gamma=self.gamma,
            axis=self.axis,
            reduction=self.reduction,
            ignore_index=self.ignore_index,
        )


class BinaryFocal(ElementwiseLoss):
    """Focal loss of a decision for each element; see :func:`nnx.functional.binary_focal`.

    Parameters
    ----------
    alpha : float, in [0, 1], or None
        The weight of positives; ``None`` gives all the weight 1.
    gamma : float
        At least 0.
    reduction : {"mean", "sum", "none"}

    Examples
    --------
    >>> import numpy as np, nnx
    >>> round(float(nnx.BinaryFocal(alpha=None)(np.zeros(1), np.ones(1))), 4)
    0.1733
    """

    def __init__(self, *, alpha: float | None = 0.25, gamma: float = 2.0, reduction: str = "mean") -> None:
        super().__init__(reduction)
        self.alpha = alpha
        self.gamma = gamma

    def forward(self, logits: Array, target: Array) -> Array:
        """Return the loss of logits (batch, ...) and a target of the same shape."""
        return functional.binary_focal(logits, target, alpha=self.alpha, gamma=self.gamma, reduction=self.reduction)


class Dice(Loss):
    """Soft Dice loss of probabilities; see :func:`nnx.functional.dice`.

    Parameters
    ----------
    axis : int, tuple of ints or None
        The axes that the sums are over; by default all but the first two.
    smooth : float
        Positive.
    reduction : {"mean", "sum", "none"}
        Over the axes that are left.

    Examples
    --------
    >>> import numpy as np, nnx
    >>> mask = np.asarray([[[1.0, 1.0, 0.0, 0.0]]])
    >>> float(nnx.Dice()(0.5 * mask, mask))
    0.25
    """

    def __init__(
        self, *, axis: int | tuple[int, ...] | None = None, smooth: float = 1.0, reduction: str = "mean"
    ) -> None:
        super().__init__(reduction)
        self.axis = axis
        self.smooth = smooth

    def forward(self, input: Array, target: Array) -> Array:
        """Return the loss of probabilities (batch, classes, ...) and a target of the same shape."""
        return functional.dice(input, target, axis=self.axis, smooth=self.smooth, reduction=self.reduction)

    def counts(self, input: Array, target: Array) -> Shape:
        """Return the shape of what is left without the axes."""
        axes = dice_axes(input, self.axis)
        return tuple(n for i, n in enumerate(input.shape) if i not in axes)
