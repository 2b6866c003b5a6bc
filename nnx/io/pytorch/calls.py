"""Layers that are called as those of PyTorch are, where nnx orders axes or arguments in another way."""

from __future__ import annotations

from typing import Any

from nnx.backend import namespace
from nnx.layers import Module
from nnx.types import Array


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
        xp = namespace(input)
        is_one = input.ndim == 2
        if is_one:
            input, hx = xp.expand_dims(input, axis=0), _each(hx, lambda state: xp.expand_dims(state, axis=1))
        elif not self.batch_first:
            input = xp.permute_dims(input, (1, 0, 2))
        outputs, state = self.layer(input, hx)
        if is_one:
            return xp.squeeze(outputs, axis=0), _each(state, lambda state: xp.squeeze(state, axis=1))
        return outputs if self.batch_first else xp.permute_dims(outputs, (1, 0, 2)), state


def _each(state: Any, change: Any) -> Any:
    """Return a state with a change made to its array, or to each of its two."""
    if state is None:
        return None
    return tuple(change(array) for array in state) if isinstance(state, (tuple, list)) else change(state)
