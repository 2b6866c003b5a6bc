"""Recurrent layers with time as the first axis: each step works in place, in memory that is allocated once."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from nnx.autodiff import Primitive, Pullback, TracedArray
from nnx.autodiff.dispatch import Declined
from nnx.functional import gru, lstm, rnn
from nnx.functional.recurrence import Step, check_recurrent
from nnx.functional.recurrent_gru import GRU_STEP
from nnx.functional.recurrent_lstm import LSTM_STEP
from nnx.functional.recurrent_rnn import rnn_step
from nnx.kernels.numpy.recurrent_columns import LSTMSteps
from nnx.kernels.numpy.recurrent_steps import GRUSteps, RNNSteps

_TOGETHER = 512  # rows of cotangents whose products are made at once: fresh memory for more costs more than it saves


class _Call(NamedTuple):
    """The arguments of a call; states that were not given are zeros."""

    x: Any
    weight: Any
    recurrent_weight: Any
    bias: Any
    recurrent_bias: Any
    states: list[Any]
    mask: Any
    reverse: bool

    def in_order(self, x: Any) -> Any:
        """Return (batch, time, ...) as a view (time, batch, ...) in the order of the steps."""
        x = x.swapaxes(0, 1)
        return x[::-1] if self.reverse else x

    def rows(self) -> Any:
        """Return the input (time * batch, features) in the order of the steps, with zeros for padding."""
        x = self.in_order(self.x)
        if self.mask is not None:
            x = np.where(self.in_order(self.mask)[:, :, None], x, x.dtype.type(0))
        return np.ascontiguousarray(x).reshape((x.shape[0] * x.shape[1], x.shape[2]))

    def idle(self) -> list[Any]:
        """Return for each step the indices of the examples that take none, or ``None`` if all take it."""
        if self.mask is None:
            return [None] * self.x.shape[1]
        found = [np.flatnonzero(~goes_on) for goes_on in self.in_order(self.mask)]
        return [indices if indices.size else None for indices in found]


def _prepared(step: Step, args: Sequence[Any], reverse: bool) -> _Call | Declined:
    x, weight, recurrent_weight, bias, recurrent_bias, *states, mask = args
    check_recurrent(step, args)
    if any(type(arg) is not np.ndarray for arg in args if arg is not None):
        return Declined("an argument is of a subclass of numpy.ndarray")
    if x.dtype.itemsize not in (4, 8) or not x.size or not recurrent_weight.size:
        return Declined("it is for float32 and float64, and for arrays that are not empty")
    zeros = np.zeros((x.shape[0], recurrent_weight.shape[0]), x.dtype)
    states = [zeros if state is None else state for state in states]
    return _Call(x, weight, recurrent_weight, bias, recurrent_bias, states, mask, reverse)


def register(function: Primitive[..., Any], step_of: Callable[..., Step], kind: Any, *, tier: str = "native") -> None:
    """Register a kernel of a function, whose step depends on its options; ``kind`` makes the steps of a call."""

    @function.kernel("numpy", tier=tier, fresh=True)
    def _(wanted: Sequence[Any], *args: Any, reverse: bool = False, **options: Any) -> tuple[Any, Pullback] | Declined:
        step = step_of(**options)
        given, args = args, step.filled(args)
        call = _prepared(step, args, reverse)
        if isinstance(call, Declined):
            return call
        batch, time, _ = call.x.shape
        steps = kind(call, keeps=any(wanted), **options)
        y = np.empty((batch, time, call.recurrent_weight.shape[0]), call.x.dtype)
        idle, outputs = call.idle(), call.in_order(y)
        for n, indices in enumerate(idle):
            steps.forward(n)
            outputs[n] = steps.after(n)[0]
            if indices is not None:
                outputs[n, indices] = 0
                for before, after in zip(steps.before(n), steps.after(n), strict=True):
                    after[indices] = before[indices]
        steps.finish_forward()
        last = [state.copy() for state in steps.after(time - 1)]

        def pullback(cotangents: Any) -> Sequence[Any]:
            if TracedArray in map(type, cotangents):
                options_of_call = {**options, "reverse": reverse}
                return function.portable_pullback(wanted, *given, **options_of_call)(cotangents)
            return _pulled_back(wanted, args, call, steps, idle, cotangents)

        return (y, *last), pullback


def _pulled_back(
    wanted: Sequence[Any], args: Sequence[Any], call: _Call, steps: Any, idle: Sequence[Any], cotangents: Any
) -> list[Any]:
    """Walk back through time, and add up the gradients by one product for some hundred rows."""
    to_outputs = None if cotangents[0] is None else call.in_order(cotangents[0])
    pairs = zip(cotangents[1:], call.states, strict=True)
    to_states = [
        np.array(np.zeros_like(state) if part is None else part.reshape(state.shape), order=steps.order)
        for part, state in pairs
    ]
    spare = np.empty_like(to_states[0])  # an array is transposed into another much faster than it is added to it
    sums, together = steps.sums(wanted, args, call), max(1, min(_TOGETHER // len(spare), len(idle)))
    back = steps.start_backward(together)
    for n in reversed(range(len(idle))):
        indices, passed = idle[n], None
        if indices is not None:  # what takes no step passes its cotangents on
            passed = [part[indices] for part in to_states]
        if to_outputs is not None:
            spare[...] = to_outputs[n]
            to_states[0] += spare
        if indices is not None:
            for part in to_states:
                part[indices] = 0
        steps.backward(n, n % together, back, to_states)
        if passed is not None:
            for part, values in zip(to_states, passed, strict=True):
                part[indices] = values
        if n % together == 0:
            sums.add(slice(n, min(n + together, len(idle))), back)
    found: list[Any] = sums.found()
    for i, part in enumerate(to_states, 5):
        found[i] = np.ascontiguousarray(part) if args[i] is not None and wanted[i] else None
    return found


register(lstm, lambda: LSTM_STEP, LSTMSteps)
register(gru, lambda: GRU_STEP, GRUSteps)
register(rnn, rnn_step, RNNSteps)
