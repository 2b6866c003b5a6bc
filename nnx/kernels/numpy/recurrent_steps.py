r"""One step of each recurrent layer, and the step back, in place.

The logistic function is :math:`(1 + \tanh(x / 2)) / 2`, so that one call of tanh makes all gates of a step. The factor
1/2 is exact, and is put into copies of the weights.
"""

from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np

from nnx.kernels.numpy.recurrent_sums import Sums

_FEW = 100  # rows, up to which OpenBLAS multiplies faster, often twice, if the weight is the first factor


class Steps:
    """Gates and states of a call, time first. Without ``keeps`` there are states of two steps only.

    A subclass defines

    - ``forward(n)``, which makes the states after step n;
    - ``start_backward(together)``, which returns the arrays of a backward pass, with room for that many steps;
    - ``backward(n, at, back, to_states)``, which overwrites the cotangents of the states after step n by those before
      it, and keeps those of the products of the step at this place of the arrays;
    - ``finish_backward(back, count)``, which returns for so many steps the cotangents of the product with the input,
      in blocks of columns, and of that with the hidden state, each (count * batch, columns).
    """

    order = "C"
    factors: ClassVar[tuple[float, ...]]  # 1/2 for a logistic gate, 1 for tanh

    def __init__(self, call: Any, *, keeps: bool) -> None:
        batch, time, _ = call.x.shape
        self.size = call.recurrent_weight.shape[0]
        dtype = call.x.dtype
        self.factor = np.repeat(np.asarray(self.factors, dtype), self.size)
        self.shift = 1 - self.factor
        self.recurrent_weight = call.recurrent_weight
        self.scaled_weight = call.recurrent_weight * self.factor
        self.bias, self.recurrent_bias = (
            None if bias is None else bias * self.factor for bias in (call.bias, call.recurrent_bias)
        )
        self.gates = call.rows().dot(call.weight * self.factor).reshape((time, batch, self.factor.size))
        self.product = np.empty(self.gates.shape[1:], dtype)
        self.small = np.empty((batch, self.size), dtype)
        self.slots = [n if keeps else n % 2 for n in range(time + 1)]
        self.states = [np.empty((time + 1 if keeps else 2, batch, self.size), dtype) for _ in call.states]
        for kept, state in zip(self.states, call.states, strict=True):
            kept[0] = state

    def finish_forward(self) -> None:
        """Free what no backward pass needs."""
        del self.product, self.small, self.scaled_weight

    def before(self, n: int) -> list[Any]:
        """Return the states before step n."""
        return [state[self.slots[n]] for state in self.states]

    def after(self, n: int) -> list[Any]:
        """Return the states after step n."""
        return self.before(n + 1)

    def sums(self, wanted: Sequence[Any], args: Sequence[Any], call: Any) -> Sums:
        """Return what adds up the gradients."""
        return Sums(wanted, args, call, self)

    def hidden_rows(self, part: slice) -> Any:
        """Return the hidden state before each of some steps, (steps * batch, hidden)."""
        return self.states[0][part].reshape((-1, self.size))

    def parts(self, gates: Any) -> list[Any]:
        """Return the columns of each gate."""
        n = self.size
        return [gates[:, k * n : (k + 1) * n] for k in range(len(self.factors))]

    def multiply(self, n: int) -> Any:
        """Return the product of the hidden state before step n with its scaled weight, and the bias."""
        np.dot(self.states[0][self.slots[n]], self.scaled_weight, out=self.product)
        if self.recurrent_bias is not None:
            self.product += self.recurrent_bias
        return self.product

    def multiply_back(self, to_product: Any, out: Any) -> None:
        """Write the cotangent of the hidden state, given that of the product of it with the weight."""
        if len(to_product) > _FEW:
            np.dot(to_product, self.recurrent_weight.T, out=out)
        else:
            out[...] = self.recurrent_weight.dot(to_product.T).T

    def add_up(self, n: int) -> Any:
        """Return the gates of step n before their activation."""
        gates = self.gates[n]
        gates += self.multiply(n)
        if self.bias is not None:
            gates += self.bias
        return gates


class GRUSteps(Steps):
    """Gates r, z and the candidate."""

    factors = (0.5, 0.5, 1.0)

    def __init__(self, call: Any, *, keeps: bool) -> None:
        super().__init__(call, keeps=keeps)
        self.gated = np.empty((len(self.gates) if keeps else 1, *self.small.shape), self.small.dtype)

    def forward(self, n: int) -> None:
        """Make the states after step n."""
        gated = self.gated[n if len(self.gated) > 1 else 0]
        (h_before,), (h,) = self.before(n), self.after(n)
        self.advance(self.gates[n], self.multiply(n), gated, h_before, h)

    def advance(self, gates: Any, product: Any, gated: Any, h_before: Any, h: Any) -> None:
        """Make gates of the products, in place, keep the part of the candidate's that r gates, and write the state."""
        small, m = self.small, 2 * self.size
        if self.bias is not None:
            gates += self.bias
        logistic = gates[:, :m]
        logistic += product[:, :m]
        np.tanh(logistic, out=logistic)
        logistic *= 0.5
        logistic += 0.5
        r, z, candidate = self.parts(gates)
        gated[...] = product[:, m:]
        np.multiply(r, gated, out=small)
        candidate += small
        np.tanh(candidate, out=candidate)
        np.subtract(h_before, candidate, out=h)
        h *= z
        h += candidate

    def start_backward(self, together: int) -> list[Any]:
        """Return the cotangents of the products with the hidden state, of the candidates, and memory for one step."""
        like = (self.gates[:together], self.gated[:together], self.gated[0], self.gated[0])
        return [np.empty_like(array) for array in like]

    def backward(self, n: int, at: int, back: Sequence[Any], to_states: list[Any]) -> None:
        """Go back through step n."""
        (to_h,), (h_before,) = to_states, self.before(n)
        to_product, other = back[0][at], back[3]
        self.go_back(n, (to_product, back[1][at], back[2]), to_h, h_before)
        self.multiply_back(to_product, other)
        to_h += other

    def go_back(self, n: int, back: Sequence[Any], to_h: Any, h_before: Any) -> None:
        """Write the cotangents of the products, and that of the state before the step but for what they add to it."""
        to_product, to_candidate, small = back
        r, z, candidate = self.parts(self.gates[n])
        to_r, to_z, to_gated = self.parts(to_product)
        np.subtract(1, z, out=small)
        np.multiply(to_h, small, out=to_candidate)
        np.subtract(h_before, candidate, out=to_z)
        to_z *= to_h
        small *= z
        to_z *= small
        np.multiply(candidate, candidate, out=small)
        np.subtract(1, small, out=small)
        to_candidate *= small
        np.multiply(to_candidate, r, out=to_gated)
        np.subtract(1, r, out=small)
        np.multiply(to_gated, self.gated[n], out=to_r)  # r is in it already
        to_r *= small
        to_h *= z

    def finish_backward(self, back: Sequence[Any], count: int) -> tuple[list[Any], Any]:
        """Return the cotangents of the products; those of r and z are the same for both."""
        to_hidden, to_candidate = (part[:count].reshape((-1, part.shape[2])) for part in back[:2])
        return [to_hidden[:, : 2 * self.size], to_candidate], to_hidden


class RNNSteps(Steps):
    """The activation of the sum, tanh or relu."""

    factors = (1.0,)

    def __init__(self, call: Any, *, keeps: bool, activation: str = "tanh") -> None:
        super().__init__(call, keeps=keeps)
        self.is_tanh = activation == "tanh"

    def forward(self, n: int) -> None:
        """Make the state after step n."""
        gates, (h,) = self.add_up(n), self.after(n)
        if self.is_tanh:
            np.tanh(gates, out=h)
        else:
            np.maximum(gates, 0, out=h)

    def finish_forward(self) -> None:
        """Free what no backward pass needs: the states tell all."""
        super().finish_forward()
        del self.gates

    def start_backward(self, together: int) -> list[Any]:
        """Return the cotangents of all sums, and memory for one step."""
        (states,) = self.states
        return [np.empty_like(states[:together]), np.empty_like(states[0])]

    def backward(self, n: int, at: int, back: Sequence[Any], to_states: list[Any]) -> None:
        """Go back through step n."""
        (to_h,), (h,) = to_states, self.after(n)
        to_sum, small = back[0][at], back[1]
        if self.is_tanh:
            np.multiply(h, h, out=small)
            np.subtract(1, small, out=small)
            np.multiply(to_h, small, out=to_sum)
        else:
            np.copyto(to_sum, to_h)
            to_sum[h <= 0] = 0
        self.multiply_back(to_sum, to_h)

    def finish_backward(self, back: Sequence[Any], count: int) -> tuple[list[Any], Any]:
        """Return the cotangents of the products."""
        rows = back[0][:count].reshape((-1, self.size))
        return [rows], rows
