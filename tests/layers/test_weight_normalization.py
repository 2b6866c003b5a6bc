import numpy as np
import pytest

import nnx
from nnx.errors import ArgumentError, ShapeError
from nnx.testing import assert_close

X = np.random.default_rng(0).normal(size=(5, 3)).astype(np.float32)


@pytest.mark.parametrize(
    ("make", "x"),
    [
        (lambda: nnx.Linear(3, 2, rng=0), X),
        (lambda: nnx.Conv1d(3, 4, 2, rng=0), X[:, :, None] * np.ones(6, np.float32)),
    ],
)
def test_weight_norm_starts_with_what_the_layer_computes(make, x):
    for axes in (None, 0, (0, 1), ()):
        assert_close(nnx.WeightNorm(make(), axes=axes)(x), make()(x), rtol=1e-5)
    wrapped = nnx.WeightNorm(make())
    assert wrapped.magnitude.shape == wrapped.layer.bias.shape


def test_a_longer_direction_is_the_same_weight():
    wrapped = nnx.WeightNorm(nnx.Linear(3, 2, rng=0))
    before = wrapped(X)
    wrapped.layer.weight = 7.0 * wrapped.layer.weight
    assert_close(wrapped(X), before, rtol=1e-5)
    gradients = nnx.grad(lambda model: nnx.functional.mse(model(X), before + 1.0))(wrapped)
    along = np.sum(gradients["layer.weight"] * wrapped.layer.weight, axis=0)
    np.testing.assert_allclose(along, 0.0, atol=1e-6)


def test_spectral_norm_of_the_computed_weight_is_one():
    for iterations in (1, 5):
        wrapped = nnx.SpectralNorm(nnx.Linear(3, 4, bias=False, rng=0, dtype="float64"), iterations=iterations, rng=0)
        for _ in range(30):
            weight = wrapped(np.eye(3))
        assert np.linalg.norm(weight, 2) == pytest.approx(1.0)
        largest = np.linalg.svd(wrapped.layer.weight)[1][0]
        assert_close(weight * largest, wrapped.layer.weight)


def test_spectral_norm_is_that_of_pytorch():
    torch = pytest.importorskip("torch", reason="torch is not installed")
    theirs = torch.nn.utils.parametrizations.spectral_norm(torch.nn.Linear(3, 2, dtype=torch.float64))
    spectral = theirs.parametrizations.weight[0]
    ours = nnx.SpectralNorm(nnx.Linear(3, 2, dtype="float64"))
    ours.load_state_dict(
        {
            "layer.weight": theirs.parametrizations.weight.original.detach().numpy().T,
            "layer.bias": theirs.bias.detach().numpy(),
            "left": spectral._u.numpy().copy(),
            "right": spectral._v.numpy().copy(),
        }
    )
    x = X.astype(np.float64)
    for _ in range(3):
        given = torch.as_tensor(x).requires_grad_()
        expected = theirs(given)
        wanted = torch.autograd.grad(expected.sum(), [given, theirs.parametrizations.weight.original])
        found, pullback = nnx.vjp(lambda model, x: model(x), ours, x)
        assert_close(found, expected.detach().numpy())
        of_model, of_x = pullback(np.ones_like(found))
        assert_close((of_x, of_model["layer.weight"].T), tuple(g.numpy() for g in wanted))
        assert_close(ours.left.value, spectral._u.numpy())


def test_power_iteration_goes_on_in_training_alone_and_once_with_recomputation():
    wrapped = nnx.SpectralNorm(nnx.Linear(3, 3, rng=0), rng=0)
    wrapped.layer.weight = np.random.default_rng(1).normal(size=(3, 3)).astype(np.float32)
    plain = nnx.from_config(wrapped.config()).load_state_dict(wrapped.state_dict())
    before = np.asarray(wrapped.left.value)
    wrapped.eval()(X)
    np.testing.assert_array_equal(wrapped.left.value, before)
    again = nnx.remat(wrapped.train())
    loss = lambda model: nnx.functional.mse(model(X), X)  # noqa: E731
    gradients = nnx.grad(loss)(again)
    assert_close(list(gradients.values()), list(nnx.grad(loss)(plain).values()))
    assert_close(wrapped.left.value, plain.left.value)
    assert np.any(wrapped.left.value != before)


def test_any_parameter_by_its_path_in_a_model_with_buffers():
    inner = nnx.Model([nnx.Linear(None, 4, rng=0), nnx.BatchNorm1d(None), nnx.Dropout(seed=1)])
    model = nnx.Model([nnx.WeightNorm(inner, "0.weight"), nnx.SpectralNorm(nnx.Linear(None, 2, rng=1), rng=2)])
    y = model(X)
    model.backward(np.ones_like(y))
    assert list(model.gradients()) == list(model.parameters())
    assert "0.magnitude" in model.parameters()
    assert inner[1].num_batches.value == inner[2].calls.value == 1
    again = nnx.from_config(model.config())
    again(X)
    again.load_state_dict(model.state_dict())
    assert_close(again.eval()(X), model.eval()(X), rtol=0.0)
    assert repr(again) == repr(model)


def test_errors():
    with pytest.raises(ArgumentError, match=r"one of the parameters \['weight', 'bias'\], got 'kernel'"):
        nnx.WeightNorm(nnx.Linear(3, 2), "kernel")
    with pytest.raises(ArgumentError, match="expected iterations to be an integer of at least 1, got 0"):
        nnx.SpectralNorm(nnx.Linear(3, 2), iterations=0)
    with pytest.raises(ShapeError, match=r"Linear 'layer': expected input of shape \(\.\.\., 3\), got"):
        nnx.WeightNorm(nnx.Linear(3, 2))(X[:, :2])


def test_singular_vectors_of_16_bits_are_computed_in_float32():
    weight = np.full((1, 4096), 16.0, np.float16)  # in 16 bits the sum of the squares overflows
    layer = nnx.Linear(1, 4096, bias=False, dtype="float16")
    layer.weight = weight
    wrapped = nnx.SpectralNorm(layer, rng=0)
    assert_close(wrapped(np.ones((1, 1), np.float16)), np.full((1, 4096), 1 / 64, np.float16), rtol=1e-3)
