"""Losses of a yes-or-no decision for each element."""

from nnx import functional
from nnx.losses.base import ElementwiseLoss, expect_array_or_none
from nnx.types import Array


class BCE(ElementwiseLoss):
    """Binary cross-entropy of probabilities; see :func:`nnx.functional.bce`.

    A model that ends in logits, together with :class:`BCEWithLogits`, is more accurate and trains better.

    Parameters
    ----------
    weight : array, optional
        Of a shape that broadcasts to that of the input.
    reduction : {"mean", "sum", "none"}

    Examples
    --------
    >>> import numpy as np, nnx
    >>> loss = nnx.BCE()
    >>> round(float(loss(np.asarray([0.5]), np.asarray([1.0]))), 4)
    0.6931
    >>> loss.gradient()
    array([-2.])
    """

    def __init__(self, weight: Array | None = None, *, reduction: str = "mean") -> None:
        super().__init__(reduction)
        self.weight = expect_array_or_none(weight, "weight")

    def forward(self, input: Array, target: Array) -> Array:
        """Return the loss of probabilities (batch, ...) and a target of the same shape."""
        return functional.bce(input, target, self.weight, reduction=self.reduction)


class BCEWithLogits(ElementwiseLoss):
    """Binary cross-entropy of logits; see :func:`nnx.functional.bce_with_logits`.

    Parameters
    ----------
    weight : array, optional
        Of a shape that broadcasts to that of the logits.
    pos_weight : array, optional
        A factor for positives, such as the ratio of negatives to positives; of a shape that broadcasts to that of the
        logits.
    reduction : {"mean", "sum", "none"}

    Examples
    --------
    >>> import numpy as np, nnx
    >>> loss = nnx.BCEWithLogits()
    >>> round(float(loss(np.asarray([0.0]), np.asarray([1.0]))), 4)
    0.6931
    >>> loss.gradient()
    array([-0.5])
    """

    def __init__(
        self, weight: Array | None = None, *, pos_weight: Array | None = None, reduction: str = "mean"
    ) -> None:
        super().__init__(reduction)
        self.weight = expect_array_or_none(weight, "weight")
        self.pos_weight = expect_array_or_none(pos_weight, "pos_weight")

    def forward(self, logits: Array, target: Array) -> Array:
        """Return the loss of logits (batch, ...) and a target of the same shape."""
        return functional.bce_with_logits(logits, target, self.weight, self.pos_weight, reduction=self.reduction)


class Hinge(ElementwiseLoss):
    """Hinge loss of a support vector machine, with targets of -1 and 1; see :func:`nnx.functional.hinge`.

    Parameters
    ----------
    margin : float
    reduction : {"mean", "sum", "none"}

    Examples
    --------
    >>> import numpy as np, nnx
    >>> loss = nnx.Hinge()
    >>> float(loss(np.asarray([0.5]), np.asarray([1])))
    0.5
    >>> loss.gradient()
    array([-1.])
    """

    def __init__(self, *, margin: float = 1.0, reduction: str = "mean") -> None:
        super().__init__(reduction)
        self.margin = margin

    def forward(self, input: Array, target: Array) -> Array:
        """Return the loss of scores (batch, ...) and a target of the same shape."""
        return functional.hinge(input, target, margin=self.margin, reduction=self.reduction)
