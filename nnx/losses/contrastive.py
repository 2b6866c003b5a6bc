"""A loss of pairs of vectors, each of which is contrasted with all others of the batch."""

from nnx import functional
from nnx.losses.base import Loss
from nnx.types import Array


class InfoNCE(Loss):
    """Contrast each query's own key with the other keys of the batch; see :func:`nnx.functional.info_nce`.

    It is called with queries and keys, and its gradient is a pair.

    Parameters
    ----------
    temperature : float
        Positive.
    symmetric : bool
        Whether to take the mean with the same loss of keys and queries exchanged, as CLIP does.
    reduction : {"mean", "sum", "none"}

    Examples
    --------
    >>> import numpy as np, nnx
    >>> loss = nnx.InfoNCE(temperature=1.0)
    >>> round(float(loss(np.eye(2), 3.0 * np.eye(2))), 4)
    0.3133
    """

    predictions = (0, 1)

    def __init__(self, *, temperature: float = 0.1, symmetric: bool = False, reduction: str = "mean") -> None:
        super().__init__(reduction)
        self.temperature = temperature
        self.symmetric = symmetric

    def forward(self, queries: Array, keys: Array) -> Array:
        """Return the loss of queries and keys, both (batch, features)."""
        return functional.info_nce(
            queries, keys, temperature=self.temperature, symmetric=self.symmetric, reduction=self.reduction
        )
