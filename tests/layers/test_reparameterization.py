import numpy as np

import nnx
from nnx.testing import assert_close


def sample(layer, xp, rows=4):
    return layer(xp.asarray(np.zeros((rows, 2))), xp.asarray(np.ones((rows, 2))))


def test_noise_is_the_same_on_every_backend(xp):
    expected = nnx.Reparameterization(seed=3)(np.zeros((4, 2), np.float32), np.ones((4, 2), np.float32))
    assert_close(sample(nnx.Reparameterization(seed=3), xp), xp.asarray(expected), rtol=1e-6)


def test_noise_is_new_at_every_call_and_resumes_from_the_counter(xp):
    layer = nnx.Reparameterization(seed=3)
    first, second = nnx.to_numpy([sample(layer, xp), sample(layer, xp)])
    assert np.all(first != second)
    resumed = nnx.Reparameterization().load_state_dict({"seed": 3, "calls": 1})
    assert_close(nnx.to_numpy(sample(resumed, xp)), second)


def test_evaluation_returns_the_mean(xp):
    layer = nnx.Reparameterization(seed=3).eval()
    assert_close(sample(layer, xp), xp.asarray(np.zeros((4, 2))))
    assert layer.calls.value == 0


def test_seeds_from_the_system_differ():
    assert len({nnx.Reparameterization().seed.value for _ in range(8)}) > 1


def test_gradients_reach_mean_and_variance():
    layer = nnx.Reparameterization(seed=0)
    mean, variance = np.zeros((3, 2)), np.full((3, 2), 4.0)
    noise = (layer(mean, variance) - mean) / 2.0
    to_mean, to_variance = layer.backward(np.ones((3, 2)))
    assert_close(to_mean, np.ones((3, 2)))
    assert_close(to_variance, noise / 4.0)
