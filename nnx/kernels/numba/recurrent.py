"""The gates of an LSTM and of a GRU, each step in one pass over them; tanh stays with NumPy, which vectorizes it."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from nnx.functional import gru, lstm
from nnx.functional.recurrent_gru import GRU_STEP
from nnx.functional.recurrent_lstm import LSTM_STEP
from nnx.kernels.numba.compiling import compiled
from nnx.kernels.numpy.recurrent import register
from nnx.kernels.numpy.recurrent_columns import LSTMSteps
from nnx.kernels.numpy.recurrent_steps import GRUSteps


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


@compiled
def _to_sums(gates: Any, product: Any, bias: Any) -> None:
    for b in range(len(gates)):
        for k in range(gates.shape[1] // 3 * 2):
            gates[b, k] += product[b, k] + bias[k]


@compiled
def _to_candidates(gates: Any, product: Any, bias: Any, recurrent_bias: Any, gated: Any, half: Any) -> None:
    m = gated.shape[1]
    for b in range(len(gates)):
        for k in range(2 * m):
            gates[b, k] = gates[b, k] * half + half
        for k in range(m):
            gated[b, k] = product[b, 2 * m + k] + recurrent_bias[k]
        for k in range(m):
            gates[b, 2 * m + k] += bias[2 * m + k] + gates[b, k] * gated[b, k]


@compiled
def _to_states(gates: Any, before: Any, after: Any) -> None:
    m = after.shape[1]
    for b in range(len(after)):
        for k in range(m):
            candidate = gates[b, 2 * m + k]
            after[b, k] = (before[b, k] - candidate) * gates[b, m + k] + candidate


@compiled
def _back_to_states(
    gates: Any, gated: Any, before: Any, to_h: Any, to_product: Any, to_candidate: Any, one: Any
) -> None:
    m = gated.shape[1]
    for b in range(len(gates)):
        for k in range(m):
            r, z, candidate = gates[b, k], gates[b, m + k], gates[b, 2 * m + k]
            inner = to_h[b, k] * (one - z) * (one - candidate * candidate)
            to_product[b, m + k] = (before[b, k] - candidate) * to_h[b, k] * (z * (one - z))
            to_product[b, 2 * m + k] = inner * r
            to_product[b, k] = inner * gated[b, k] * (r * (one - r))
            to_candidate[b, k] = inner
            to_h[b, k] *= z


class _CompiledGRUSteps(GRUSteps):
    """The same steps; a bias that is not given is zero, and those of the products are added in the loops."""

    def __init__(self, call: Any, *, keeps: bool) -> None:
        super().__init__(call, keeps=keeps)
        size, dtype = self.size, self.gates.dtype
        self.half, self.one = dtype.type(0.5), dtype.type(1)
        outer, inner = (
            np.zeros(3 * size, dtype) if bias is None else bias for bias in (self.bias, self.recurrent_bias)
        )
        self.of_candidate, self.recurrent_bias = inner[2 * size :], None
        self.bias = outer.copy()
        self.bias[: 2 * size] += inner[: 2 * size]

    def advance(self, gates: Any, product: Any, gated: Any, h_before: Any, h: Any) -> None:
        """Make gates of the products, in place, keep the part of the candidate's that r gates, and write the state."""
        _to_sums(gates, product, self.bias)
        logistic, candidate = gates[:, : 2 * self.size], gates[:, 2 * self.size :]
        np.tanh(logistic, out=logistic)
        _to_candidates(gates, product, self.bias, self.of_candidate, gated, self.half)
        np.tanh(candidate, out=candidate)
        _to_states(gates, h_before, h)

    def go_back(self, n: int, back: Sequence[Any], to_h: Any, h_before: Any) -> None:
        """Write the cotangents of the products, and that of the state before the step but for what they add to it."""
        _back_to_states(self.gates[n], self.gated[n], h_before, to_h, *back[:2], self.one)


register(gru, lambda: GRU_STEP, _CompiledGRUSteps, tier="compiled")
