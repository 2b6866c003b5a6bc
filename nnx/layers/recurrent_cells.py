"""Recurrent cells: the parameters of one layer in one direction, and a single step with them."""

from collections.abc import Sequence
from typing import Any

from nnx import functional
from nnx.functional.checks import as_finite, expect_choice
from nnx.initializers import Initializer
from nnx.layers.recurrent_base import RecurrentCell
from nnx.types import DType


class RNNCell(RecurrentCell):
    r"""One step of a plain recurrent layer: :math:`h' = \tanh(x W + b + h R + b_R)`.

    Parameters
    ----------
    in_features : int or None
        Length of an input; ``None`` takes it from the first one.
    hidden_features : int
        Length of the state.
    bias : bool
        Whether to add :math:`b` and :math:`b_R`.
    activation : {"tanh", "relu"}
        What takes the place of :math:`\tanh`.
    initializer, recurrent_initializer : Initializer, optional
        Draw the initial :math:`W` and :math:`R`, each gate by itself; defaults and reasons as for :class:`nnx.LSTM`.
        Initial biases are zero.
    rng : int or NumPy Generator, optional
        Source of the initial values; by default the system's entropy. Pass one generator to all layers.
    dtype : dtype or str
        Of the parameters; default float32.

    Attributes
    ----------
    weight : array, shape (in_features, hidden_features)
    recurrent_weight : array, shape (hidden_features, hidden_features)
    bias, recurrent_bias : array, shape (hidden_features,), or None

    Raises
    ------
    ShapeError
        On a call, if the input is not of shape (batch, in_features), or a state not (batch, hidden_features).
    DTypeError
        On a call, if the dtypes differ from that of the weights.
    ArgumentError
        If a size is less than 1, or there is no such activation.

    Notes
    -----
    Called as ``cell(x, state=None)``, it returns the state after the step. See :func:`nnx.functional.rnn`.

    Examples
    --------
    >>> import numpy as np, nnx
    >>> cell = nnx.RNNCell(3, 4, rng=0)
    >>> state = None
    >>> for x in np.ones((5, 2, 3), np.float32):
    ...     state = cell(x, state)
    >>> state.shape
    (2, 4)
    """

    _function = functional.rnn
    _gates = 1

    def __init__(
        self,
        in_features: int | None,
        hidden_features: int,
        bias: bool = True,
        *,
        activation: str = "tanh",
        initializer: Initializer | None = None,
        recurrent_initializer: Initializer | None = None,
        rng: Any = None,
        dtype: DType | str = "float32",
    ) -> None:
        expect_choice(activation, ("tanh", "relu"), "activation")
        self.activation = activation
        options: dict[str, Any] = {"initializer": initializer, "recurrent_initializer": recurrent_initializer}
        super().__init__(in_features, hidden_features, bias, rng=rng, dtype=dtype, **options)

    def _options(self) -> dict[str, Any]:
        return {"activation": self.activation}


class LSTMCell(RecurrentCell):
    r"""One step of an LSTM; the formula is that of :func:`nnx.functional.lstm`.

    Parameters
    ----------
    in_features : int or None
        Length of an input; ``None`` takes it from the first one.
    hidden_features : int
        Length of the state.
    bias : bool
        Whether to add :math:`b` and :math:`b_R`.
    forget_bias : float
        Where the bias :math:`b` of the forget gate starts; default 0. A start at 1 lets a network remember from the
        first step on.
    initializer, recurrent_initializer : Initializer, optional
        Draw the initial :math:`W` and :math:`R`, each gate by itself; defaults and reasons as for :class:`nnx.LSTM`.
        Initial biases are zero.
    rng : int or NumPy Generator, optional
        Source of the initial values; by default the system's entropy. Pass one generator to all layers.
    dtype : dtype or str
        Of the parameters; default float32.

    Attributes
    ----------
    weight : array, shape (in_features, 4 * hidden_features)
    recurrent_weight : array, shape (hidden_features, 4 * hidden_features)
    bias, recurrent_bias : array, shape (4 * hidden_features,), or None

    Raises
    ------
    ShapeError
        On a call, if the input is not of shape (batch, in_features), or a state not (batch, hidden_features).
    DTypeError
        On a call, if the dtypes differ from that of the weights.
    ArgumentError
        If a size is less than 1, or ``forget_bias`` is not finite.

    Notes
    -----
    Called as ``cell(x, state=None)`` with a pair of states (hidden, cell), it returns the pair after the step.

    Examples
    --------
    >>> import numpy as np, nnx
    >>> cell = nnx.LSTMCell(3, 4, rng=0)
    >>> hidden, memory = cell(np.ones((2, 3), np.float32))
    >>> hidden, memory = cell(np.ones((2, 3), np.float32), (hidden, memory))
    >>> hidden.shape, memory.shape
    ((2, 4), (2, 4))
    """

    _function = functional.lstm
    _gates = 4
    states = ("hidden", "cell")

    def __init__(
        self,
        in_features: int | None,
        hidden_features: int,
        bias: bool = True,
        *,
        forget_bias: float = 0.0,
        initializer: Initializer | None = None,
        recurrent_initializer: Initializer | None = None,
        rng: Any = None,
        dtype: DType | str = "float32",
    ) -> None:
        self.forget_bias = as_finite(forget_bias, "forget_bias")
        options: dict[str, Any] = {"initializer": initializer, "recurrent_initializer": recurrent_initializer}
        super().__init__(in_features, hidden_features, bias, rng=rng, dtype=dtype, **options)

    def _initial_bias(self) -> Sequence[float]:
        return [0.0, self.forget_bias, 0.0, 0.0]


class GRUCell(RecurrentCell):
    r"""One step of a gated recurrent unit; the formula is that of :func:`nnx.functional.gru`.

    Parameters
    ----------
    in_features : int or None
        Length of an input; ``None`` takes it from the first one.
    hidden_features : int
        Length of the state.
    bias : bool
        Whether to add :math:`b` and :math:`b_R`.
    initializer, recurrent_initializer : Initializer, optional
        Draw the initial :math:`W` and :math:`R`, each gate by itself; defaults and reasons as for :class:`nnx.LSTM`.
        Initial biases are zero.
    rng : int or NumPy Generator, optional
        Source of the initial values; by default the system's entropy. Pass one generator to all layers.
    dtype : dtype or str
        Of the parameters; default float32.

    Attributes
    ----------
    weight : array, shape (in_features, 3 * hidden_features)
    recurrent_weight : array, shape (hidden_features, 3 * hidden_features)
    bias, recurrent_bias : array, shape (3 * hidden_features,), or None

    Raises
    ------
    ShapeError
        On a call, if the input is not of shape (batch, in_features), or a state not (batch, hidden_features).
    DTypeError
        On a call, if the dtypes differ from that of the weights.
    ArgumentError
        If a size is less than 1.

    Notes
    -----
    Called as ``cell(x, state=None)``, it returns the state after the step.

    Examples
    --------
    >>> import numpy as np, nnx
    >>> cell = nnx.GRUCell(3, 4, rng=0)
    >>> state = cell(np.ones((2, 3), np.float32))
    >>> cell(np.ones((2, 3), np.float32), state).shape
    (2, 4)
    """

    _function = functional.gru
    _gates = 3
