"""Windows of a sequence and what follows them: the samples of a language model or of a forecast."""

from typing import Any

import numpy as np

from nnx.backend import namespace
from nnx.data.base import Source
from nnx.data.dataset import Dataset, rows_like
from nnx.errors import DataError
from nnx.functional.checks import as_integer, counted
from nnx.types import Array


class Windows(Source):
    r"""Windows of a sequence with their targets.

    Sample :math:`i` is :math:`(x_{is}, \ldots, x_{is + n - 1})` with the target
    :math:`(x_{is + h}, \ldots, x_{is + h + n - 1})`. No window is held: a batch is taken from the sequence
    when it is asked for, so that the sequence may be a file that is mapped into memory.

    Parameters
    ----------
    sequence : array, shape (time, ...)
        Such as the tokens of a text, or measurements (time, features).
    length : int
        Elements :math:`n` of a window.
    step : int
        From the start of a window to that of the next, :math:`s`; default 1. With ``step=length`` they do not overlap.
    shift : int
        How far the target is ahead, :math:`h`; default 1, so that each element has the next one as its target. With
        ``shift=length`` the target is the next window.
    target : array, shape (time, ...), optional
        Where the targets are taken from; by default the sequence itself.

    Raises
    ------
    DataError
        If the sequence is shorter than a window and its target, or the target differs from it in length.
    ArgumentError
        If an argument is not an integer, ``length`` or ``step`` is less than 1, or ``shift`` is negative.

    Examples
    --------
    >>> x, y = Windows(np.arange(10), 3, step=2)[:]
    >>> x
    array([[0, 1, 2],
           [2, 3, 4],
           [4, 5, 6],
           [6, 7, 8]])
    >>> y[0]
    array([1, 2, 3])
    """

    def __init__(
        self, sequence: Array, length: int, *, step: int = 1, shift: int = 1, target: Array | None = None
    ) -> None:
        self.length, self.step = as_integer(length, "length", 1), as_integer(step, "step", 1)
        self.shift = as_integer(shift, "shift", 0)
        self.sequence, self.target = Dataset(sequence, sequence if target is None else target).arrays
        if len(self) < 1:
            raise DataError(
                f"expected a sequence of at least {self.length + self.shift} elements, a window and its target, got "
                f"{sequence.shape[0]}; use a smaller length or shift"
            )

    def __len__(self) -> int:
        return max(0, (int(self.sequence.shape[0]) - self.length - self.shift) // self.step + 1)

    def sample(self, row: int) -> tuple[Array, Array]:
        """Return a window and its target: views, if the library has them."""
        start = row * self.step
        ahead = start + self.shift
        return self.sequence[start : start + self.length, ...], self.target[ahead : ahead + self.length, ...]

    def batch(self, rows: Any) -> tuple[Array, Array]:
        """Return windows (rows, length, ...) and their targets."""
        at = rows[:, None] * self.step + np.arange(self.length)
        return _taken(self.sequence, at), _taken(self.target, at + self.shift)

    def __repr__(self) -> str:
        return f"Windows({counted(len(self), 'sample')} of length {self.length})"


def _taken(sequence: Array, at: Any) -> Array:
    xp = namespace(sequence)
    found = xp.take(sequence, rows_like(at.reshape(-1), sequence), axis=0)
    return xp.reshape(found, (*at.shape, *sequence.shape[1:]))
