"""What recurrent cells and the layers made of them have in common."""

from collections.abc import Sequence
from typing import Any, ClassVar, Self

from nnx.backend import asarray, dtype_name, generator, is_array, namespace
from nnx.errors import ArgumentError, ShapeError
from nnx.functional.checks import as_integer, as_probability, counted, expect_array, expect_shape
from nnx.initializers import Initializer, Orthogonal, XavierNormal
from nnx.layers.module import Module
from nnx.layers.open_sizes import InitialValues, OpenSizeLayer
from nnx.layers.parameter import Parameter
from nnx.layers.regularization import Dropout
from nnx.layers.settling import settle_itself
from nnx.types import Array, DType

State = Any
"""An array, or for an LSTM a pair of arrays: hidden state and cell state."""


class RecurrentCell(OpenSizeLayer):
    """What the cells share: their parameters, one step, and a whole sequence."""

    in_features: int | None
    _open_size = "in_features"
    _function: ClassVar[Any]
    _gates: ClassVar[int]
    states: ClassVar[tuple[str, ...]] = ("hidden",)

    def __init__(
        self,
        in_features: int | None,
        hidden_features: int,
        bias: bool = True,
        *,
        initializer: Initializer | None = None,
        recurrent_initializer: Initializer | None = None,
        rng: Any = None,
        dtype: DType | str = "float32",
    ) -> None:
        self.hidden_features = as_integer(hidden_features, "hidden_features", 1)
        self.weight: Array | None = None
        self.recurrent_weight: Array | None = None
        self.bias: Array | bool | None = bias
        self.recurrent_bias: Array | None = None
        self.recurrent_initializer = recurrent_initializer
        self._start(in_features, InitialValues(initializer or XavierNormal(), rng, dtype))

    def _make_parameters(self, size: int, values: InitialValues) -> None:
        recurrent_initializer = self.recurrent_initializer or Orthogonal()
        self.weight = Parameter(self._drawn(values.initializer, size, values))
        self.recurrent_weight = Parameter(self._drawn(recurrent_initializer, self.hidden_features, values))
        if self.bias:
            bias = [number for number in self._initial_bias() for _ in range(self.hidden_features)]
            self.bias = Parameter(asarray(bias, dtype=values.dtype, like=values.like))
            self.recurrent_bias = Parameter(values.full((len(bias),), 0.0))
        else:
            self.bias = None

    def _drawn(self, initializer: Initializer, rows: int, values: InitialValues) -> Array:
        """Return a weight whose gates are drawn one by one, so that each of them can be orthogonal."""
        hidden = self.hidden_features
        parts = [initializer(values.rng, (rows, hidden), rows, hidden) for _ in range(self._gates)]
        return asarray(namespace(*parts).concat(parts, axis=1), dtype=values.dtype, like=values.like)

    def _initial_bias(self) -> Sequence[float]:
        return [0.0] * self._gates

    def settle(self, x: Array, *others: Any) -> Self:
        """Take the number of input features, if it is open, from an input (..., in_features)."""
        return super().settle(x)

    def _size_from(self, x: Array) -> int:
        return int(x.shape[-1]) if x.ndim else 0

    def forward(self, x: Array, state: State = None) -> State:
        """Map (batch, in_features) and the state before to the state after, (batch, hidden_features).

        One example (in_features,) has a state (hidden_features,).
        """
        expect_array(x)
        xp = namespace(x)
        if x.ndim == 1:  # one example, whose state has no batch axis either
            states = as_states(state, self.states)
            first = [None if array is None else xp.expand_dims(array, axis=0) for array in states]
            found = self.forward(xp.expand_dims(x, axis=0), first if len(first) > 1 else first[0])
            return tuple(array[0, :] for array in found) if len(first) > 1 else found[0, :]
        if x.ndim != 2 or self.in_features not in (None, x.shape[1]):
            raise ShapeError(f"expected input of shape (batch, {self.in_features}), got {tuple(x.shape)}")
        _, *after = self.over_sequence(xp.expand_dims(x, axis=1), as_states(state, self.states))
        return tuple(after) if len(after) > 1 else after[0]

    def over_sequence(
        self, x: Array, states: Sequence[Array | None], mask: Array | None = None, reverse: bool = False
    ) -> tuple[Array, ...]:
        """Return the outputs (batch, time, hidden_features) for a sequence (batch, time, in_features), and the states.

        Parameters are as those of :func:`nnx.functional.lstm` and its like.
        """
        if not self.is_settled:
            settle_itself(self, (x,), {})
        arrays = (x, self.weight, self.recurrent_weight, self.bias, self.recurrent_bias, *states, mask)
        return self._function(*arrays, reverse=reverse, **self._options())

    def _options(self) -> dict[str, Any]:
        return {}


class Recurrent(Module):
    """What the recurrent layers share: a cell for each layer and direction, one after the other over the sequence."""

    _cell: ClassVar[type[RecurrentCell]]

    def __init__(
        self,
        in_features: int | None,
        hidden_features: int,
        *,
        layers: int,
        bidirectional: bool,
        dropout: float,
        rng: Any,
        **options: Any,
    ) -> None:
        self.hidden_features = as_integer(hidden_features, "hidden_features", 1)
        self.layers = as_integer(layers, "layers", 1)
        self.bidirectional = bool(bidirectional)
        as_probability(dropout, "dropout")
        rng = generator(rng)
        directions = 2 if bidirectional else 1
        sizes = [in_features] * directions + [directions * hidden_features] * (directions * (layers - 1))
        self.cells = [self._cell(size, hidden_features, rng=rng, **options) for size in sizes]
        self.between = Dropout(dropout, rng=rng) if dropout else None

    def forward(self, x: Array, state: State = None, mask: Array | None = None) -> tuple[Array, State]:
        """Map (batch, time, in_features) to the outputs of the last layer, and the states after the last step."""
        directions = len(self.cells) // self.layers
        before = self._states_of_cells(x, state)
        after = []
        for layer in range(self.layers):
            if layer and self.between is not None:
                x = self.between(x)
            outputs = []
            for k in range(layer * directions, (layer + 1) * directions):
                y, *last = self.cells[k].over_sequence(x, before[k], mask, reverse=k % directions == 1)
                outputs.append(y)
                after.append(last)
            x = outputs[0] if directions == 1 else namespace(*outputs).concat(outputs, axis=-1)
        states = [namespace(*parts).stack(parts, axis=0) for parts in zip(*after, strict=True)]
        return x, tuple(states) if len(states) > 1 else states[0]

    def _states_of_cells(self, x: Array, state: State) -> list[list[Array | None]]:
        expect_array(x)
        arrays = as_states(state, self._cell.states)
        shape = (len(self.cells), x.shape[0] if x.ndim else 0, self.hidden_features)
        for name, array in zip(self._cell.states, arrays, strict=True):
            if array is not None:
                expect_array(array, name)
                expect_shape(array, shape, name, "one for each layer and direction, and each example")
        return [[None if array is None else array[k, :, :] for array in arrays] for k in range(len(self.cells))]

    def _current_arguments(self) -> dict[str, Any]:
        first = self.cells[0]
        found: dict[str, Any] = {"in_features": first.in_features}
        found["dropout"] = 0.0 if self.between is None else self.between.probability
        if first.weight is not None:  # its size is settled
            found |= {"bias": first.bias is not None, "dtype": dtype_name(first.weight.dtype)}
        return found


def as_states(state: State, names: Sequence[str]) -> list[Array | None]:
    """Return the arrays of a state, or ``None`` for each if there is none."""
    if state is None:
        return [None] * len(names)
    if len(names) == 1:
        return [state]
    if not isinstance(state, (tuple, list)) or len(state) != len(names):
        got = (
            f"{len(state)} of them"
            if isinstance(state, (tuple, list))
            else "one array"
            if is_array(state)
            else f"a {type(state).__name__}"
        )
        raise ArgumentError(f"expected a state ({', '.join(names)}) of {counted(len(names), 'array')}, got {got}")
    return list(state)
