"""What the recurrent functions share: the loop over time, the loop back, and the checks.

A kind of recurrence is a :class:`Step`; each stands under its function, in a file of its own.
"""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from nnx.autodiff import Pullback
from nnx.backend import accumulation_dtype, device_of, dtype_name, namespace, summed
from nnx.errors import DTypeError, ShapeError
from nnx.functional.checks import expect_array, expect_real, expect_same_dtype, expect_shape
from nnx.types import Array, DType, Namespace


class Step(NamedTuple):
    """One step of a recurrence, and its pullback.

    Attributes
    ----------
    gates : int
        Columns of the weights for each hidden feature.
    states : tuple of str
        The names of the states, of shape (batch, hidden); the hidden state comes first.
    forward : callable
        ``forward(xp, from_input, from_hidden, states) -> (states after, residuals)``. The first two are what the
        weights make of the input and of the hidden state, each (batch, gates * hidden). The first residual is of
        shape (batch, hidden).
    backward : callable
        ``backward(xp, residuals, cotangents of the states after) -> (to_input, to_hidden, cotangents of the states
        before)``. The first two are the cotangents of ``from_input`` and ``from_hidden``; the last, without what
        passes through them, may be ``None``.
    """

    gates: int
    states: tuple[str, ...]
    forward: Callable[..., tuple[list[Array], tuple[Array, ...]]]
    backward: Callable[..., tuple[Array, Array, list[Array | None]]]

    def filled(self, args: Sequence[Any]) -> tuple[Any, ...]:
        """Return the arguments (x, weights, biases, states, mask), with None for those that were not given."""
        return (*args, *[None] * (6 + len(self.states) - len(args)))


class Call(NamedTuple):
    """The arguments of a recurrent function, checked, in the dtype to compute in; states not given are zeros."""

    x: Array
    weight: Array
    recurrent_weight: Array
    bias: Array | None
    recurrent_bias: Array | None
    states: list[Array]
    mask: Array | None
    dtype: DType  # of the results; the arrays may be of a wider one


def run(step: Step, args: Sequence[Any], reverse: bool) -> tuple[Array, ...]:
    """Return the outputs of all steps and the last states, for the arguments (x, weights, biases, states, mask)."""
    return _forward(step, prepared(step, args), reverse)[0]


def run_with_pullback(
    step: Step, wanted: Sequence[Any], args: Sequence[Any], reverse: bool
) -> tuple[tuple[Array, ...], Pullback]:
    """Return what :func:`run` returns, and its pullback: backward through time, without a second forward pass."""
    call = prepared(step, args)
    outputs, hidden, residuals = _forward(step, call, reverse)
    shape, given = call.x.shape, [arg is not None for arg in args]
    x = call.x if wanted[1] else None
    weight = call.weight if wanted[0] else None
    recurrent_weight, mask, dtype = call.recurrent_weight, call.mask, call.dtype
    hidden = hidden if wanted[2] else []

    def pullback(cotangents: Sequence[Any]) -> list[Any]:
        xp = namespace(*cotangents, x, weight, recurrent_weight, *residuals[0])
        wide = recurrent_weight.dtype
        cotangents = [None if part is None else xp.astype(part, wide, copy=False) for part in cotangents]
        to_inputs, to_hidden, to_initial = _backward(xp, step, residuals, recurrent_weight, mask, cotangents, reverse)
        rows = _rows(xp, to_inputs)  # so that each gradient is one product for all steps
        recurrent_rows = rows if to_hidden is to_inputs else _rows(xp, to_hidden)
        found: list[Any] = [None] * len(args)
        if weight is not None and wanted[0]:
            found[0] = xp.reshape(rows @ weight.T, shape)
        if x is not None and wanted[1]:
            found[1] = xp.reshape(x, (rows.shape[0], shape[2])).T @ rows
        if hidden and wanted[2]:
            found[2] = _rows(xp, hidden).T @ recurrent_rows
        found[3] = summed(xp, rows, 0) if given[3] and wanted[3] else None
        found[4] = summed(xp, recurrent_rows, 0) if given[4] and wanted[4] else None
        for i, cotangent in enumerate(to_initial, 5):
            found[i] = cotangent if given[i] and wanted[i] else None
        return [None if part is None else xp.astype(part, dtype, copy=False) for part in found]

    return outputs, pullback


def flops(
    output: tuple[Array, ...], x: Array, weight: Array, recurrent_weight: Array, *others: Any, **options: Any
) -> int:
    """Return the operations of the products with both weights, over all steps."""
    batch, time, features = x.shape
    return 2 * batch * time * (features + recurrent_weight.shape[0]) * int(weight.shape[1])


def _forward(step: Step, call: Call, reverse: bool) -> tuple[tuple[Array, ...], list[Array], list[Any]]:
    """Return the outputs; and, by index of the step, the hidden state before it and its residuals."""
    x, weight, recurrent_weight, bias, recurrent_bias, states, mask, dtype = call
    xp = namespace(x, weight, recurrent_weight, bias, recurrent_bias, *states)
    batch, time, features = x.shape
    from_inputs = xp.reshape(x, (batch * time, features)) @ weight  # one product for all steps
    if bias is not None:
        from_inputs = from_inputs + bias
    parts = xp.unstack(xp.reshape(from_inputs, (batch, time, weight.shape[1])), axis=1)
    outputs: list[Any] = [None] * time
    hidden: list[Any] = [None] * time
    residuals: list[Any] = [None] * time
    for t in order_of(time, reverse):
        hidden[t] = states[0]
        from_hidden = states[0] @ recurrent_weight
        if recurrent_bias is not None:
            from_hidden = from_hidden + recurrent_bias
        after, residuals[t] = step.forward(xp, parts[t], from_hidden, states)
        if mask is None:
            outputs[t] = after[0]
        else:
            goes_on = mask[:, t : t + 1]
            outputs[t] = xp.where(goes_on, after[0], 0.0)
            after = [xp.where(goes_on, new, old) for new, old in zip(after, states, strict=True)]
        states = after
    found = [xp.stack(outputs, axis=1), *states]
    return tuple(xp.astype(part, dtype, copy=False) for part in found), hidden, residuals


def _backward(
    xp: Namespace,
    step: Step,
    residuals: Sequence[Any],
    recurrent_weight: Array,
    mask: Array | None,
    cotangents: Sequence[Any],
    reverse: bool,
) -> tuple[list[Array], list[Array], list[Array]]:
    """Return the cotangents of ``from_input`` and ``from_hidden`` for each step, and of the initial states."""
    time = len(residuals)
    parts = None if cotangents[0] is None else xp.unstack(cotangents[0], axis=1)
    to_states = [xp.zeros_like(residuals[0][0]) if part is None else part for part in cotangents[1:]]
    to_inputs: list[Any] = [None] * time
    to_hidden: list[Any] = [None] * time
    for t in reversed(order_of(time, reverse)):
        kept = None
        if mask is not None:  # what has ended takes no step: its states pass on
            goes_on = mask[:, t : t + 1]
            kept = [xp.where(goes_on, 0.0, part) for part in to_states]
            to_states = [xp.where(goes_on, part, 0.0) for part in to_states]
        if parts is not None:
            to_states[0] = to_states[0] + (parts[t] if mask is None else xp.where(goes_on, parts[t], 0.0))
        to_inputs[t], to_hidden[t], before = step.backward(xp, residuals[t], to_states)
        through = to_hidden[t] @ recurrent_weight.T
        before[0] = through if before[0] is None else before[0] + through
        to_states = before if kept is None else [a + b for a, b in zip(before, kept, strict=True)]
    is_same = all(a is b for a, b in zip(to_inputs, to_hidden, strict=True))
    return to_inputs, to_inputs if is_same else to_hidden, to_states


def order_of(time: int, reverse: bool) -> range:
    """Return the steps in the order in which they are taken."""
    return range(time - 1, -1, -1) if reverse else range(time)


def _rows(xp: Namespace, parts: Sequence[Array]) -> Array:
    """Return arrays (batch, size), one for each step, as one (batch * time, size)."""
    return xp.reshape(xp.stack(parts, axis=1), (len(parts) * parts[0].shape[0], parts[0].shape[1]))


def prepared(step: Step, args: Sequence[Any]) -> Call:
    """Check the arguments; return them in the dtype to compute in, with zeros where no state was given."""
    check_recurrent(step, args)
    x, weight, recurrent_weight, bias, recurrent_bias, *states, mask = args
    xp = namespace(*args)
    if mask is not None:  # padding has no effect, even if it is NaN
        x = xp.where(xp.expand_dims(mask, axis=-1), x, 0.0)
    dtype, wide = x.dtype, accumulation_dtype(x)
    shape = (x.shape[0], recurrent_weight.shape[0])
    states = [xp.zeros(shape, dtype=dtype, device=device_of(x)) if state is None else state for state in states]
    found: list[Any] = [
        None if array is None else xp.astype(array, wide, copy=False)
        for array in (x, weight, recurrent_weight, bias, recurrent_bias, *states)
    ]
    x, weight, recurrent_weight, bias, recurrent_bias, *states = found
    return Call(x, weight, recurrent_weight, bias, recurrent_bias, states, mask, dtype)


def check_recurrent(step: Step, args: Sequence[Any]) -> None:
    """Raise an error unless the arguments of a recurrent function fit together."""
    x, weight, recurrent_weight, bias, recurrent_bias, *states, mask = args
    namespace(*args)
    expect_real(x)
    named = {"weight": weight, "recurrent_weight": recurrent_weight, "bias": bias, "recurrent_bias": recurrent_bias}
    named |= dict(zip(step.states, states, strict=True))
    for name, array in named.items():
        if array is not None or name in ("weight", "recurrent_weight"):
            expect_same_dtype(x, array, name)
    if recurrent_weight.ndim != 2 or recurrent_weight.shape[1] != step.gates * recurrent_weight.shape[0]:
        columns = f"{step.gates} * hidden" if step.gates > 1 else "hidden"
        raise ShapeError(f"expected recurrent_weight of shape (hidden, {columns}), got {tuple(recurrent_weight.shape)}")
    hidden, width = recurrent_weight.shape
    if weight.ndim != 2 or weight.shape[1] != width:
        raise ShapeError(f"expected weight of shape (features, {width}), got {tuple(weight.shape)}")
    if x.ndim != 3 or x.shape[2] != weight.shape[0] or x.shape[1] == 0:
        steps = ", with at least one step" if x.ndim == 3 and x.shape[1] == 0 else ""
        raise ShapeError(f"expected input of shape (batch, time, {weight.shape[0]}){steps}, got {tuple(x.shape)}")
    for name in ("bias", "recurrent_bias"):
        if named[name] is not None:
            expect_shape(named[name], (width,), name, "one for each column of the weights")
    for name in step.states:
        if named[name] is not None:
            expect_shape(named[name], (x.shape[0], hidden), name, "the batch and the rows of recurrent_weight")
    if mask is not None:
        _check_mask(mask, (x.shape[0], x.shape[1]))


def _check_mask(mask: Array, shape: tuple[int, int]) -> None:
    expect_array(mask, "mask")
    if not namespace(mask).isdtype(mask.dtype, "bool"):
        raise DTypeError(
            f"expected a boolean mask, True where a step is taken, got {dtype_name(mask.dtype)}; "
            "from lengths it is xp.arange(time) < lengths[:, None]"
        )
    expect_shape(mask, shape, "mask", "(batch, time) of the input")
