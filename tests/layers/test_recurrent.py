import numpy as np
import pytest
from rows.recurrent import WEIGHTS, of_torch

import nnx
from nnx.errors import ArgumentError, DTypeError, ShapeError
from nnx.testing import assert_close

X = np.random.default_rng(0).normal(size=(3, 5, 2))
LAYERS = [nnx.RNN, nnx.LSTM, nnx.GRU]
CELLS = [nnx.RNNCell, nnx.LSTMCell, nnx.GRUCell]


def each(classes):
    return pytest.mark.parametrize("kind", classes, ids=lambda kind: kind.__name__)


@each(LAYERS)
@pytest.mark.parametrize("lengths", [None, (2, 5, 1)])
def test_layers_and_directions_like_pytorch(kind, lengths):
    torch = pytest.importorskip("torch", reason="torch is not installed")
    layer = kind(2, 3, layers=3, bidirectional=True, rng=0, dtype="float64")
    mask = None if lengths is None else np.arange(5) < np.asarray(lengths)[:, None]
    y, state = layer(X, mask=mask)
    p = {path: torch.tensor(value, requires_grad=True) for path, value in layer.parameters().items()}
    weights = [[p[f"cells.{k}.{name}"] for name in WEIGHTS] for k in range(6)]
    x = torch.tensor(X, requires_grad=True)
    name = kind.__name__.lower()
    expected, *last = of_torch(torch, name, x, weights, None, None if mask is None else torch.tensor(mask), 3, True)
    assert_close(y, expected.detach().numpy(), rtol=1e-10)
    assert_close(state if name == "lstm" else (state,), tuple(part.detach().numpy() for part in last), rtol=1e-10)
    gradients = nnx.grad(lambda layer: nnx.functional.mse(layer(X, mask=mask)[0], np.ones_like(y)))(layer)
    torch.nn.functional.mse_loss(expected, torch.ones_like(expected)).backward()
    assert_close(gradients, {path: value.grad.numpy() for path, value in p.items()}, rtol=1e-9)


def test_a_state_goes_on(xp):
    with nnx.use_backend(xp.spec):
        layer = nnx.LSTM(2, 3, layers=2, rng=0, dtype="float64").eval()
    x = xp.asarray(X, "float64")
    whole, last = layer(x)
    first, state = layer(x[:, :2, :])
    second, found = layer(x[:, 2:, :], state)
    assert_close(whole, nnx.namespace(x).concat([first, second], axis=1))
    assert_close(found, last)


@each(LAYERS)
def test_cells_are_the_steps_of_a_layer(kind):
    layer = kind(2, 3, rng=0, dtype="float64").eval()
    y, last = layer(X)
    state = None
    for t in range(5):
        state = layer.cells[0](X[:, t], state)
        assert_close(state[0] if kind is nnx.LSTM else state, y[:, t])
    expected = [part[0] for part in last] if kind is nnx.LSTM else last[0]
    assert_close(list(state) if kind is nnx.LSTM else state, expected)


@each(LAYERS)
def test_initial_values(kind):
    gates = {nnx.RNN: 1, nnx.LSTM: 4, nnx.GRU: 3}[kind]
    cell = kind(300, 200, rng=0, dtype="float64").cells[0]
    assert abs(cell.weight.std() - np.sqrt(2 / (300 + 200))) < 1e-3
    for gate in np.split(cell.recurrent_weight, gates, axis=1):
        assert_close(gate @ gate.T, np.eye(200), atol=1e-12)
    assert not cell.bias.any()
    assert not cell.recurrent_bias.any()
    other = kind(2, 3, initializer=nnx.initializers.Constant(2.0), recurrent_initializer=nnx.initializers.Constant(3.0))
    assert (other.cells[0].weight == 2).all()
    assert (other.cells[0].recurrent_weight == 3).all()


def test_forget_bias():
    layer = nnx.LSTM(2, 3, layers=2, forget_bias=1.0)
    for cell in layer.cells:
        assert_close(cell.bias, np.repeat(np.asarray([0, 1, 0, 0], np.float32), 3))
    with pytest.raises(ArgumentError, match="expected a finite forget_bias, got nan"):
        nnx.LSTM(2, 3, forget_bias=float("nan"))


@each(LAYERS)
def test_an_open_size_is_that_of_the_first_input(xp, kind):
    with nnx.use_backend(xp.spec):
        layer = kind(None, 3, layers=2, bidirectional=True, rng=0, dtype="float64")
        closed = kind(2, 3, layers=2, bidirectional=True, rng=0, dtype="float64")
    assert layer.config()["in_features"] is None
    y, _ = layer(xp.asarray(X, "float64"))
    assert y.shape == (3, 5, 6)
    assert layer.config() == closed.config()
    assert [tuple(p.shape) for p in layer.parameters().values()] == [
        tuple(p.shape) for p in closed.parameters().values()
    ]


@each(CELLS)
def test_an_open_size_of_a_cell(kind):
    cell = kind(None, 3)
    cell(np.ones((4, 2), np.float32), None)
    assert cell.in_features == 2


@each(LAYERS)
def test_configuration_after_a_change_of_dtype(kind):
    layer = kind(2, 3, bias=False, dropout=0.5, layers=2).to(dtype="float64")
    config = layer.config()
    assert (config["bias"], config["dropout"], config["dtype"]) == (False, 0.5, "float64")
    assert nnx.from_config(config).parameters().keys() == layer.parameters().keys()


def test_dropout_between_layers():
    layer = nnx.LSTM(2, 50, layers=2, dropout=0.5, rng=0, dtype="float64")
    evaluated, _ = layer.eval()(X)
    layer.train()
    (first, _), (second, _) = layer(X), layer(X)
    assert not np.allclose(first, second)
    assert not np.allclose(first, evaluated)
    certain = nnx.LSTM(2, 50, layers=2, rng=0, dtype="float64")
    certain.load_state_dict(layer.state_dict(), strict=False)
    assert_close(certain(X)[0], evaluated)


def test_a_model_around_it():
    class Last(nnx.Module):
        def __init__(self):
            self.lstm = nnx.LSTM(2, 8, forget_bias=1.0, rng=0)
            self.out = nnx.Linear(8, 1, rng=1)

        def forward(self, x):
            _, (hidden, _) = self.lstm(x)
            return self.out(hidden[-1, :, :])

    model = Last()
    rng = np.random.default_rng(0)
    x = rng.normal(size=(64, 6, 2)).astype(np.float32)
    target = x[:, 0, :1]  # to be remembered over five steps
    losses = []
    for _ in range(250):
        loss, gradients = nnx.value_and_grad(lambda model: nnx.functional.mse(model(x), target))(model)
        losses.append(float(loss))
        model.replace_parameters({path: w - 0.5 * gradients[path] for path, w in model.parameters().items()})
    assert losses[-1] < 0.2 * losses[0]


@each(LAYERS)
def test_what_a_layer_refuses(xp, kind):
    with nnx.use_backend(xp.spec):
        layer = kind(2, 3, layers=2)
        model = nnx.Model([layer])
    x = xp.asarray(X, "float32")
    zeros = lambda *shape: xp.asarray(np.zeros(shape), "float32")  # noqa: E731
    state = lambda *shape: (zeros(*shape), zeros(*shape)) if kind is nnx.LSTM else zeros(*shape)  # noqa: E731
    name = kind.__name__
    with pytest.raises(ShapeError, match=rf"{name} '0': expected input of shape \(batch, time, 2\), got \(3, 5, 4\)"):
        model(zeros(3, 5, 4))
    with pytest.raises(
        ShapeError,
        match=rf"{name}: expected hidden of shape \(2, 3, 3\), one for each layer and direction, .*, got \(1, 3, 3\)",
    ):
        layer(x, state(1, 3, 3))
    with pytest.raises(ShapeError, match=r"expected hidden of shape \(2, 3, 3\), .*, got \(2, 3, 4\)"):
        layer(x, state(2, 3, 4))
    with pytest.raises(
        ShapeError, match=r"expected mask of shape \(3, 5\), \(batch, time\) of the input, got \(3, 4\)"
    ):
        layer(x, mask=xp.asarray(np.ones((3, 4)), "bool"))
    with pytest.raises(DTypeError, match=r"expected a boolean mask, True where a step is taken, got int64"):
        layer(x, mask=xp.asarray([5, 5, 5], "int64"))
    with pytest.raises(DTypeError, match=rf"{name}: expected an array, got None"):
        layer(None)


def test_a_state_of_the_wrong_kind():
    lstm = nnx.LSTM(2, 3)
    one = np.zeros((1, 3, 3), np.float32)
    with pytest.raises(ArgumentError, match=r"LSTM: expected a state \(hidden, cell\) of 2 arrays, got one array"):
        lstm(X.astype(np.float32), one)
    with pytest.raises(ArgumentError, match=r"LSTM: expected a state \(hidden, cell\) of 2 arrays, got 3 of them"):
        lstm(X.astype(np.float32), (one, one, one))
    with pytest.raises(DTypeError, match=r"GRU: expected hidden to be an array, got tuple"):
        nnx.GRU(2, 3)(X.astype(np.float32), (one, one))


@each(CELLS)
def test_what_a_cell_refuses(kind):
    cell = kind(2, 3)
    x = np.ones((4, 2), np.float32)
    wrong = np.ones((4, 2), np.float32)
    with pytest.raises(ShapeError, match=r"expected hidden of shape \(4, 3\), .*, got \(4, 2\)"):
        cell(x, (wrong, wrong) if kind is nnx.LSTMCell else wrong)
    with pytest.raises(ShapeError, match=r"Cell: expected input of shape \(batch, 2\), got \(1, 4, 2\)"):
        cell(x[None])
    with pytest.raises(ArgumentError, match="expected hidden_features to be an integer of at least 1, got 0"):
        kind(2, 0)


@each(LAYERS)
def test_arguments(kind):
    with pytest.raises(ArgumentError, match="expected layers to be an integer of at least 1, got 0"):
        kind(2, 3, layers=0)
    with pytest.raises(ArgumentError, match=r"expected dropout in \[0, 1\], got 2"):
        kind(2, 3, dropout=2)
    with pytest.raises(ArgumentError, match="expected in_features to be an integer of at least 1, got 0"):
        kind(0, 3)
    with pytest.raises(ArgumentError, match="expected activation to be one of 'tanh', 'relu', got 'elu'"):
        nnx.RNN(2, 3, activation="elu")
