"""The base class of metrics: sums over batches that can be added, saved and read."""

import copy
from collections.abc import Mapping
from typing import Any, ClassVar, Self

from nnx.autodiff import stop_gradient
from nnx.autodiff.outside import refuse_recording
from nnx.backend import copied, is_array, unrecorded
from nnx.errors import ArgumentError, CheckpointError, UsageError
from nnx.layers.config import config_of
from nnx.layers.printing import description
from nnx.layers.remembering import Configured, arguments
from nnx.metrics.sums import Compensated, Rows, add, as_sum, read
from nnx.types import Tree

_ERROR = ".error"  # in a state, the suffix of the name of a sum's rounding error


class Metric(Configured):
    """Base class of metrics: :meth:`update` takes a batch, :meth:`compute` returns the metric of all of them.

    A metric is a few sums over the examples, and a function of them. A subclass names the sums in ``sums``, and defines
    :meth:`measure`, which returns those of one batch, and :meth:`result`. The sums stay on the device of the data, and
    nothing is read until the result is. They stay accurate: they are accumulated in int64 and float64 or, on a device
    without float64, in float32 together with their rounding errors. What is no sum, such as a rank among all examples,
    needs the examples: the arrays of names that are in ``rows`` too are not added, but joined along their first axis.

    Examples
    --------
    >>> import numpy as np
    >>> class MeanAbsoluteError(Metric):
    ...     sums = ("error", "elements")
    ...     def measure(self, output, target):
    ...         return {"error": np.sum(np.abs(output - target)), "elements": output.size}
    ...     def result(self, error, elements):
    ...         return error / elements
    >>> metric = MeanAbsoluteError()
    >>> for batch in ([1.0, 2.0], [6.0]):
    ...     metric.update(np.asarray(batch), np.asarray(4.0))
    >>> float(metric.compute())
    2.3333333333333335
    """

    sums: ClassVar[tuple[str, ...]] = ()
    rows: ClassVar[tuple[str, ...]] = ()
    _totals: Mapping[str, Any] = {}  # by name; replaced by every update

    def __init__(self) -> None:
        self._totals = {}

    def measure(self, *args: Any) -> dict[str, Any]:
        """Return the sums of one batch by name, as arrays or Python integers; a subclass defines it."""
        raise UsageError(f"{type(self).__name__} defines no measure(self, output, target)")

    def result(self, *args: Any, **kwargs: Any) -> Tree:
        """Return the metric, given each sum by name; a subclass defines it."""
        raise UsageError(f"{type(self).__name__} defines no result(self, {', '.join(self.sums)})")

    def update(self, *args: Any) -> None:
        """Add a batch, usually as ``update(output, target)``. Nothing is read from a device."""
        refuse_recording(self, "update")
        found = self.measure(*(unrecorded(stop_gradient(arg)) for arg in args))
        if found.keys() != set(self.sums):
            raise UsageError(
                f"{type(self).__name__}.measure: expected the sums {', '.join(self.sums)}, got {', '.join(found)}"
            )
        old = self._totals
        batch = {
            name: Rows((copied(value),)) if name in self.rows else as_sum(value, old.get(name))
            for name, value in found.items()
        }
        self._totals = {name: add(old[name], value) for name, value in batch.items()} if old else batch

    def compute(self) -> Any:
        """Return the metric of all batches so far: an array of shape () or a tree, on the device of the data.

        Raises
        ------
        UsageError
            If there was no batch.
        """
        if not self._totals:
            raise UsageError(f"{type(self).__name__}.compute needs a batch before it; call update(output, target)")
        return self.result(**{name: read(total) for name, total in self._totals.items()})

    def reset(self) -> None:
        """Forget all batches."""
        self._totals = {}

    def merge(self, *others: Self) -> Self:
        """Add the sums of other metrics, such as those of other processes, and return this metric.

        Raises
        ------
        ArgumentError
            If one of them differs in class or options.
        """
        for other in others:
            if type(other) is not type(self) or not _is_same(arguments(other), arguments(self)):
                raise ArgumentError(f"expected a metric {self!r} to merge with, got {other!r}")
            if not self._totals:
                self._totals = other._totals
            elif other._totals:
                self._totals = {name: add(other._totals[name], total) for name, total in self._totals.items()}
        return self

    def __add__(self, other: Self) -> Self:
        """Return a new metric of the examples of both."""
        if not isinstance(other, Metric):
            return NotImplemented
        return copy.copy(self).merge(other)

    def state_dict(self) -> dict[str, Any]:
        """Return the sums by name, arrays and integers; before the first batch there are none."""
        state: dict[str, Any] = {}
        for name, total in self._totals.items():
            if isinstance(total, Compensated):
                state |= {name: total.value, name + _ERROR: total.error}
            else:
                state[name] = read(total)
        return state

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continue from sums that :meth:`state_dict` returned; they move to the device of the next batch.

        Raises
        ------
        CheckpointError
            If these are not the sums of such a metric, which is then left unchanged.
        """
        names = {name.removesuffix(_ERROR) for name in state}
        wrong = [name for name, value in state.items() if not isinstance(value, int) and not is_array(value)]
        if wrong or (state and (names != set(self.sums) or not names <= state.keys())):
            raise CheckpointError(
                f"expected the sums of {self!r} as arrays or integers, {', '.join(self.sums)}, got "
                + ", ".join(f"{name}: {type(value).__name__}" for name, value in state.items())
            )
        self._totals = {name: self._loaded(name, state) for name in (self.sums if state else ())}

    def _loaded(self, name: str, state: Mapping[str, Any]) -> Any:
        if name in self.rows:
            return Rows((state[name],))
        return Compensated(state[name], state[name + _ERROR]) if name + _ERROR in state else state[name]

    def config(self) -> dict[str, Any]:
        """Return the class and its arguments as data for JSON; :func:`nnx.from_config` builds the metric from it."""
        return config_of(self)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({description(self)})"


def _is_same(one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    return all(one[name] is other[name] or (not is_array(one[name]) and one[name] == other[name]) for name in one)
