"""The gradients of what a recurrent layer multiplies, added up some steps at a time."""

from collections.abc import Sequence
from functools import cached_property
from typing import Any

import numpy as np

_sum = np.add.reduce


class Sums:
    """The gradients of input, weights and biases, from the cotangents of some steps at a time."""

    def __init__(self, wanted: Sequence[Any], args: Sequence[Any], call: Any, steps: Any) -> None:
        self.call, self.steps = call, steps
        self.wanted = [arg is not None and wanted[i] for i, arg in enumerate(args)]
        self.sums: list[Any] = [None] * len(args)
        batch, time, features = call.x.shape
        self.to_input = np.empty((time, batch, features), call.x.dtype) if self.wanted[0] else None

    def add(self, part: slice, back: Sequence[Any]) -> None:
        """Add those of some steps."""
        blocks, to_hidden = self.steps.finish_backward(back, part.stop - part.start)
        if self.to_input is not None:
            self.to_input[part] = self._to_input(blocks).reshape(self.to_input[part].shape)
        self._add_parameters(part, blocks, to_hidden)

    def _add_parameters(self, part: slice, blocks: Sequence[Any], to_hidden: Any) -> None:
        if self.wanted[1]:
            rows = self.input_rows(part)
            self.add_to(1, _joined([product(rows, block) for block in blocks]))
        if self.wanted[2]:
            self.add_to(2, product(self.steps.hidden_rows(part), to_hidden))
        if self.wanted[3]:
            self.add_to(3, _joined([_sum(block, 0) for block in blocks]))
        if self.wanted[4] and not (self.wanted[3] and to_hidden is blocks[0]):
            self.add_to(4, _sum(to_hidden, 0))

    def found(self) -> list[Any]:
        """Return the gradients; if both biases have the same, it was added up once."""
        if self.wanted[4] and self.sums[4] is None:
            self.sums[4] = self.sums[3].copy()
        if self.to_input is not None:
            self.sums[0] = (self.to_input[::-1] if self.call.reverse else self.to_input).swapaxes(0, 1)
        return self.sums

    @cached_property
    def _inputs(self) -> Any:
        batch, time, features = self.call.x.shape
        return self.call.rows().reshape((time, batch, features))

    def input_rows(self, part: slice) -> Any:
        """Return the input of some steps, (steps * batch, features)."""
        return self._inputs[part].reshape((-1, self._inputs.shape[2]))

    def add_to(self, i: int, value: Any) -> None:
        """Add to a gradient."""
        if self.sums[i] is None:
            self.sums[i] = value
        else:
            self.sums[i] += value

    def _to_input(self, blocks: Sequence[Any]) -> Any:
        """Return the cotangent of the input from blocks of columns of that of its product with the weight."""
        width = blocks[0].shape[1]
        rows = blocks[0] @ self.call.weight[:, :width].T
        if len(blocks) > 1:
            rows += blocks[1] @ self.call.weight[:, width:].T
        return rows


def product(rows: Any, cotangents: Any) -> Any:
    """Return the gradient of a weight; matmul does not copy parts of matrices, but is slow for a single row."""
    return rows.T.dot(cotangents) if len(rows) == 1 else rows.T @ cotangents


def _joined(parts: Sequence[Any]) -> Any:
    return parts[0] if len(parts) == 1 else np.concatenate(parts, axis=-1)
