"""The steps of an LSTM, with the examples of a batch along the last axis.

The product of a step then is that of the transposed weight with the transposed state, which OpenBLAS makes faster than
the state times the weight, for few examples twice as fast; and each gate of a step is one piece of memory. The logistic
function is made of tanh as in the steps of the other layers.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

from nnx.kernels.numpy.recurrent_sums import Sums, product

_JOINED = 16  # examples, from which the input is multiplied at each step, in one product with the hidden state
_FEW_STEPS = 8  # for which it does not pay to store the weight transposed
_SMALL = 1 << 20  # multiplications, below which OpenBLAS has kernels that do not copy, for which it does not either
_MANY = 256  # rows of all steps, from which it pays to transpose the gradient of the weights at the end
_APART = 16  # elements between rows of a large matrix
_STRIP = 8  # rows of a matrix that are transposed at once: a cache holds what they are written to


class LSTMSteps:
    """Gates i, f, g, o, each (hidden, batch).

    ``rows`` has the factors of the product of each step, (batch, hidden + 1 + features): the hidden state before it,
    one, which is multiplied with the bias, and the input. For few examples the input is left out: its product for all
    steps at once is faster, and is ``apart``.
    """

    order = "F"

    def __init__(self, call: Any, *, keeps: bool) -> None:
        batch, time, features = call.x.shape
        dtype, size = call.x.dtype, call.recurrent_weight.shape[0]
        self.size, self.keeps = size, keeps
        self.half, self.one = dtype.type(0.5), dtype.type(1)
        self.recurrent_weight = call.recurrent_weight
        factor = np.repeat(np.asarray((0.5, 0.5, 1.0, 0.5), dtype), size)
        biases = [bias for bias in (call.bias, call.recurrent_bias) if bias is not None]
        stacked = [call.recurrent_weight, np.asarray(sum(biases, np.zeros(4 * size, dtype)))[None]]
        inputs = call.rows()
        self.inputs = self.apart = None
        if batch < _JOINED:
            self.apart = inputs.dot(call.weight * factor).reshape((time, batch, 4 * size))
        else:
            self.inputs = inputs.reshape((time, batch, features))
            stacked.append(call.weight)
        weight = np.concatenate(stacked)
        weight *= factor
        is_small = batch * weight.size < _SMALL or time < _FEW_STEPS
        self.weight = weight.T if is_small else _transposed(weight)
        slots = time + 1 if keeps else 2
        self.slots = [n % slots for n in range(time + 1)]
        self.rows = np.empty((slots, batch, len(weight)), dtype)
        self.rows[0, :, :size], self.rows[:, :, size] = call.states[0], 1
        self.cells = np.empty((slots, size, batch), dtype)
        self.cells[0] = call.states[1].T
        self.gates = np.empty((time if keeps else 1, 4 * size, batch), dtype)
        self.small = np.empty((size, batch), dtype)

    def forward(self, n: int) -> None:
        """Make the states after step n."""
        now, then = self.slots[n], self.slots[n + 1]
        gates, rows = self.gates[n if self.keeps else 0], self.rows[now]
        if self.inputs is not None:
            rows[:, self.size + 1 :] = self.inputs[n]
        np.dot(self.weight, rows.T, out=gates)
        if self.apart is not None:
            gates += self.apart[n].T
        np.tanh(gates, out=gates)
        self.advance(gates, self.cells[now], self.cells[then], self.rows[then])

    def advance(self, gates: Any, c_before: Any, c: Any, rows: Any) -> None:
        """Make gates of what tanh gave, in place, and write the states."""
        size, small = self.size, self.small
        for logistic in (gates[: 2 * size], gates[3 * size :]):
            logistic *= self.half
            logistic += self.half
        i, f, g, o = self.parts(gates)
        np.multiply(f, c_before, out=c)
        np.multiply(i, g, out=small)
        c += small
        np.tanh(c, out=small)
        small *= o
        rows[:, :size] = small.T

    def finish_forward(self) -> None:
        """Free what no backward pass needs."""
        del self.weight, self.apart, self.inputs, self.small

    def before(self, n: int) -> list[Any]:
        """Return the states before step n, (batch, hidden)."""
        slot = self.slots[n]
        return [self.rows[slot][:, : self.size], self.cells[slot].T]

    def after(self, n: int) -> list[Any]:
        """Return the states after step n."""
        return self.before(n + 1)

    def sums(self, wanted: Sequence[Any], args: Sequence[Any], call: Any) -> Sums:
        """Return what adds up the gradients."""
        return _SumsOfColumns(wanted, args, call, self)

    def parts(self, gates: Any) -> list[Any]:
        """Return each gate."""
        n = self.size
        return [gates[k * n : (k + 1) * n] for k in range(4)]

    def start_backward(self, together: int) -> list[Any]:
        """Return the cotangents of the gates of some steps, (gates, steps * batch), and memory for one step.

        Rows that lie a power of two apart would fall on the same lines of a cache.
        """
        _, width, batch = self.gates.shape
        dtype = self.gates.dtype
        some = np.empty((width, together * batch + _APART), dtype)
        return [some, *(np.empty((rows, batch), dtype) for rows in (width, width, self.size))]

    def backward(self, n: int, at: int, back: Sequence[Any], to_states: list[Any]) -> None:
        """Go back through step n."""
        to_h, to_c = (part.T for part in to_states)
        np.tanh(self.cells[n + 1], out=back[3])
        self.go_back(n, back[1:], to_h, to_c)
        batch = to_h.shape[1]
        back[0][:, at * batch : (at + 1) * batch] = back[1]
        np.dot(self.recurrent_weight, back[1], out=to_h)

    def go_back(self, n: int, back: Sequence[Any], to_h: Any, to_c: Any) -> None:
        """Write the cotangents of the gates before their activation, and that of the cell state before the step."""
        to_gates, slope, small = back
        gates, one = self.gates[n], self.one
        i, f, g, o = self.parts(gates)
        to_i, to_f, to_g, to_o = self.parts(to_gates)
        np.multiply(to_h, small, out=to_o)
        small *= small
        np.subtract(one, small, out=small)
        small *= o
        small *= to_h
        to_c += small
        np.multiply(to_c, g, out=to_i)
        np.multiply(to_c, self.cells[n], out=to_f)
        np.multiply(to_c, i, out=to_g)
        to_c *= f
        np.subtract(one, gates, out=slope)  # a (1 - a) of a logistic gate, (1 + a) (1 - a) of the candidate
        to_gates *= slope
        np.copyto(slope, gates)
        slope[2 * self.size : 3 * self.size] += one
        to_gates *= slope

    def finish_backward(self, back: Sequence[Any], count: int) -> tuple[list[Any], Any]:
        """Return the cotangents of the products."""
        rows = back[0][:, : count * self.gates.shape[2]].T
        return [rows], rows


class _SumsOfColumns(Sums):
    """Gradients by one product: ``rows`` of the steps has all that is multiplied with weights and biases."""

    total: Any = None  # of the stacked weights, for many rows transposed, since OpenBLAS is faster at that

    def _add_parameters(self, part: slice, blocks: Sequence[Any], to_hidden: Any) -> None:
        all_rows, size = self.steps.rows, self.steps.size
        self.is_turned, has_input = all_rows.size > _MANY * all_rows.shape[2], all_rows.shape[2] > size + 1
        if not any(self.wanted[1:5]):
            return
        rows = all_rows[part].reshape((-1, all_rows.shape[2]))
        value = product(blocks[0], rows) if self.is_turned else product(rows, blocks[0])
        self.total = value if self.total is None else np.add(self.total, value, out=self.total)
        if self.wanted[1] and not has_input:
            self.add_to(1, product(self.input_rows(part), blocks[0]))

    def found(self) -> list[Any]:
        """Return the gradients."""
        if self.total is not None:
            total, size = _transposed(self.total) if self.is_turned else self.total, self.steps.size
            parts = (total[size + 1 :], total[:size], total[size], total[size].copy())
            for i, part in enumerate(parts, 1):
                if self.wanted[i] and self.sums[i] is None:
                    self.sums[i] = part
        return super().found()


def _transposed(matrix: Any) -> Any:
    """Return the transposed matrix, stored by rows."""
    found = np.empty(matrix.shape[::-1], matrix.dtype)
    for start in range(0, len(matrix), _STRIP):
        found[:, start : start + _STRIP] = matrix[start : start + _STRIP].T
    return found
