"""Recurrent layers over whole sequences: several layers, one or both directions, sequences of several lengths."""

from typing import Any

from nnx.initializers import Initializer
from nnx.layers.recurrent_base import Recurrent
from nnx.layers.recurrent_cells import GRUCell, LSTMCell, RNNCell
from nnx.types import DType


class LSTM(Recurrent):
    r"""Long short-term memory; the formula of a layer is that of :func:`nnx.functional.lstm`.

    Parameters
    ----------
    in_features : int or None
        Features of a step of the input; ``None`` takes it from the first one.
    hidden_features : int
        Features of the state, and of the output in one direction.
    layers : int
        How many layers; each runs over the outputs of the one below.
    bidirectional : bool
        Whether each layer runs in both directions; the outputs of both are concatenated.
    bias : bool
        Whether the cells have biases.
    dropout : float
        The probability that an element of the outputs of a layer is dropped before the next one, in training.
    forget_bias : float
        Where the bias of the forget gates starts; default 0, as in PyTorch. A start at 1 lets a network remember from
        the first step on, and often learns faster (Jozefowicz et al.).
    initializer, recurrent_initializer : Initializer, optional
        Draw the initial weights :math:`W` and :math:`R`, each gate by itself; default
        :class:`nnx.initializers.XavierNormal` and :class:`nnx.initializers.Orthogonal`. Initial biases are zero but
        for ``forget_bias``.
    rng : int or NumPy Generator, optional
        Source of the initial values; by default the system's entropy. Pass one generator to all layers.
    dtype : dtype or str
        Of the parameters; default float32.

    Attributes
    ----------
    cells : list of LSTMCell
        They hold the parameters: layer by layer, and in a layer the forward direction first.

    Raises
    ------
    ShapeError
        On a call, if the input is not of shape (batch, time, in_features) with at least one step, or a state or the
        mask does not fit.
    DTypeError
        On a call, if the dtypes differ from that of the weights, or the mask is not boolean.
    ArgumentError
        If a size is less than 1, or the dropout no probability, or ``forget_bias`` is not finite.

    Notes
    -----
    Called as ``lstm(x, state=None, mask=None)`` on x of shape (batch, time, in_features), it returns a pair:

    - the outputs of the last layer, (batch, time, directions * hidden_features);
    - the states after the last step, a pair (hidden, cell), each (layers * directions, batch, hidden_features) in the
      order of ``cells``, so that ``hidden[-1]`` is that of the last layer. Given as ``state``, they continue the
      sequence. The output alone would not do: it has no cell state, and its last step is padding in short sequences.

    A mask (batch, time), ``xp.arange(time) < lengths[:, None]`` for sequences of some lengths, is True where there is a
    step. After the end of a sequence the output is zero, and the state remains that of its last step; in the other
    direction it starts at the end of the sequence.

    Under PyTorch's initial values, uniform over :math:`\pm 1 / \sqrt{\mathrm{hidden}}`, a recurrent product shrinks a
    state by about :math:`\sqrt{3}` a step. An orthogonal weight keeps its length, so that gradients reach further back.
    For PyTorch's, pass ``nnx.initializers.Uniform(-k, k)`` as both initializers.

    Sources: S. Hochreiter and J. Schmidhuber, "Long short-term memory", Neural Computation 1997; X. Glorot and Y.
    Bengio, "Understanding the difficulty of training deep feedforward neural networks", AISTATS 2010; A. M. Saxe et
    al., "Exact solutions to the nonlinear dynamics of learning in deep linear neural networks", ICLR 2014; R.
    Jozefowicz et al., "An empirical exploration of recurrent network architectures", ICML 2015.

    Examples
    --------
    >>> import numpy as np, nnx
    >>> lstm = nnx.LSTM(3, 4, layers=2, bidirectional=True, rng=0)
    >>> y, (hidden, cell) = lstm(np.ones((2, 5, 3), np.float32))
    >>> y.shape, hidden.shape
    ((2, 5, 8), (4, 2, 4))

    Two sequences, of three and of five steps:

    >>> mask = np.arange(5) < np.asarray([[3], [5]])
    >>> y, _ = lstm(np.ones((2, 5, 3), np.float32), mask=mask)
    >>> (y[0, 3:] == 0).all()
    np.True_
    """

    _cell = LSTMCell

    def __init__(
        self,
        in_features: int | None,
        hidden_features: int,
        *,
        layers: int = 1,
        bidirectional: bool = False,
        bias: bool = True,
        dropout: float = 0.0,
        forget_bias: float = 0.0,
        initializer: Initializer | None = None,
        recurrent_initializer: Initializer | None = None,
        rng: Any = None,
        dtype: DType | str = "float32",
    ) -> None:
        super().__init__(
            in_features,
            hidden_features,
            layers=layers,
            bidirectional=bidirectional,
            dropout=dropout,
            rng=rng,
            bias=bias,
            forget_bias=forget_bias,
            initializer=initializer,
            recurrent_initializer=recurrent_initializer,
            dtype=dtype,
        )


class GRU(Recurrent):
    r"""Gated recurrent units; the formula of a layer is that of :func:`nnx.functional.gru`.

    Parameters
    ----------
    in_features : int or None
        Features of a step of the input; ``None`` takes it from the first one.
    hidden_features : int
        Features of the state, and of the output in one direction.
    layers : int
        How many layers; each runs over the outputs of the one below.
    bidirectional : bool
        Whether each layer runs in both directions; the outputs of both are concatenated.
    bias : bool
        Whether the cells have biases.
    dropout : float
        The probability that an element of the outputs of a layer is dropped before the next one, in training.
    initializer, recurrent_initializer : Initializer, optional
        Draw the initial weights :math:`W` and :math:`R`, each gate by itself; default
        :class:`nnx.initializers.XavierNormal` and :class:`nnx.initializers.Orthogonal`. Initial biases are zero.
    rng : int or NumPy Generator, optional
        Source of the initial values; by default the system's entropy. Pass one generator to all layers.
    dtype : dtype or str
        Of the parameters; default float32.

    Attributes
    ----------
    cells : list of GRUCell
        They hold the parameters: layer by layer, and in a layer the forward direction first.

    Raises
    ------
    ShapeError
        On a call, if the input is not of shape (batch, time, in_features) with at least one step, or a state or the
        mask does not fit.
    DTypeError
        On a call, if the dtypes differ from that of the weights, or the mask is not boolean.
    ArgumentError
        If a size is less than 1, or the dropout no probability.

    Notes
    -----
    Called as ``gru(x, state=None, mask=None)``, it returns the outputs and the states after the last step as
    :class:`LSTM` does, with an array (layers * directions, batch, hidden_features) for the state. The mask and the
    initial values are explained there too.

    Examples
    --------
    >>> import numpy as np, nnx
    >>> gru = nnx.GRU(3, 4, rng=0)
    >>> y, state = gru(np.ones((2, 5, 3), np.float32))
    >>> y, state = gru(np.ones((2, 6, 3), np.float32), state)  # the sequences go on
    >>> y.shape, state.shape
    ((2, 6, 4), (1, 2, 4))
    """

    _cell = GRUCell

    def __init__(
        self,
        in_features: int | None,
        hidden_features: int,
        *,
        layers: int = 1,
        bidirectional: bool = False,
        bias: bool = True,
        dropout: float = 0.0,
        initializer: Initializer | None = None,
        recurrent_initializer: Initializer | None = None,
        rng: Any = None,
        dtype: DType | str = "float32",
    ) -> None:
        super().__init__(
            in_features,
            hidden_features,
            layers=layers,
            bidirectional=bidirectional,
            dropout=dropout,
            rng=rng,
            bias=bias,
            initializer=initializer,
            recurrent_initializer=recurrent_initializer,
            dtype=dtype,
        )


class RNN(Recurrent):
    r"""Plain recurrent layers; the formula of a layer is that of :func:`nnx.functional.rnn`.

    Parameters
    ----------
    in_features : int or None
        Features of a step of the input; ``None`` takes it from the first one.
    hidden_features : int
        Features of the state, and of the output in one direction.
    layers : int
        How many layers; each runs over the outputs of the one below.
    bidirectional : bool
        Whether each layer runs in both directions; the outputs of both are concatenated.
    bias : bool
        Whether the cells have biases.
    dropout : float
        The probability that an element of the outputs of a layer is dropped before the next one, in training.
    activation : {"tanh", "relu"}
        Of all layers.
    initializer, recurrent_initializer : Initializer, optional
        Draw the initial weights :math:`W` and :math:`R`, each gate by itself; default
        :class:`nnx.initializers.XavierNormal` and :class:`nnx.initializers.Orthogonal`. Initial biases are zero.
    rng : int or NumPy Generator, optional
        Source of the initial values; by default the system's entropy. Pass one generator to all layers.
    dtype : dtype or str
        Of the parameters; default float32.

    Attributes
    ----------
    cells : list of RNNCell
        They hold the parameters: layer by layer, and in a layer the forward direction first.

    Raises
    ------
    ShapeError
        On a call, if the input is not of shape (batch, time, in_features) with at least one step, or a state or the
        mask does not fit.
    DTypeError
        On a call, if the dtypes differ from that of the weights, or the mask is not boolean.
    ArgumentError
        If a size is less than 1, or the dropout no probability, or there is no such activation.

    Notes
    -----
    Called as ``rnn(x, state=None, mask=None)``, it returns the outputs and the states after the last step as
    :class:`LSTM` does, with an array (layers * directions, batch, hidden_features) for the state. The mask and the
    initial values are explained there too.

    Examples
    --------
    >>> import numpy as np, nnx
    >>> rnn = nnx.RNN(3, 4, activation="relu", rng=0)
    >>> y, state = rnn(np.ones((2, 5, 3), np.float32))
    >>> y.shape, state.shape
    ((2, 5, 4), (1, 2, 4))
    """

    _cell = RNNCell

    def __init__(
        self,
        in_features: int | None,
        hidden_features: int,
        *,
        layers: int = 1,
        bidirectional: bool = False,
        bias: bool = True,
        dropout: float = 0.0,
        activation: str = "tanh",
        initializer: Initializer | None = None,
        recurrent_initializer: Initializer | None = None,
        rng: Any = None,
        dtype: DType | str = "float32",
    ) -> None:
        super().__init__(
            in_features,
            hidden_features,
            layers=layers,
            bidirectional=bidirectional,
            dropout=dropout,
            rng=rng,
            bias=bias,
            activation=activation,
            initializer=initializer,
            recurrent_initializer=recurrent_initializer,
            dtype=dtype,
        )
