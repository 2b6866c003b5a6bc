"""A model with another state, and with it steps of training that JAX compiles."""

import copy

import numpy as np
import pytest

import nnx
from nnx.errors import ArgumentError, CheckpointError, UsageError
from nnx.testing import assert_close

TOKENS = np.asarray([[1, 0, 2, 4, 3, 1], [4, 4, 1, 0, 2, 3]], np.int32)
IMAGES = np.random.default_rng(0).normal(size=(6, 1, 6, 6))


@pytest.fixture
def jax():
    jax = pytest.importorskip("jax", reason="JAX is not installed")
    with jax.enable_x64(True):
        yield jax


class Classifier(nnx.Module):
    """Take the last step of what a sequence was mapped to."""

    def __init__(self, *layers):
        self.layers = nnx.Model([*layers])

    def forward(self, x):
        y = self.layers(x)
        return y[:, -1, :] if y.ndim == 3 else y


class First(nnx.Module):
    """A recurrent layer without its state."""

    def __init__(self, layer):
        self.layer = layer

    def forward(self, x):
        return self.layer(x)[0]


def convolutional(rng):
    layers = [
        nnx.Conv2d(1, 4, 3, padding=1, rng=rng, dtype="float64"),
        nnx.BatchNorm2d(4, dtype="float64"),
        nnx.ReLU(),
        nnx.MaxPool2d(2),
        nnx.ChannelDropout(0.2, rng=rng),
        nnx.Flatten(),
        nnx.Dropout(0.3, rng=rng),
        nnx.Linear(36, 3, rng=rng, dtype="float64"),
    ]
    return Classifier(*layers), IMAGES


def recurrent(rng):
    layers = [
        nnx.Embedding(5, 4, rng=rng, dtype="float64"),
        First(nnx.LSTM(4, 6, rng=rng, dtype="float64")),
        nnx.Linear(6, 3, rng=rng, dtype="float64"),
    ]
    model = Classifier(*layers)
    nnx.freeze(model, "layers.1*bias*")
    return model, TOKENS


def attentive(rng):
    layers = [
        nnx.Embedding(5, 4, rng=rng, dtype="float64"),
        nnx.MultiHeadAttention(4, 2, dropout=0.3, rng=rng, dtype="float64"),
        nnx.LayerNorm(4, dtype="float64"),
        nnx.Linear(4, 3, rng=rng, dtype="float64"),
    ]
    return Classifier(*layers), TOKENS


def objective(model, x, y):
    return nnx.functional.cross_entropy(model(x), y)


def compiled_step(jax, original, hyperparameters):
    @jax.jit
    def step(state, moments, i, x, y):
        model = original.with_state(state)
        value, gradients = nnx.value_and_grad(objective)(model, x, y)
        parameters = [*model.trainable_parameters().values()]
        new, moments = nnx.AdamW.update([*gradients.values()], moments, parameters, i, hyperparameters)
        model.replace_parameters(dict(zip(gradients, new, strict=True)))
        return model.state_dict(), moments, value

    return step


@pytest.mark.parametrize("make", [convolutional, recurrent, attentive])
def test_compiled_steps_give_the_losses_of_eager_ones(make, jax):
    with nnx.use_backend("jax"):
        original, x = make(nnx.generator(0))
        x, y = jax.numpy.asarray(x), jax.numpy.asarray(np.arange(len(x)) % 3)
    optimizer = nnx.AdamW(original, 0.01, no_decay="*bias*")
    options, state, before = optimizer.hyperparameters, original.state_dict(), nnx.to_numpy(original.state_dict())
    moments = optimizer.init([*original.trainable_parameters().values()], options)
    step, losses = compiled_step(jax, original, options), []
    for i in range(5):
        state, moments, value = step(state, moments, i, x, y)
        losses.append(float(value))
    assert_close(nnx.to_numpy(original.state_dict()), before, rtol=0.0, atol=0.0)  # nothing has leaked

    eager = []
    for _ in range(5):
        value, gradients = nnx.value_and_grad(objective)(original, x, y)
        optimizer.step(gradients)
        eager.append(float(value))
    np.testing.assert_allclose(losses, eager, rtol=1e-9)
    copy.deepcopy(original).load_state_dict(state)
    trained = original.with_state(state)
    for path, value in original.state_dict().items():
        np.testing.assert_allclose(trained.state_dict()[path], value, rtol=1e-6, atol=1e-6, err_msg=path)
        assert type(trained.state_dict()[path]) is type(value)  # counters are integers of Python again


def test_each_call_of_a_compiled_function_draws_another_mask(jax):
    layer = nnx.Dropout(0.5, seed=1)

    @jax.jit
    def draw(state, x):
        model = layer.with_state(state)
        return model(x), model.state_dict()

    state, x = layer.state_dict(), jax.numpy.ones(32)
    for _ in range(3):
        y, state = draw(state, x)
        np.testing.assert_array_equal(y, layer(np.ones(32)))


def test_the_words_of_the_post_compile_too(jax):
    with nnx.use_backend("jax"):
        original = nnx.Model([nnx.Linear(2, 1, rng=0, dtype="float64")])

    @jax.jit
    def step(state, x, y):
        model, loss = original.with_state(state), nnx.MSE()
        value = loss(model(x), y)
        model.backward(loss.gradient())
        model.update(learning_rate=0.1)
        return model.state_dict(), value

    x, y = jax.numpy.ones((3, 2)), jax.numpy.ones((3, 1))
    (_, value), expected = step(original.state_dict(), x, y), nnx.functional.mse(original(x), y)
    np.testing.assert_allclose(value, expected, rtol=1e-12)
    assert original._gradients is None


def test_errors_for_a_model_that_a_compiled_function_would_change(jax):
    with nnx.use_backend("jax"):
        norm = nnx.BatchNorm1d(2, dtype="float64")
    x, advice = jax.numpy.ones((3, 2)), r"inside jax.jit call model = original.with_state\(state\)"
    with pytest.raises(UsageError, match="would keep an array that JAX has not computed yet; " + advice):
        jax.jit(lambda x: norm(x))(x)
    assert_close(nnx.to_numpy(norm.running_mean.value), np.zeros(2))
    for layer in (nnx.Dropout(seed=0), nnx.Model([nnx.Dropout(seed=0)])):
        with pytest.raises(UsageError, match="would draw the same numbers; " + advice):
            jax.jit(lambda x, layer=layer: layer(x))(x)
        assert jax.jit(lambda x, layer=layer: layer.eval()(x))(x).shape == (3, 2)
    with pytest.raises(UsageError, match="sizes that are not settled yet"):
        jax.jit(lambda x: nnx.Linear(None, 2).with_state({})(x))(x)


def test_error_for_a_seed_that_a_compiled_function_cannot_read(jax):
    draw = jax.jit(lambda seed, x: nnx.backend.uniform((2,), like=x, seed=seed, stream="s", step=0))
    with pytest.raises(ArgumentError, match=r"expected seed to be an integer of Python, got .*constant=True"):
        draw(1, jax.numpy.ones(2))


def test_a_copy_with_another_state_shares_nothing_that_changes():
    model = nnx.Model([nnx.Linear(2, 2, rng=0), nnx.BatchNorm1d(2), nnx.Dropout(seed=5)])
    model(np.ones((3, 2), np.float32))
    model.backward(np.ones((3, 2), np.float32))
    before = nnx.to_numpy(model.state_dict())
    other = {path: 3 if isinstance(value, int) else value + 1 for path, value in model.state_dict().items()}
    twin = model.with_state(other)
    assert_close(twin.state_dict(), other, rtol=0.0, atol=0.0)
    with pytest.raises(UsageError, match="no gradients yet"):
        twin.gradients()
    for _ in range(2):
        twin(np.ones((3, 2), np.float32))
    twin.append(nnx.ReLU())
    assert_close(model.state_dict(), before, rtol=0.0, atol=0.0)
    assert (other["1.running_mean"] == before["1.running_mean"] + 1).all()
    assert (twin[2].calls.value, twin[2].seed.value, model[2].calls.value, len(model.layers)) == (5, 3, 1, 3)


def test_shared_modules_and_ties_are_those_of_the_copy():
    embedding, shared = nnx.Embedding(3, 2, rng=0), nnx.BatchNorm1d(2)
    output = nnx.Linear(2, 3, bias=False)
    output.weight = nnx.Tied(embedding, "weight", transpose=True)
    model = nnx.Model([embedding, shared, shared, output])
    state = {path: 2 if isinstance(value, int) else 0 * value + 2 for path, value in model.state_dict().items()}
    twin = model.with_state(state)
    assert twin[1] is twin[2]
    assert twin[1] is not shared
    assert twin[3].weight.base is twin[0].weight
    assert (twin[3].weight == 2).all()


def test_a_state_may_be_traced_and_frozen_parameters_are_replaced():
    model = nnx.Linear(2, 1, rng=0)
    nnx.freeze(model, "bias")
    x = np.ones((3, 2), np.float32)
    state = {"weight": model.weight, "bias": np.ones(1, np.float32)}
    gradients = nnx.grad(lambda state: nnx.functional.mse(model.with_state(state)(x), x[:, :1]))(state)
    expected = nnx.grad(lambda own: nnx.functional.mse(own(x), x[:, :1]))(nnx.unfreeze(model.with_state(state)))
    assert_close(gradients, expected)


def test_torch_differentiates_a_model_with_a_state():
    torch = pytest.importorskip("torch", reason="torch is not installed")
    with nnx.use_backend("torch"):
        model = nnx.Model([nnx.Linear(2, 1, rng=0), nnx.BatchNorm1d(1)])
    x, y = torch.ones((3, 2)), torch.ones((3, 1))
    state, parameters = model.state_dict(), model.parameters()
    found = torch.func.grad(lambda p: nnx.functional.mse(model.with_state(state | p)(x), y))(parameters)
    assert_close(found, nnx.grad(lambda own: nnx.functional.mse(own(x), y))(model))


def test_errors_for_a_state_that_does_not_fit():
    model = nnx.Model([nnx.Linear(2, 1), nnx.Dropout(seed=0)])
    state = model.state_dict() | {"0.weight": np.ones((1, 2), np.float32), "extra": 1}
    del state["0.bias"], state["1.calls"]
    match = r"0\.bias: missing; 1\.calls: missing; extra: not in the model; 0\.weight: expected shape \(2, 1\), got "
    with pytest.raises(CheckpointError, match=match):
        model.with_state(state)
    with pytest.raises(CheckpointError, match=r"1\.seed: expected an integer, got 0\.5"):
        model.with_state(model.state_dict() | {"1.seed": 0.5})
