"""Recurrent layers: the portable step in a loop that XLA compiles once, whatever its length."""

from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp

from nnx.functional import gru, lstm, rnn
from nnx.functional.recurrence import Step, check_recurrent, prepared
from nnx.functional.recurrent_gru import GRU_STEP
from nnx.functional.recurrent_lstm import LSTM_STEP
from nnx.functional.recurrent_rnn import rnn_step
from nnx.kernels.jax.automatic import native


def _checking(step_of: Callable[..., Step]) -> Callable[..., None]:
    def check(*args: Any, reverse: bool = False, **options: Any) -> None:
        step = step_of(**options)
        check_recurrent(step, step.filled(args))

    return check


def _scan(step: Step, args: Sequence[Any], reverse: bool) -> tuple[Any, ...]:
    x, weight, recurrent_weight, bias, recurrent_bias, states, mask, dtype = prepared(step, step.filled(args))
    from_inputs = x @ weight
    if bias is not None:
        from_inputs = from_inputs + bias

    def advance(before: list[Any], inputs: Any) -> Any:
        from_input, goes_on = inputs
        from_hidden = before[0] @ recurrent_weight
        if recurrent_bias is not None:
            from_hidden = from_hidden + recurrent_bias
        after, _ = step.forward(jnp, from_input, from_hidden, before)
        if goes_on is None:
            return after, after[0]
        goes_on = goes_on[:, None]
        y = jnp.where(goes_on, after[0], 0.0)
        return [jnp.where(goes_on, new, old) for new, old in zip(after, before, strict=True)], y

    inputs = (jnp.moveaxis(from_inputs, 1, 0), None if mask is None else mask.T)
    last, outputs = jax.lax.scan(advance, states, inputs, reverse=reverse)
    return tuple([part.astype(dtype) for part in (jnp.moveaxis(outputs, 0, 1), *last)])


@native(lstm, _checking(lambda: LSTM_STEP))
def _(*args: Any, reverse: bool = False) -> Any:
    return _scan(LSTM_STEP, args, reverse)


@native(gru, _checking(lambda: GRU_STEP))
def _(*args: Any, reverse: bool = False) -> Any:
    return _scan(GRU_STEP, args, reverse)


@native(rnn, _checking(rnn_step))
def _(*args: Any, activation: str = "tanh", reverse: bool = False) -> Any:
    return _scan(rnn_step(activation), args, reverse)
