"""Recurrent layers: torch's own, which is oneDNN's or cuDNN's where those are used."""

from collections.abc import Callable, Sequence
from typing import Any

import torch

from nnx.autodiff.dispatch import Declined
from nnx.functional import gru, lstm, rnn
from nnx.functional.recurrence import Step, check_recurrent
from nnx.functional.recurrent_gru import GRU_STEP
from nnx.functional.recurrent_lstm import LSTM_STEP
from nnx.functional.recurrent_rnn import rnn_step
from nnx.kernels.torch.automatic import native
from nnx.kernels.torch.precision import in_float32_on_host


def _checking(step_of: Callable[..., Step]) -> Callable[..., Declined | None]:
    def check(*args: Any, reverse: bool = False, **options: Any) -> Declined | None:
        step = step_of(**options)
        args = step.filled(args)
        check_recurrent(step, args)
        x, mask = args[0], args[-1]
        if mask is not None:
            return Declined("torch takes lengths in a packed form, and no mask")
        if x.shape[0] == 0:
            return Declined("torch takes no empty batch")
        return None

    return check


def _run(function: Any, step: Step, args: Sequence[Any], reverse: bool) -> tuple[Any, ...]:
    x, weight, recurrent_weight, bias, recurrent_bias, *states, _ = step.filled(args)
    flat = [weight.T, recurrent_weight.T]
    has_biases = bias is not None or recurrent_bias is not None
    if has_biases:
        zeros = x.new_zeros(weight.shape[1])
        flat += [zeros if part is None else part for part in (bias, recurrent_bias)]
    zeros = x.new_zeros((1, x.shape[0], recurrent_weight.shape[0]))
    given = [zeros if state is None else state[None] for state in states]
    state = tuple(given) if len(given) > 1 else given[0]
    trains = torch.is_grad_enabled() and any(part.requires_grad for part in (x, *flat, *given))
    sequence = x.flip(1) if reverse else x
    y, *last = function(sequence, state, flat, has_biases, 1, 0.0, trains, False, True)
    return (y.flip(1) if reverse else y, *[part[0] for part in last])


@native(lstm, _checking(lambda: LSTM_STEP))
@in_float32_on_host
def _(*args: Any, reverse: bool = False) -> Any:
    return _run(torch.lstm, LSTM_STEP, args, reverse)


@native(gru, _checking(lambda: GRU_STEP))
@in_float32_on_host
def _(*args: Any, reverse: bool = False) -> Any:
    return _run(torch.gru, GRU_STEP, args, reverse)


@native(rnn, _checking(rnn_step))
@in_float32_on_host
def _(*args: Any, activation: str = "tanh", reverse: bool = False) -> Any:
    function = {"tanh": torch.rnn_tanh, "relu": torch.rnn_relu}[activation]
    return _run(function, rnn_step(activation), args, reverse)
