import numpy as np
import pytest

import nnx
from nnx.errors import ArgumentError, DTypeError, ShapeError
from nnx.testing import assert_close

RNG = np.random.default_rng(0)
X = RNG.normal(1.0, 2.0, (6, 3, 4, 5)).astype(np.float32)


def test_running_statistics_are_those_of_pytorch():
    torch = pytest.importorskip("torch", reason="torch is not installed")
    for momentum in (0.1, 1.0, None):
        ours, theirs = nnx.BatchNorm2d(3, momentum=momentum), torch.nn.BatchNorm2d(3, momentum=momentum)
        for scale in (1.0, 2.0, 3.0):
            ours(scale * X)
            theirs(torch.as_tensor(scale * X))
        found = [ours.running_mean.value, ours.running_variance.value, np.asarray(ours.num_batches.value)]
        expected = [theirs.running_mean, theirs.running_var, theirs.num_batches_tracked]
        assert_close(found, [e.numpy() for e in expected], rtol=1e-5)
        x = torch.as_tensor(X).requires_grad_()
        theirs.eval()(x).sum().backward()
        y, pullback = nnx.vjp(ours.eval(), X)
        assert_close(y, theirs(x).detach().numpy(), rtol=1e-4, atol=1e-5)
        assert_close(pullback(np.ones_like(y))[0], x.grad.numpy(), rtol=1e-5)


def test_evaluation_changes_nothing_and_takes_one_value_a_channel(xp):
    with nnx.use_backend(xp.spec):
        layer = nnx.BatchNorm1d(3)
    layer(xp.asarray(X[:, :, 0, 0]))
    before = nnx.to_numpy(layer.state_dict())
    layer.eval()(xp.asarray(X[:1, :, 0, 0]))
    assert_close(nnx.to_numpy(layer.state_dict()), before, rtol=0.0)
    assert before["num_batches"] == 1


def test_transforms_and_recomputation_count_a_batch_once():
    models = [nnx.Model([nnx.BatchNorm2d(3)]), nnx.remat(nnx.Model([nnx.BatchNorm2d(3)])), nnx.BatchNorm2d(3)]
    found = []
    for model in models:
        gradients = nnx.grad(lambda model: nnx.functional.mse(model(X), 2.0 * X))(model)
        found.append((list(gradients.values()), [nnx.to_numpy(b.value) for b in model.buffers().values()]))
    assert_close(found[1:], [found[0]] * 2)
    assert found[0][1][2] == 1


def test_frozen_statistics_in_a_model_that_trains():
    model = nnx.Model([nnx.BatchNorm2d(3), nnx.BatchNorm2d(3)])
    model[0].eval()
    y = model(X)
    model.backward(np.ones_like(y))
    assert (model[0].num_batches.value, model[1].num_batches.value) == (0, 1)
    assert list(model.gradients()) == ["0.weight", "0.bias", "1.weight", "1.bias"]


def test_open_sizes():
    whole, opened = (nnx.Model([nnx.ReLU(), nnx.BatchNorm2d(n), nnx.LayerNorm(n and 5)]) for n in (3, None))
    assert_close(opened(X), whole(X))
    assert_close(opened.state_dict(), whole.state_dict())
    assert repr(opened) == repr(whole)
    assert opened[1].num_batches.value == 1
    assert nnx.GroupNorm(3, None)(X).shape == nnx.InstanceNorm2d(None)(X).shape == X.shape
    with pytest.raises(ArgumentError, match="expected groups to divide num_features, got 2 groups of 3 channels"):
        nnx.GroupNorm(2, None)(X)


def test_channels_last():
    last = np.moveaxis(X, 1, -1)
    for make in (
        lambda axis: nnx.BatchNorm2d(3, axis=axis),
        lambda axis: nnx.GroupNorm(3, 3, axis=axis),
        lambda axis: nnx.InstanceNorm2d(3, axis=axis, affine=True),
    ):
        assert_close(make(-1)(last), np.moveaxis(make(1)(X), 1, -1), rtol=1e-5, atol=1e-6)
    with pytest.raises(ShapeError, match=r"expected input \(batch, height, width, 3\), got \(6, 3, 4, 5\)"):
        nnx.BatchNorm2d(3, axis=-1)(X)


def test_statistics_of_16_bits_are_in_float32():
    layer = nnx.BatchNorm2d(3, dtype="float16")
    y = layer(X.astype(np.float16))
    assert (y.dtype, layer.running_mean.value.dtype) == (np.float16, np.float32)
    assert layer.eval()(X.astype(np.float16)).dtype == np.float16


def test_without_parameters_or_statistics():
    layer = nnx.BatchNorm2d(3, affine=False, track_statistics=False)
    assert layer.state_dict() == {}
    assert_close(layer.eval()(X), layer.train()(X))
    assert nnx.LayerNorm(5, affine=False).state_dict() == nnx.RMSNorm(5, affine=False).state_dict() == {}
    for made in (layer, nnx.LayerNorm(5, affine=False), nnx.LayerNorm((4, 5), bias=False), nnx.GroupNorm(3, 3)):
        assert repr(nnx.from_config(made.config())) == repr(made)


def test_errors():
    with pytest.raises(ShapeError, match=r"BatchNorm1d: expected more than one value a channel in training"):
        nnx.BatchNorm1d(3)(X[:1, :, 0, 0])
    with pytest.raises(ShapeError, match=r"expected input \(batch, 3\) or \(batch, 3, length\), got \(6, 3, 4, 5\)"):
        nnx.BatchNorm1d(3)(X)
    with pytest.raises(DTypeError, match="expected input of dtype float32, as running_mean, got float64"):
        nnx.BatchNorm2d(3, affine=False)(X.astype(np.float64))
    with pytest.raises(ArgumentError, match=r"expected momentum in \[0, 1\], got 2"):
        nnx.BatchNorm2d(3, momentum=2)
    with pytest.raises(ArgumentError, match="expected a finite eps >= 0, got -1"):
        nnx.LayerNorm(3, eps=-1)
    with pytest.raises(ArgumentError, match=r"expected shape to have at least one axis, got \(\)"):
        nnx.LayerNorm(())
    for wrong in (0, (3, 0)):
        with pytest.raises(ArgumentError, match="expected shape to be an integer of at least 1, got 0"):
            nnx.LayerNorm(wrong)
    with pytest.raises(ShapeError, match=r"expected input of shape \(\.\.\., features\), got \(\)"):
        nnx.LayerNorm(None)(np.asarray(1.0))


def test_statistics_stay_in_32_bits(xp):
    model = nnx.Model([nnx.BatchNorm1d(3)]).to(xp.spec)
    if not hasattr(xp.namespace, "float16"):
        pytest.skip("no float16")
    model.to(dtype="float16")
    again = nnx.from_config(model.config()).load_state_dict(nnx.to_numpy(model.state_dict()))
    assert {
        path: nnx.backend.dtype_name(value.dtype)
        for path, value in again.state_dict().items()
        if path != "0.num_batches"
    } == {
        "0.weight": "float16",
        "0.bias": "float16",
        "0.running_mean": "float32",
        "0.running_variance": "float32",
    }
    assert model.to(dtype="float32")[0].weight.dtype == model[0].running_mean.value.dtype
