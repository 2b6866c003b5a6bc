"""The gates of an LSTM, each step in one pass over them; tanh stays with NumPy, which vectorizes it."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from nnx.functional import lstm
from nnx.functional.recurrent_lstm import LSTM_STEP
from nnx.kernels.numba.compiling import compiled
from nnx.kernels.numpy.recurrent import register
from nnx.kernels.numpy.recurrent_columns import LSTMSteps


@compiled
def _to_cells(gates: Any, before: Any, after: Any, half: Any) -> None:
    a, c_before, c = gates.reshape(-1), before.reshape(-1), after.reshape(-1)
    m = c.size
    for j in range(m):
        i, f, o = a[j] * half + half, a[m + j] * half + half, a[3 * m + j] * half + half
        a[j], a[m + j], a[3 * m + j] = i, f, o
        c[j] = f * c_before[j] + i * a[2 * m + j]


@compiled
def _to_rows(tanh: Any, gates: Any, rows: Any) -> None:
    m, batch = tanh.shape
    for j in range(batch):
        for k in range(m):
            rows[j, k] = tanh[k, j] * gates[3 * m + k, j]


@compiled
def _back(gates: Any, tanh: Any, before: Any, hidden: Any, cells: Any, found: Any, one: Any) -> None:
    a, t, c_before = gates.reshape(-1), tanh.reshape(-1), before.reshape(-1)
    to_h, to_c, to_gates = hidden.reshape(-1), cells.reshape(-1), found.reshape(-1)
    m = t.size
    for j in range(m):
        i, f, g, o = a[j], a[m + j], a[2 * m + j], a[3 * m + j]
        to_gates[3 * m + j] = to_h[j] * t[j] * (o * (one - o))
        to_cell = to_c[j] + to_h[j] * o * (one - t[j] * t[j])
        to_gates[j] = to_cell * g * (i * (one - i))
        to_gates[m + j] = to_cell * c_before[j] * (f * (one - f))
        to_gates[2 * m + j] = to_cell * i * ((one + g) * (one - g))
        to_c[j] = to_cell * f


class _CompiledLSTMSteps(LSTMSteps):
    """The same steps."""

    def advance(self, gates: Any, c_before: Any, c: Any, rows: Any) -> None:
        """Make gates of what tanh gave, in place, and write the states."""
        _to_cells(gates, c_before, c, self.half)
        np.tanh(c, out=self.small)
        _to_rows(self.small, gates, rows)

    def go_back(self, n: int, back: Sequence[Any], to_h: Any, to_c: Any) -> None:
        """Write the cotangents of the gates before their activation, and that of the cell state before the step."""
        _back(self.gates[n], back[2], self.cells[n], to_h, to_c, back[0], self.one)


register(lstm, lambda: LSTM_STEP, _CompiledLSTMSteps, tier="compiled")
