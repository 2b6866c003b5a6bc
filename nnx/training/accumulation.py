"""Accumulation: the gradient of a large batch from those of the small ones that it consists of."""

from collections.abc import Mapping
from typing import Any, Self

from nnx.autodiff.outside import refuse_recording
from nnx.backend import (
    add_into,
    copied,
    divide_into,
    is_array,
    is_cheap_to_read,
    is_floating,
    is_symbolic,
    namespace,
    to_numpy,
)
from nnx.errors import ArgumentError, CheckpointError
from nnx.functional.checks import as_finite, as_integer
from nnx.layers.state import fitting
from nnx.types import Array, DType


class Accumulation:
    r"""Adds up the gradients of several batches, and returns that of all of them, for one step of an optimizer.

    .. math:: \bar g = \frac{\sum_i d_i g_i}{\sum_i d_i}

    If the loss of a batch is a sum divided by :math:`d_i`, this is the gradient of the loss of all the batches as one,
    up to rounding. For a mean over samples it is their number; :meth:`nnx.Loss.divisor` tells it for every loss. The
    gradients of a loss that is a sum, with the divisor ``None``, are added up.

    Parameters
    ----------
    every : int
        How many batches make one step.

    Raises
    ------
    ArgumentError
        If ``every`` is less than 1.

    Notes
    -----
    There is one sum for each array, in float32 if the gradients have 16 bits; it is added to in place. With a
    :class:`LossScale`, add the scaled gradients and unscale the mean: the scale changes only between two steps, so it
    is the same for all of a sum, and a step that overflows is skipped as a whole.

    Layers that look at the whole batch, such as batch normalization, see the small ones.

    Examples
    --------
    >>> import numpy as np
    >>> accumulation = Accumulation(every=2)
    >>> accumulation.add({"weight": np.asarray([1.0])}, 30)
    >>> accumulation.add({"weight": np.asarray([4.0])}, 15)
    {'weight': array([2.])}
    >>> accumulation.add({"weight": np.asarray([1.0])}, 30)
    >>> accumulation.flush()
    {'weight': array([1.])}
    """

    def __init__(self, every: int) -> None:
        self.every = as_integer(every, "every", 1)
        self._sums: dict[str, Array] = {}
        self._is_loaded = False  # sums of another library or device, perhaps
        self._dtypes: dict[str, DType] = {}
        self._count = 0
        # In units of the first divisor: batches of one size are added up without a product. None if there is none.
        self._weight: Any = 0.0
        self._first: Any = 1.0

    @property
    def is_last(self) -> bool:
        """Whether the next batch ends the sums."""
        return self._count + 1 >= self.every

    def add(self, gradients: Mapping[str, Array], divisor: float | Array | None = 1.0) -> dict[str, Array] | None:
        """Add the gradients of a batch; return those of all if it is the last one of a step, else ``None``.

        Parameters
        ----------
        gradients : mapping from path to array
            They are not changed.
        divisor : float, array of shape () or None
            What the loss of the batch was divided by, such as the number of its samples. 0 if nothing in it counts,
            ``None`` for a loss that is a sum. It is not read from a device.

        Returns
        -------
        dict from path to array, or None
            In the dtypes of the gradients; the arrays belong to the caller.

        Raises
        ------
        ArgumentError
            If the divisor is not a finite number >= 0, or ``None`` beside numbers, or the gradients are of other
            parameters than those before.
        CheckpointError
            If a sum that was loaded does not fit the gradients.
        """
        refuse_recording(self, "add")
        divisor = _checked(divisor)
        if self._count and (divisor is None) != (self._weight is None):
            raise ArgumentError(
                "expected a divisor for each batch of a step or None for each, which is for a loss that is a sum, got "
                f"{'None' if divisor is None else 'a number'} after the other; call flush() in between"
            )
        if self._count and gradients.keys() != self._sums.keys():
            raise ArgumentError(
                f"expected gradients of the parameters whose sums are kept, {[*self._sums]}, got {[*gradients]}; call "
                "flush() before parameters are frozen or replaced"
            )
        self._dtypes = {path: g.dtype for path, g in gradients.items()}
        if not self._count:
            self._first = 1.0 if divisor is None else _nonzero(divisor)
            self._weight = None if divisor is None else 0.0
        share = 1.0 if divisor is None else divisor / self._first
        new = {path: _times(_wide(g), share) for path, g in gradients.items()}
        if self._is_loaded:
            self._move_to(new)
        if self._count:
            self._sums = {path: add_into(total, new[path]) for path, total in self._sums.items()}
        else:
            self._sums = {path: copied(g) if g is gradients[path] else g for path, g in new.items()}
        if self._weight is not None:
            self._weight = self._weight + share
        self._count += 1
        return self.flush() if self._count >= self.every else None

    def flush(self) -> dict[str, Array] | None:
        """Return the gradients of what was added since the last step, as an epoch ends; ``None`` for nothing."""
        if not self._count:
            return None
        sums, self._sums, weight = self._sums, {}, self._weight
        self._count, self._weight, self._is_loaded = 0, 0.0, False
        found = {}
        for path, total in sums.items():
            mean = _divided(total, weight)
            found[path] = namespace(mean).astype(mean, self._dtypes.get(path, mean.dtype), copy=False)
        return found

    def state_dict(self) -> dict[str, Any]:
        """Return the sums, as copies, and what they are the sums of."""
        sums = {path: copied(total) for path, total in self._sums.items()}
        return {"count": self._count, "weight": self._weight, "first": self._first, "sums": sums}

    def load_state_dict(self, state: Mapping[str, Any], like: Mapping[str, Array] | None = None) -> Self:
        """Continue with what :meth:`state_dict` returned.

        Parameters
        ----------
        state : mapping
        like : mapping from path to array, optional
            The parameters, to whose library and device the sums go; otherwise it is those of the next gradients.

        Raises
        ------
        CheckpointError
            If the state has other names or numbers that cannot be, or a sum does not fit ``like``. Then nothing is
            changed.
        """
        match state:
            case {"count": int(count), "weight": weight, "first": first, "sums": Mapping() as sums} if (
                len(state) == 4
                and 0 <= count < self.every
                and (len(sums) > 0) == (count > 0)
                and _is_divisor(weight)
                and isinstance(_as_number(first), float)
                and _as_number(first) > 0.0
                and all(is_array(total) and is_floating(total) for total in sums.values())
            ):
                pass
            case _:
                raise CheckpointError(
                    f"expected the state of an Accumulation of every {self.every} batches: count < {self.every}, "
                    f"weight, first, and sums by path, got {_described(state)}; load another checkpoint"
                )
        before = vars(self).copy()
        self._count, self._first, self._weight = count, _as_number(first), _as_number(weight)
        self._sums, self._dtypes, self._is_loaded = dict(sums), {}, bool(count)
        if like is not None and count:
            try:
                self._move_to({path: _wide(array) for path, array in like.items()})
            except CheckpointError:
                vars(self).update(before)
                raise
            self._dtypes = {path: array.dtype for path, array in like.items()}
        return self

    def _move_to(self, like: Mapping[str, Array]) -> None:
        """Move sums that were loaded to the library and device of gradients."""
        moved = fitting(like, self._sums, True, "Accumulation", "the gradients")
        self._sums, self._is_loaded = {path: copied(total) for path, total in moved.items()}, False


def _wide(x: Array) -> Array:
    """Return an array of 16 bits in float32, and any other as it is."""
    xp = namespace(x)
    return xp.astype(x, xp.float32) if getattr(x.dtype, "itemsize", 4) == 2 else x


def _checked(divisor: Any) -> float | Array | None:
    """Return a divisor as a number, where it can be read without waiting, or else as an array."""
    if divisor is None:
        return None
    if is_array(divisor) and (is_symbolic(divisor) or not is_cheap_to_read(divisor)):
        return divisor if is_floating(divisor) else namespace(divisor).astype(divisor, namespace(divisor).float32)
    found = as_finite(float(to_numpy(divisor)) if is_array(divisor) else divisor, "divisor")
    if found < 0.0:
        raise ArgumentError(f"expected a divisor >= 0, such as the number of samples, got {found}")
    return found


def _times(x: Array, share: Any) -> Array:
    if is_array(share):
        return x * namespace(x, share).astype(share, x.dtype)
    return x if share == 1.0 else x * share


def _nonzero(divisor: Any) -> Any:
    """Return a divisor, or 1 instead of 0."""
    return namespace(divisor).where(divisor == 0, 1, divisor) if is_array(divisor) else divisor or 1.0


def _as_number(divisor: Any) -> Any:
    return float(to_numpy(divisor)) if is_array(divisor) and not divisor.ndim else divisor


def _divided(total: Array, weight: Any) -> Array:
    """Return a sum divided by its weight, or by 1 if that is 0 or ``None``; the sum may be overwritten."""
    if is_array(weight):
        return divide_into(total, namespace(total, weight).astype(_nonzero(weight), total.dtype))
    return divide_into(total, weight) if weight not in (None, 0.0, 1.0) else total


def _is_divisor(weight: Any) -> bool:
    return weight is None or (is_array(weight) and not weight.ndim) or (isinstance(weight, float) and weight >= 0.0)


def _described(state: Mapping[str, Any]) -> str:
    return str({name: value if isinstance(value, (int, float)) else "..." for name, value in state.items()})
