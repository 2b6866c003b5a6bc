"""The base class of averages of a model's weights over the steps of training."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from itertools import repeat
from typing import Any, ClassVar, Self

from nnx.autodiff.outside import refuse_recording
from nnx.backend import copied, dtype_name, is_array, is_floating, unrecorded
from nnx.backend.blocks import apply_rule, widened
from nnx.backend.ownership import writable
from nnx.errors import ArgumentError, CheckpointError, UsageError
from nnx.functional.checks import counted
from nnx.functional.precision import cast
from nnx.layers import Module
from nnx.layers.config import config_of
from nnx.layers.moving import converted, wide_dtype
from nnx.layers.plan import usable_plan
from nnx.layers.printing import description
from nnx.layers.remembering import Configured
from nnx.layers.state import fitting
from nnx.layers.updates import expect_state, refuse_other_paths, refuse_other_shape
from nnx.optimizers.hyperparameters import as_flag
from nnx.optimizers.per_array import per_array
from nnx.types import Array, DType


class WeightAverage(Configured):
    """Base class of averages of weights. A subclass defines :meth:`share`.

    Call :meth:`update` after each step, and use the average in a block::

        optimizer.step(gradients)
        average.update()
        ...
        with average.applied():
            accuracy = evaluate(model)

    Until the first weights have been averaged, the block sees the model's own.

    Parameters
    ----------
    model : Module
        The model that is trained. It never changes, but for the block.
    buffers : bool
        Whether floating-point buffers, such as running statistics, are averaged too. Otherwise, and for all other
        buffers, the block sees those of the model, which follow the weights closely enough for an EMA.

    Raises
    ------
    ArgumentError
        If ``model`` is not a module, or another argument is out of range.

    Notes
    -----
    The average of a parameter in half precision is in float32. A frozen parameter takes no memory. Each array of an
    average is written in place if nothing else refers to it.
    """

    _not_configuration: ClassVar[frozenset[str]] = frozenset({"rng", "model"})

    def __init__(self, model: Module, *, buffers: bool = False) -> None:
        if not isinstance(model, Module):
            raise ArgumentError(f"expected the model whose weights are averaged, got {type(model).__name__}")
        self.model = model
        self.buffers = as_flag(buffers, "buffers")
        self.updates = 0
        self.averaged = 0
        self._paths: tuple[str, ...] = ()
        self._arrays: list[Array] = []  # the only holder of its arrays, so that they can be written
        self._is_applied = False

    def share(self) -> float | None:
        """Return the share of the current weights in the new average, or ``None`` to leave the average as it is.

        :attr:`updates` counts the calls of :meth:`update` with this one, :attr:`averaged` the weights in the average.
        The first weights are taken as they are.
        """
        raise UsageError(f"{type(self).__name__} defines no share(self)")

    def update(self) -> None:
        """Take the current weights into the average.

        Raises
        ------
        UsageError
            If the parameters of the model are no longer those of the average, or it is applied just now.
        """
        refuse_recording(self, "update")
        if self._is_applied:
            raise UsageError("the model has the averaged weights now; call update after the block of applied()")
        current, frozen = self._current()
        if self.averaged:
            self._expect_fit(current)
        self.updates += 1
        share = self.share()
        if share is None:
            return
        if not self.averaged:
            self._paths = (*current,)
            # A frozen parameter is not written, so that it need not be copied.
            self._arrays = [widened(w if path in frozen else copied(w)) for path, w in current.items()]
        else:
            self._move(current, share)
        self.averaged += 1

    def parameters(self) -> dict[str, Array]:
        """Return the averaged parameters by dotted path, in the dtypes of the model.

        They are no copies where the dtype is that of the average, but later updates do not change them.
        """
        buffers = self.model.buffers()
        return {path: array for path, array in self._values().items() if path not in buffers}

    @contextmanager
    def applied(self) -> Iterator[Module]:
        """Put the average into the model for a block, for an evaluation or to save it.

        At the end the model gets back its parameters, the same arrays, and the values that its buffers had: what runs
        in the block leaves no trace in the training.

        Raises
        ------
        UsageError
            If it is applied already, or the parameters of the model are no longer those of the average.
        """
        if self._is_applied:
            raise UsageError("the average is applied already; leave the block of applied() first")
        model = self.model
        parameters, averaged = model.parameters(), self._values()
        buffers = {path: (buffer, buffer.snapshot()) for path, buffer in model.buffers().items()}
        self._is_applied = True
        try:
            model.replace_parameters({path: averaged[path] for path in parameters})
            for path in averaged.keys() & buffers.keys():
                buffers[path][0].value = copied(averaged[path])
            yield model
        finally:
            self._is_applied = False
            model.replace_parameters(parameters)
            for buffer, value in buffers.values():
                buffer.value = value

    def state_dict(self) -> dict[str, Any]:
        """Return the counts, and arrays such as ``"average.0.weight"``; there are none before the first average.

        They are the arrays themselves, not copies, but later updates do not change them.
        """
        arrays = {f"average.{path}": array for path, array in zip(self._paths, self._arrays, strict=True)}
        return {"updates": self.updates, "averaged": self.averaged, **arrays}

    def load_state_dict(self, state: Mapping[str, Any]) -> Self:
        """Replace counts and average by saved ones, moved to the library and device of the model.

        Returns
        -------
        WeightAverage
            This average.

        Raises
        ------
        CheckpointError
            Lists every name that is missing or extra, and every wrong shape or dtype. Then nothing is changed.
        """
        name = type(self).__name__
        own: dict[str, Any] = {"updates": 0, "averaged": 0}
        has_average = any(key not in own for key in state)
        current, _ = self._current()
        if has_average:
            own |= {f"average.{path}": widened(value) for path, value in current.items()}
        new = fitting(own, state, True, name, "its state")
        updates, averaged = new.pop("updates"), new.pop("averaged")
        if not 0 <= averaged <= updates or bool(new) != bool(averaged and current):
            raise CheckpointError(
                f"the saved values do not fit {name}: expected counts 0 <= averaged <= updates, and an average if "
                f"averaged > 0, got averaged {averaged}, updates {updates} and {counted(len(new), 'array')}"
            )
        self.updates, self.averaged = updates, averaged
        self._paths, self._arrays = tuple(current) if averaged else (), [*new.values()]
        return self

    def to(self, device: str | None = None, *, dtype: DType | str | None = None) -> Self:
        """Move the average after the model was moved; the arguments are those of :meth:`nnx.Module.to`.

        For a model in half precision it is kept in float32.

        Returns
        -------
        WeightAverage
            This average.
        """
        self._arrays[:] = [converted(array, device, wide_dtype(dtype)) for array in self._arrays]
        return self

    def config(self) -> dict[str, Any]:
        """Return the class and its arguments, as data for JSON.

        ``nnx.from_config(config, model=model)`` builds an average from it.
        """
        return config_of(self)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({description(self)})"

    def _current(self) -> tuple[dict[str, Array], frozenset[str]]:
        """Return what is averaged of the model now, by path, and the paths of what is frozen."""
        plan = usable_plan(self.model)
        current = {path: unrecorded(w) for path, w in self.model.parameters().items()}
        for path, buffer in self.model.buffers().items() if self.buffers else ():
            if is_array(buffer.value) and is_floating(buffer.value):
                current[path] = buffer.value
        return current, frozenset(plan.all_paths) - frozenset(plan.paths)

    def _values(self) -> dict[str, Array]:
        """Return the average in the dtypes of the model, or what the model has if there is none yet."""
        current, _ = self._current()
        if not self.averaged:
            return current
        self._expect_fit(current)
        return {path: cast(array, w.dtype) for (path, w), array in zip(current.items(), self._arrays, strict=True)}

    def _expect_fit(self, current: Mapping[str, Array]) -> None:
        if self._paths != (*current,):
            refuse_other_paths(self._paths, (*current,), "parameters", "average")
        for (path, w), array in zip(current.items(), self._arrays, strict=True):
            if array.shape != w.shape:
                refuse_other_shape(path, tuple(array.shape), w, "average")
            wanted, got = wide_dtype(dtype_name(w.dtype)), dtype_name(array.dtype)
            if wanted != got:
                raise UsageError(
                    f"the average keeps {path!r} as {got}, and the model has {dtype_name(w.dtype)} now, as after "
                    f"model.to(...) alone; move it too, with average.to(dtype={dtype_name(w.dtype)!r})"
                )
        expect_state("average", "average", self._arrays, [(current, path) for path in current], self._paths)

    def _move(self, current: Mapping[str, Array], share: float) -> None:
        moved = [i for i, path in enumerate(self._paths) if self._arrays[i] is not current[path]]
        may_write = writable(zip(repeat(self._arrays), moved, strict=False))
        weights, averages = [current[self._paths[i]] for i in moved], [self._arrays[i] for i in moved]
        new, _ = apply_rule(_mix, weights, {}, averages, 0, {"share": share}, may_write)
        for i, array in zip(moved, new, strict=True):
            self._arrays[i] = array


@per_array
def _mix(average: Array, w: Array, own: Mapping[str, Any], step: int) -> tuple[Array]:
    """Move an average toward the weights, by a share of the difference: where they agree, it stays exactly."""
    change = widened(w) - average
    change *= own["share"]
    average += change
    return (average,)
