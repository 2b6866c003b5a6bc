import numpy as np
import pytest

import nnx
from nnx.backend import normal, random_bits, uniform
from nnx.backend.random import philox
from nnx.errors import ArgumentError
from nnx.testing import assert_close


# The known-answer vectors of Random123 for philox4x32-10.
@pytest.mark.parametrize(
    ("counter", "key", "words"),
    [
        ([0] * 4, (0, 0), [0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8]),
        ([0xFFFFFFFF] * 4, (0xFFFFFFFF, 0xFFFFFFFF), [0x408F276D, 0x41C83B0E, 0xA20BC7C6, 0x6D5451FD]),
        (
            [0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344],
            (0xA4093822, 0x299F31D0),
            [0xD16CFE09, 0x94FDCCEB, 0x5001E420, 0x24126EA1],
        ),
    ],
)
def test_known_answers_of_philox(counter, key, words):
    assert philox(np.asarray([counter], np.uint32), key).tolist() == [words]


def test_philox_in_many_passes_is_philox_in_one():
    counter = np.zeros((20_000, 4), np.uint32)
    counter[:, 0] = np.arange(20_000)
    whole = philox(counter, (1, 2))
    for i in (0, 8191, 8192, 19_999):
        assert philox(counter[i : i + 1], (1, 2)).tolist() == [whole[i].tolist()]


def bits(shape=(100,), seed=0, stream="s", step=0):
    return random_bits(shape, seed=seed, stream=stream, step=step)


def test_bits_depend_on_all_of_seed_stream_and_step():
    draws = [bits(), bits(seed=1), bits(stream="t"), bits(step=1), bits(step=2**32)]
    assert len({draw.tobytes() for draw in draws}) == len(draws)
    assert bits().tobytes() == bits().tobytes()


def test_a_longer_draw_begins_with_the_shorter():
    np.testing.assert_array_equal(bits((10,)), bits((3, 5)).reshape(-1)[:10])
    assert bits(()).shape == ()
    assert bits((0, 3)).shape == (0, 3)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("draw", [uniform, normal])
def test_same_noise_on_every_backend(xp, draw, dtype):
    options = {"seed": 3, "stream": "noise", "step": 5}
    expected = draw((50, 4), like=np.zeros(1, dtype), **options)
    assert_close(draw((50, 4), like=xp.asarray([0.0], dtype), **options), xp.asarray(expected, dtype), rtol=0.0)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_uniform_is_in_its_interval(dtype):
    x = uniform((200_000,), like=np.zeros(1, dtype), seed=0, stream="u", step=0)
    assert 0.0 <= x.min() < 1e-4
    assert 1.0 - 1e-4 < x.max() < 1.0
    assert abs(x.mean() - 0.5) < 5 / np.sqrt(12 * x.size)


def test_uniform_cannot_round_to_one(monkeypatch):
    monkeypatch.setattr("nnx.backend.random.random_bits", lambda shape, **_: np.full(shape, 2**32 - 1, np.uint32))
    assert uniform((1,), like=np.zeros(1, "float32"), seed=0, stream="", step=0)[0] < 1.0


def test_normal_has_the_moments_of_a_normal():
    x = normal((400_000,), like=np.zeros(1), seed=0, stream="n", step=0)
    assert abs(x.mean()) < 5 / np.sqrt(x.size)
    for power, moment in ((2, 1.0), (3, 0.0), (4, 3.0)):
        assert abs((x**power).mean() - moment) < 0.05
    assert np.isfinite(x).all()


def test_generator():
    rng = np.random.default_rng(0)
    assert nnx.generator(rng) is rng
    assert nnx.generator(3).integers(1000) == nnx.generator(np.int64(3)).integers(1000)
    assert len({int(nnx.generator().integers(2**62)) for _ in range(4)}) == 4


@pytest.mark.parametrize("seed", [-1, 1.5, "a", True])
def test_generator_refuses(seed):
    with pytest.raises(ArgumentError, match="expected rng to be None, a NumPy Generator or an integer seed >= 0, got"):
        nnx.generator(seed)
