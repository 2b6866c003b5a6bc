"""Layers and losses that are called as those of PyTorch are, where nnx takes arguments in another form."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from nnx import functional
from nnx.autodiff import stop_gradient
from nnx.backend import asarray, device_of, is_array, namespace, to_numpy
from nnx.layers import Module, ModuleDict
from nnx.types import Array


class NamedLayers(Module):
    """Layers one after another that have names, as in ``torch.nn.Sequential(OrderedDict(...))``.

    Parameters
    ----------
    layers : mapping from name to module
    """

    def __init__(self, layers: Mapping[str, Module]) -> None:
        self.layers = ModuleDict(layers)

    def forward(self, input: Any) -> Any:
        """Return the output of the last layer."""
        for layer in self.layers.values():
            input = layer(input)
        return input


class SequenceLayer(Module):
    """A recurrent layer of nnx, called as in PyTorch: time first unless ``batch_first``, or without a batch axis.

    Parameters
    ----------
    layer : RNN, LSTM or GRU
    batch_first : bool
    """

    def __init__(self, layer: Module, batch_first: bool = False) -> None:
        self.layer = layer
        self.batch_first = batch_first

    def forward(self, input: Array, hx: Any = None) -> tuple[Array, Any]:
        """Map the input and the initial state to the outputs and the state after the last step."""
        order = Order(input.ndim == 2, self.batch_first)
        if order.is_one:
            hx = _each(hx, lambda state: namespace(state).expand_dims(state, axis=1))
        outputs, state = self.layer(order.enter(input), hx)
        if order.is_one:
            state = _each(state, lambda state: namespace(state).squeeze(state, axis=1))
        return order.leave(outputs), state


class Order:
    """Brings an input into the order (batch, time, features), and an output back into that of PyTorch."""

    def __init__(self, is_one: bool, batch_first: bool) -> None:
        self.is_one = is_one
        self.batch_first = batch_first

    def enter(self, x: Array) -> Array:
        """Return an input batch first."""
        xp = namespace(x)
        if self.is_one:
            return xp.expand_dims(x, axis=0)
        return x if self.batch_first else xp.permute_dims(x, (1, 0, 2))

    def leave(self, y: Array) -> Array:
        """Return an output in the order of the input."""
        xp = namespace(y)
        if self.is_one:
            return xp.squeeze(y, axis=0)
        return y if self.batch_first else xp.permute_dims(y, (1, 0, 2))


class CTCCall(Module):
    """The CTC loss, called as in PyTorch: time first, lengths in any form, targets padded or one after another.

    Its gradient is PyTorch's, which takes the log-probabilities to be the output of a log-softmax.
    """

    def __init__(self, blank: int = 0, zero_infinity: bool = False, reduction: str = "mean") -> None:
        self.blank, self.zero_infinity = blank, zero_infinity
        self.reduction = reduction

    def forward(self, log_probs: Array, targets: Array, input_lengths: Any, target_lengths: Any) -> Array:
        """Return the loss of (time, batch, classes), or of one example (time, classes)."""
        xp = namespace(log_probs)
        is_one = log_probs.ndim == 2
        if is_one:
            log_probs = xp.expand_dims(log_probs, axis=1)
        batch = log_probs.shape[1]
        total = functional.logsumexp(log_probs, axis=-1, keepdims=True)
        log_probs = log_probs - (total - stop_gradient(total))  # 0, whose derivative is that of a log-softmax
        counts = as_list(target_lengths)
        if targets.ndim == 1:
            targets = _padded(targets, counts)
        lengths = [
            asarray(np.broadcast_to(np.asarray(values, np.int64), (batch,)), like=log_probs)
            for values in (as_list(input_lengths), counts)
        ]
        options: dict[str, Any] = {"blank": self.blank, "zero_infinity": self.zero_infinity}
        loss = functional.ctc(log_probs, targets, *lengths, batch_first=False, reduction=self.reduction, **options)
        return xp.squeeze(loss, axis=0) if is_one and self.reduction == "none" else loss


def as_list(lengths: Any) -> list[int]:
    """Return lengths, which may be an array, as a list."""
    found = to_numpy(lengths).tolist() if is_array(lengths) else lengths
    return [found] if isinstance(found, int) else [int(length) for length in found]


def _padded(targets: Array, lengths: list[int]) -> Array:
    """Return targets that stand one after another as rows."""
    xp, starts = namespace(targets), [sum(lengths[:i]) for i in range(len(lengths))]
    longest = max(lengths, default=0)
    rows = []
    for start, length in zip(starts, lengths, strict=True):
        filling = xp.zeros((longest - length,), dtype=targets.dtype, device=device_of(targets))
        rows.append(xp.concat([targets[start : start + length], filling]))
    return xp.stack(rows)


def _each(state: Any, change: Any) -> Any:
    """Return a state with a change made to its array, or to each of its two."""
    if state is None:
        return None
    return tuple(change(array) for array in state) if isinstance(state, (tuple, list)) else change(state)
