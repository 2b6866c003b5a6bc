"""The loss and the metrics of an epoch, summed over its batches on the device and read once."""

import copy
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from nnx.backend import is_array, namespace, to_numpy
from nnx.errors import ArgumentError, NnxError
from nnx.losses.weighting import samples_in
from nnx.metrics import Mean, Metric
from nnx.metrics.sums import count_of_rows, first_rows, ratio
from nnx.training.device_values import read_together
from nnx.training.step import parts_of
from nnx.training.watch import Watch
from nnx.types import Array, Tree

Metrics = dict[str, Metric | Callable[[Any, Any], Any]]


def as_metrics(metrics: Any) -> Metrics:
    """Return metrics by name; those of a sequence get the names of their classes, ``Accuracy`` being ``accuracy``.

    Raises
    ------
    ArgumentError
        If one is neither a :class:`nnx.metrics.Metric` nor a function, or two have one name.
    """
    if isinstance(metrics, (Metric, str)) or callable(metrics):
        metrics = (metrics,)
    if isinstance(metrics, Mapping):
        named = dict(metrics)
    elif not isinstance(metrics, Iterable):
        raise ArgumentError(f"expected metrics by name, or a list of them, got {metrics!r}")
    else:
        names = [_name_of(metric) for metric in metrics]
        if repeated := {name for name in names if names.count(name) > 1}:
            raise ArgumentError(
                f"expected metrics with different names, got two of {min(repeated)}; hand over a dict by name"
            )
        named = dict(zip(names, metrics, strict=True))
    for name, metric in named.items():
        if not isinstance(name, str):
            raise ArgumentError(f"expected the name of a metric, a string, got {name!r}")
        if not callable(metric) and not isinstance(metric, Metric):
            raise ArgumentError(
                f"metric {name!r}: expected a metric such as nnx.metrics.Accuracy(), or a function of outputs and "
                f"target, got {metric!r}"
            )
        if isinstance(metric, type):
            raise ArgumentError(f"metric {name!r}: expected a metric, got its class; write {metric.__name__}()")
        if name in ("epoch", "loss", "learning_rate") or name.startswith("validation_"):
            raise ArgumentError(f"metric {name!r}: expected another name; the history has a column of that name")
    return named


class Totals:
    """Loss and metrics over the batches of an epoch. The value of a function is weighted by samples.

    Parameters
    ----------
    metrics : dict from name to metric
        They are copied, so that one set of them serves training and validation.
    for_history : bool
        Whether each must be a number. That is asked after the first batch, and not when an epoch has gone by.
    """

    def __init__(self, metrics: Metrics, for_history: bool = False) -> None:
        self._expects_numbers = for_history
        self._functions = {name: metric for name, metric in metrics.items() if not isinstance(metric, Metric)}
        self._sums: dict[str, Metric] = {"loss": _Loss()}
        for name, metric in metrics.items():
            self._sums[name] = copy.copy(metric) if isinstance(metric, Metric) else Mean()
            self._sums[name].reset()

    def update(self, batch: Tree, value: Array, outputs: Any, divisor: int | Array | None) -> None:
        """Add a batch, and what its loss was divided by. Nothing is read from a device.

        Raises
        ------
        NnxError
            If a metric cannot be computed from the outputs and the target; nothing is added then.
        """
        before, samples = self.snapshot(), samples_in(batch)
        target = parts_of(batch).target if len(self._sums) > 1 else None
        for name, metric in self._sums.items():
            try:
                if name == "loss":
                    metric.update(value, divisor)
                elif name in self._functions:
                    value = self._functions[name](outputs, target)
                    metric.update(value, 1 if is_array(value) and value.ndim else samples)
                else:
                    metric.update(outputs, target)
            except NnxError as error:
                self.restore(before)
                error.message = f"metric {name!r}: {error.message}"
                raise
        if self._expects_numbers:
            self._expect_numbers(before)

    def _expect_numbers(self, before: list[Any]) -> None:
        """Refuse a metric that is no number; nothing is added then."""
        self._expects_numbers = False
        for name, metric in self._sums.items():
            try:
                value = metric.compute()
            except Exception:
                continue
            try:
                expect_number(name, value)
            except ArgumentError:
                self.restore(before)
                raise

    def read(self, watch: Watch | None = None) -> dict[str, Any]:
        """Return the loss and the metrics as numbers, and as NumPy arrays what is more than a number.

        The numbers are read in a single transfer, together with the flags of the watch.
        """
        found = {name: metric.compute() for name, metric in self._sums.items()}
        flags = watch.flags() if watch is not None else []
        numbers = {name: value for name, value in found.items() if not is_array(value) or not tuple(value.shape)}
        read = read_together([*numbers.values(), *flags])
        if watch is not None:
            watch.finish(read[len(numbers) :])
        read_by_name = dict(zip(numbers, read, strict=False))
        return {name: read_by_name[name] if name in numbers else to_numpy(value) for name, value in found.items()}

    @property
    def names(self) -> tuple[str, ...]:
        """The names of what is summed up: the loss, and the metrics."""
        return tuple(self._sums)

    @property
    def is_empty(self) -> bool:
        """Whether no batch was added."""
        return not self._sums["loss"]._totals

    def snapshot(self) -> list[Any]:
        """Return what :meth:`restore` takes: the sums, which no update changes, and the numbers of rows."""
        return [_marked(metric) if metric.rows else metric._totals for metric in self._sums.values()]

    def restore(self, sums: Sequence[Any]) -> None:
        """Go back to the sums of a snapshot."""
        for metric, totals in zip(self._sums.values(), sums, strict=True):
            metric._totals = _cut(metric, totals) if metric.rows else totals

    def state_dict(self) -> dict[str, Any]:
        """Return the sums of each metric."""
        return {name: metric.state_dict() for name, metric in self._sums.items()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from sums; a metric that is new starts with none."""
        for name, metric in self._sums.items():
            metric.load_state_dict(state.get(name, {}))


class _Loss(Mean):
    """The loss of all batches as one: what was divided, added up, over the divisors, added up.

    If those are 0 it is divided by 1. So the loss is 0 where no target counts, and a sum, whose divisor is ``None``, is
    added up.
    """

    def measure(self, value: Array, weight: Any = None) -> dict[str, Any]:
        """Return the loss times its divisor, and the divisor."""
        found = super().measure(value)
        if weight is None or isinstance(weight, int):
            return {"total": found["total"] * (1 if weight is None else weight), "weight": weight or 0}
        if not is_array(weight):
            return super().measure(value, weight)
        total = found["total"]
        weight = namespace(total, weight).astype(weight, total.dtype, copy=False)
        return {"total": total * weight, "weight": weight}

    def result(self, total: Array, weight: Any) -> Array:
        """Return the quotient of the sums."""
        return ratio(total, namespace(weight).where(weight == 0, 1.0, weight) if is_array(weight) else weight or 1)


def as_row(found: Mapping[str, Any], prefix: str = "") -> dict[str, float]:
    """Return metrics as a row of the history.

    Raises
    ------
    ArgumentError
        If one is not a number.
    """
    for name, value in found.items():
        expect_number(name, value)
    return {prefix + name: value for name, value in found.items()}


def expect_number(name: str, value: Any) -> None:
    """Raise ArgumentError unless a metric is a number, or an array of shape () that nobody has read yet."""
    if not isinstance(value, (int, float)) and not (is_array(value) and not tuple(value.shape)):
        raise ArgumentError(
            f"metric {name!r}: expected a number for each epoch, got "
            f"{'shape ' + str(tuple(value.shape)) if is_array(value) else type(value).__name__}; "
            "compute it once with trainer.evaluate(data, metrics=...)"
        )


def _marked(metric: Metric) -> dict[str, Any]:
    return {name: count_of_rows(sums) if name in metric.rows else sums for name, sums in metric._totals.items()}


def _cut(metric: Metric, totals: Mapping[str, Any]) -> dict[str, Any]:
    """Return sums of a snapshot, with the rows that the metric had then."""
    now = metric._totals
    return {name: first_rows(now[name], sums) if name in metric.rows else sums for name, sums in totals.items()}


def _name_of(metric: Any) -> str:
    name = getattr(metric, "__name__", type(metric).__name__)
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "_", name).lower()
