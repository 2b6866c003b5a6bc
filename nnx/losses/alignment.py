"""Connectionist temporal classification."""

from nnx import functional
from nnx.backend import namespace
from nnx.losses.base import Loss
from nnx.types import Array, Shape


class CTC(Loss):
    """Connectionist temporal classification of log-probabilities; see :func:`nnx.functional.ctc`.

    Parameters
    ----------
    blank : int
        The class of the blank.
    batch_first : bool
        Whether log-probabilities are of shape (batch, time, classes) and not, as in PyTorch, (time, batch, classes).
    zero_infinity : bool
        Whether an example whose target cannot be spelled in its time counts as 0, instead of being an error.
    reduction : {"mean", "sum", "none"}
        ``"mean"`` divides each example's loss by the length of its target first, as PyTorch does.

    Examples
    --------
    >>> import numpy as np, nnx
    >>> loss = nnx.CTC()
    >>> log_p = np.log(np.full((1, 2, 3), 1 / 3))
    >>> round(float(loss(log_p, np.asarray([[1]]))), 4)
    1.0986
    """

    def __init__(
        self,
        *,
        blank: int = 0,
        batch_first: bool = True,
        zero_infinity: bool = False,
        reduction: str = "mean",
    ) -> None:
        super().__init__(reduction)
        self.blank = blank
        self.batch_first = batch_first
        self.zero_infinity = zero_infinity

    def forward(
        self,
        log_probabilities: Array,
        target: Array,
        input_lengths: Array | None = None,
        target_lengths: Array | None = None,
    ) -> Array:
        """Return the loss of log-probabilities (batch, time, classes) and labels (batch, length)."""
        return functional.ctc(
            log_probabilities,
            target,
            input_lengths,
            target_lengths,
            blank=self.blank,
            batch_first=self.batch_first,
            zero_infinity=self.zero_infinity,
            reduction=self.reduction,
        )

    def terms(
        self,
        log_probabilities: Array,
        target: Array,
        input_lengths: Array | None = None,
        target_lengths: Array | None = None,
    ) -> Array:
        """Return the losses of the examples, for a mean each divided by the length of its target."""
        each = super().terms(log_probabilities, target, input_lengths, target_lengths)
        if self.reduction != "mean":
            return each
        if target_lengths is None:
            return each / max(target.shape[1], 1)
        xp = namespace(each, target_lengths)
        return each / xp.astype(xp.where(target_lengths < 1, 1, target_lengths), each.dtype)

    def counts(self, log_probabilities: Array, target: Array, *lengths: Array | None) -> Shape:
        """Return the number of examples."""
        return tuple(target.shape[:1])
