import threading

import numpy as np
import pytest

import nnx
from nnx.errors import ArgumentError, ShapeError
from nnx.testing import assert_close

LAYERS = (nnx.Dropout, nnx.ChannelDropout, nnx.AlphaDropout, nnx.DropPath)
X = np.ones((16, 8, 2), np.float32)


@pytest.mark.parametrize("kind", LAYERS)
def test_another_mask_at_each_call_and_none_in_evaluation(kind):
    layer = kind(seed=1)
    first, second = layer(X), layer(X)
    assert np.any(first != second)
    assert layer.calls.value == 2
    assert layer.eval()(X) is X
    assert kind(0.0, seed=1)(X) is X
    assert layer.calls.value == 2
    again = nnx.from_config(layer.config())
    again.load_state_dict({"seed": 1, "calls": 1})
    np.testing.assert_array_equal(again(X), second)


def test_what_each_layer_drops():
    channels, examples = nnx.ChannelDropout(seed=1)(X), nnx.DropPath(seed=1)(X)
    assert np.all(channels == channels[:, :, :1])
    assert np.any(channels != channels[:, :1])
    assert np.all(examples == examples[:, :1, :1])
    assert np.any(examples != examples[:1])
    last = nnx.ChannelDropout(axis=-1, seed=1)(X)
    assert np.all(last == last[:, :1])
    assert np.any(last != last[:, :, :1])


def test_layers_have_masks_of_their_own_unless_they_are_seeded():
    first, second = nnx.Dropout(), nnx.Dropout()
    assert np.any(first(X) != second(X))
    seeded = [nnx.Model([nnx.Dropout(rng=rng), nnx.Dropout(rng=rng)]) for rng in map(nnx.generator, (7, 7))]
    assert seeded[0][0].seed.value == seeded[1][0].seed.value != seeded[0][1].seed.value
    rebuilt = [nnx.from_config(seeded[0].config(), rng=nnx.generator(3)) for _ in range(2)]
    np.testing.assert_array_equal(rebuilt[0](X), rebuilt[1](X))
    assert seeded[0].config()["layers"][0] == {"type": "Dropout", "probability": 0.5, "seed": None}


def masks_of(model, x=X):
    """Return output and gradient of a model without parameters, whose gradient is its mask."""
    y, pullback = nnx.vjp(model, x)
    return y, pullback(np.ones_like(y))[0]


def test_gradient_has_the_mask_of_the_output():
    for model in (nnx.Dropout(seed=1), nnx.Model([nnx.Model([nnx.Dropout(seed=1)]), nnx.ChannelDropout(seed=2)])):
        y, gradient = masks_of(model)
        np.testing.assert_array_equal(y, gradient)
        y = model(X)
        np.testing.assert_array_equal(model.backward(np.ones_like(y), input_gradient=True), y)


def test_recomputation_draws_the_mask_again():
    plain, again = nnx.Dropout(seed=1), nnx.remat(nnx.Model([nnx.Dropout(seed=1)]))
    for _ in range(3):
        y, gradient = masks_of(again)
        np.testing.assert_array_equal(y, gradient)
        np.testing.assert_array_equal(y, plain(X))
    assert again.inner[0].calls.value == 3


@pytest.mark.parametrize("wrap", [lambda model: model, nnx.remat], ids=["plain", "recomputed"])
def test_threads_draw_different_masks(wrap):
    layer, found = nnx.Dropout(seed=1), []
    model = wrap(nnx.Model([layer]))

    def work():
        for _ in range(20):
            y, gradient = masks_of(model)
            np.testing.assert_array_equal(y, gradient)
            found.append(y.tobytes())

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(found)) == 80 == layer.calls.value


def test_counter_on_the_device(xp):
    layer, expected = nnx.Dropout(seed=1), nnx.Dropout(seed=1)
    layer.calls.value = nnx.backend.asarray(np.asarray(0, np.int32), like=xp.empty)
    for _ in range(2):
        assert_close(layer(xp.asarray(X)), xp.asarray(expected(X)))


def test_errors():
    with pytest.raises(ArgumentError, match=r"expected probability in \[0, 1\], got 1.5"):
        nnx.Dropout(1.5)
    with pytest.raises(ArgumentError, match="seed >= 0, got -1"):
        nnx.Dropout(seed=-1)
    for axis in (0, 3, -3):
        with pytest.raises(ShapeError, match=f"channels at axis {axis}, got "):
            nnx.ChannelDropout(axis=axis)(X)


def test_recomputation_inside_recomputation_draws_the_masks_again():
    inner = nnx.remat(nnx.Model([nnx.Dropout(0.2, seed=1), nnx.Dropout(0.2, seed=2)]))
    model = nnx.remat(nnx.Model([inner, nnx.Dropout(0.2, seed=3), inner]))
    for _ in range(2):
        y, gradient = masks_of(model)
        np.testing.assert_array_equal(y, gradient)
    assert inner.inner[0].calls.value == 4


def test_another_draw_between_forward_and_backward_changes_no_mask():
    model = nnx.remat(nnx.Model([nnx.Dropout(seed=1)]))
    y, pullback = nnx.vjp(model, X)
    model(X)
    np.testing.assert_array_equal(pullback(np.ones_like(y))[0], y)
    assert model.inner[0].calls.value == 2
