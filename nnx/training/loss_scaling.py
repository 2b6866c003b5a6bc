"""Loss scaling: gradients that float16 would round to zero are computed larger."""

import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Self

from nnx.backend import device_of, is_array, is_cheap_to_read, is_symbolic, namespace, to_numpy
from nnx.errors import ArgumentError, CheckpointError, NonFiniteError
from nnx.functional.checks import as_finite, as_integer
from nnx.optimizers import WeightAverage, all_finite
from nnx.training.device_values import choose, read_together
from nnx.types import Array

_LEAST, _MOST = 2.0**-14, 2.0**32  # below and above it no scale helps


class LossScale:
    r"""A factor of the loss, which adapts: as large as the gradients of float16 allow.

    A step differentiates :math:`s L` instead of :math:`L`, and divides the gradients by :math:`s`. If one of them is
    not finite the step is skipped, and :math:`s` is multiplied by ``backoff``; after ``interval`` steps in a row that
    were not, by ``growth``. Powers of two change no bit of a gradient that neither overflows nor underflows.

    Parameters
    ----------
    initial : float
        The first scale.
    growth : float
        More than 1.
    backoff : float
        Between 0 and 1.
    interval : int
        How many good steps there are before the scale grows.

    Attributes
    ----------
    value : float or array of shape ()
        The scale. On a device, where nothing may be read in a step, it and the counts are arrays once a step was taken.
    skipped : int or array of shape ()
        How many steps were skipped.

    Raises
    ------
    ArgumentError
        If a number is out of its range.

    Notes
    -----
    The defaults are those of ``torch.amp.GradScaler``. Where gradients are accumulated, :meth:`unscale` their mean:
    the scale then is constant while they are added up.

    Source: P. Micikevicius et al., "Mixed precision training", ICLR 2018.

    Examples
    --------
    >>> import numpy as np, nnx
    >>> scale = LossScale(interval=1)
    >>> value = scale.scale(np.asarray(2.0, np.float32))
    >>> gradients, finite = scale.unscale({"weight": np.asarray([65536.0, 32768.0], np.float32)})
    >>> scale.update(finite)
    >>> float(value), gradients["weight"], finite, scale.value
    (131072.0, array([1. , 0.5], dtype=float32), True, 131072.0)
    """

    def __init__(
        self, initial: float = 2.0**16, *, growth: float = 2.0, backoff: float = 0.5, interval: int = 2000
    ) -> None:
        self.value: Any = as_finite(initial, "initial")
        self.growth, self.backoff = as_finite(growth, "growth"), as_finite(backoff, "backoff")
        self.interval = as_integer(interval, "interval", 1)
        self.skipped: Any = 0
        self._good: Any = 0  # steps since the scale changed
        if not _LEAST <= self.value <= _MOST:
            raise ArgumentError(f"expected initial between 2**-14 and 2**32, got {initial!r}")
        if self.growth <= 1.0:
            raise ArgumentError(f"expected growth > 1, got {growth!r}")
        if not 0.0 < self.backoff < 1.0:
            raise ArgumentError(f"expected backoff between 0 and 1, got {backoff!r}")

    def scale(self, value: Array) -> Array:
        """Return a loss times the scale; it may be traced."""
        return value * self.value

    def unscale(self, gradients: Mapping[str, Array]) -> tuple[dict[str, Array], Any]:
        """Return gradients divided by the scale, and whether all of them are finite.

        Parameters
        ----------
        gradients : mapping from path to array
            They are not changed.

        Returns
        -------
        gradients : dict from path to array
        finite : bool, or array of shape () where reading it would wait for a device
        """
        inverse = 1.0 / self.value
        found = {path: g * _in_dtype_of(g, inverse) for path, g in gradients.items()}
        return found, not found or _read_if_cheap(all_finite(gradients))

    def update(self, finite: Any) -> None:
        """Adapt the scale after a step, which was skipped unless the gradients were finite.

        Parameters
        ----------
        finite : bool or array of shape ()
            What :meth:`unscale` returned. An array is not read.

        Raises
        ------
        NonFiniteError
            If the gradients are not finite at the least scale either; on a device, where nothing is read, the scale
            stays there.
        """
        if is_array(finite):
            self._update_on_device(finite)
        elif finite:
            self._good += 1
            if self._good >= self.interval:
                self.value, self._good = min(self.value * self.growth, _MOST), 0
        else:
            if self.value <= _LEAST:
                raise NonFiniteError(
                    f"expected finite gradients at a loss scale of {self.value}, the least, got NaN or infinity, as in "
                    f"the {self.skipped} steps skipped before; check the data, or use a smaller learning rate"
                )
            self.value, self._good = max(self.value * self.backoff, _LEAST), 0
            self.skipped += 1

    def state_dict(self) -> dict[str, Any]:
        """Return the scale, the good steps since it changed, and how many steps were skipped."""
        return {"scale": self.value, "good": self._good, "skipped": self.skipped}

    def load_state_dict(self, state: Mapping[str, Any]) -> Self:
        """Continue with what :meth:`state_dict` returned, on whatever device.

        Raises
        ------
        CheckpointError
            If the state has other names, or numbers that cannot be. Then nothing is changed.
        """
        try:
            scale, good, skipped = map(_expect_number, read_together([state[n] for n in ("scale", "good", "skipped")]))
        except (KeyError, TypeError, ValueError):
            raise CheckpointError(
                f"expected the state of a LossScale, numbers named scale, good and skipped, got {dict(state)}"
            ) from None
        if len(state) != 3 or not (_LEAST <= scale <= _MOST and good >= 0 and skipped >= 0):
            raise CheckpointError(f"expected a scale between 2**-14 and 2**32, and counts >= 0, got {dict(state)}")
        self.value, self._good, self.skipped = scale, int(good), int(skipped)
        return self

    def to(self, device: str | None = None) -> Self:
        """Follow a model that was moved: the numbers are read, and go to the device of the next gradients."""
        return self.load_state_dict(self.state_dict())

    def __repr__(self) -> str:
        return f"LossScale({self.value}, growth={self.growth}, backoff={self.backoff}, interval={self.interval})"

    def _update_on_device(self, finite: Array) -> None:
        xp, device = namespace(finite), device_of(finite)
        value = xp.asarray(self.value, dtype=xp.float32, device=device)
        good, skipped = (xp.asarray(count, dtype=xp.int32, device=device) for count in (self._good, self.skipped))
        is_due = good + 1 >= self.interval
        larger = xp.minimum(value * self.growth, xp.full_like(value, _MOST))
        smaller = xp.maximum(value * self.backoff, xp.full_like(value, _LEAST))
        self.value = xp.where(finite, xp.where(is_due, larger, value), smaller)
        self._good = xp.where(xp.logical_and(finite, xp.logical_not(is_due)), good + 1, xp.zeros_like(good))
        self.skipped = xp.where(finite, skipped, skipped + 1)


def _read_if_cheap(flag: Array) -> Any:
    """Return True or False, or the flag itself where reading it would wait for a device."""
    return flag if is_symbolic(flag) or not is_cheap_to_read(flag) else bool(to_numpy(flag))


def step_if(finite: Any, optimizer: Any, gradients: Mapping[str, Array], average: WeightAverage | None = None) -> None:
    """Take a step of an optimizer if the gradients are finite, else leave its model and its state as they are.

    Parameters
    ----------
    finite : bool or array of shape ()
        What :meth:`LossScale.unscale` returned. An array is not read: the step is taken, and where it is false all
        values are set back. Only the counts of steps, which are on the host, then include the skipped one; and an
        average of which it is the first begins as the weights before it.
    optimizer : Optimizer
    gradients : mapping from path to array
    average : WeightAverage, optional
        Of the weights of the model; it is updated after the step, and not if there is none.

    Examples
    --------
    >>> import numpy as np, nnx
    >>> model = nnx.Linear(1, 1, bias=False, initializer=nnx.initializers.Constant(3.0))
    >>> optimizer = nnx.SGD(model, learning_rate=1.0)
    >>> for finite in (False, True):
    ...     step_if(finite, optimizer, {"weight": np.ones((1, 1), np.float32)})
    >>> model.weight
    array([[2.]], dtype=float32)
    """
    if not is_array(finite):
        if finite:
            optimizer.step(gradients)
            if average is not None:
                average.update()
        return
    with _undone_unless(finite, optimizer.model, optimizer):
        optimizer.step(gradients)
    if average is not None:
        with _undone_unless(finite, average):
            average.update()


@contextmanager
def _undone_unless(flag: Array, *holders: Any) -> Iterator[None]:
    """Put the arrays of states back after the block if a flag, which is not read, is false."""
    before = [holder.state_dict() for holder in holders]
    yield
    for holder, old in zip(holders, before, strict=True):
        holder.load_state_dict(choose(flag, holder.state_dict(), old))


def _in_dtype_of(x: Array, factor: Any) -> Any:
    """Return a factor that does not promote an array: a number, or an array of its dtype."""
    return namespace(x).astype(factor, x.dtype, copy=False) if is_array(factor) else factor


def _expect_number(value: Any) -> float:
    if isinstance(value, str) or not math.isfinite(value):
        raise ValueError
    return float(value)
