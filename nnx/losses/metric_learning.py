"""Losses of pairs and triplets of vectors that are to be near each other, or far."""

from nnx import functional
from nnx.losses.base import Loss
from nnx.types import Array, Shape


class CosineEmbedding(Loss):
    """Pull pairs of vectors together, or push them apart; see :func:`nnx.functional.cosine_embedding`.

    It is called with two arrays of vectors and a target of 1 and -1, and its gradient is a pair.

    Parameters
    ----------
    margin : float, in [-1, 1]
    reduction : {"mean", "sum", "none"}

    Examples
    --------
    >>> import numpy as np, nnx
    >>> loss = nnx.CosineEmbedding()
    >>> float(loss(np.asarray([[1.0, 0.0]]), np.asarray([[0.0, 2.0]]), np.asarray([1])))
    1.0
    """

    predictions = (0, 1)

    def __init__(self, *, margin: float = 0.0, reduction: str = "mean") -> None:
        super().__init__(reduction)
        self.margin = margin

    def forward(self, x1: Array, x2: Array, target: Array) -> Array:
        """Return the loss of vectors (batch, features), twice, and a target (batch,)."""
        return functional.cosine_embedding(x1, x2, target, margin=self.margin, reduction=self.reduction)

    def counts(self, x1: Array, x2: Array, target: Array) -> Shape:
        """Return the shape of the target."""
        return tuple(target.shape)


class TripletMargin(Loss):
    """Keep an anchor nearer to a positive than to a negative example; see :func:`nnx.functional.triplet_margin`.

    It is called with all three, and its gradient is a triple.

    Parameters
    ----------
    margin : float
        Positive.
    p : float
        The order of the norm that is the distance, at least 1.
    eps : float
        Added to each difference.
    swap : bool
        Whether the distance of the positive from the negative example counts too.
    reduction : {"mean", "sum", "none"}

    Examples
    --------
    >>> import numpy as np, nnx
    >>> loss = nnx.TripletMargin()
    >>> round(float(loss(np.zeros((1, 2)), np.asarray([[1.0, 0.0]]), np.asarray([[0.0, 1.5]]))), 4)
    0.5
    """

    predictions = (0, 1, 2)

    def __init__(
        self,
        *,
        margin: float = 1.0,
        p: float = 2.0,
        eps: float = 1e-6,
        swap: bool = False,
        reduction: str = "mean",
    ) -> None:
        super().__init__(reduction)
        self.margin = margin
        self.p = p
        self.eps = eps
        self.swap = swap

    def forward(self, anchor: Array, positive: Array, negative: Array) -> Array:
        """Return the loss of three arrays of vectors, all (batch, features)."""
        return functional.triplet_margin(
            anchor,
            positive,
            negative,
            margin=self.margin,
            p=self.p,
            eps=self.eps,
            swap=self.swap,
            reduction=self.reduction,
        )

    def counts(self, anchor: Array, positive: Array, negative: Array) -> Shape:
        """Return the shape of the examples."""
        return tuple(anchor.shape[:-1])
