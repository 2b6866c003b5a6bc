import importlib
import subprocess
import sys

import numpy as np
import pytest

import nnx
from nnx.backend import keep_mask, normal, random_bits, scaled_mask, to_numpy, uniform
from nnx.backend.philox import philox, signed
from nnx.errors import ArgumentError, BackendError, DTypeError, ShapeError
from nnx.testing import assert_close

NOISE = {"seed": 3, "stream": "noise", "step": 5}
HOST = np.zeros(1, np.float32)


def words_of(counter, key, xp):
    columns = [nnx.backend.asarray(np.asarray([signed(c)], np.int32), like=xp.empty) for c in counter]
    words = to_numpy(philox(columns, key, xp=xp.namespace, device=xp.device))
    return [int(word) & 0xFFFFFFFF for word in words]


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
def test_known_answers_of_philox(xp, counter, key, words):
    assert words_of(counter, key, xp) == words


def test_philox_in_many_passes_is_philox_in_one():
    xp = importlib.import_module("array_api_compat.numpy")
    index, zero = np.arange(20_000, dtype=np.int32), np.zeros(20_000, np.int32)
    whole = philox((index, zero, zero, zero), (1, 2), xp=xp, device="cpu").reshape(-1, 4)
    for i in (0, 8191, 8192, 19_999):
        one = philox((index[i : i + 1], *[zero[:1]] * 3), (1, 2), xp=xp, device="cpu")
        assert one.tolist() == whole[i].tolist()


def test_jax_without_its_64_bit_mode_has_the_same_bits():
    pytest.importorskip("jax", reason="jax is not installed")
    code = (
        "import jax.numpy as jnp, nnx; like = jnp.zeros(1); noise = dict(like=like, seed=3, stream='noise');"
        "print(nnx.to_numpy(nnx.backend.random_bits((9,), step=2**32 + 5, **noise)).tolist());"
        "print(nnx.to_numpy(nnx.backend.random_bits((9,), step=jnp.asarray(5), **noise)).tolist());"
        "print(nnx.backend.normal((9,), step=5, **noise).dtype)"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split("\n")
    assert found[0] == str(random_bits((9,), seed=3, stream="noise", step=2**32 + 5).tolist())
    assert found[1] == str(random_bits((9,), **NOISE).tolist())
    assert found[2] == "float32"


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


def test_same_bits_on_every_backend(xp):
    found = random_bits((50, 4), like=xp.empty, **NOISE)
    assert nnx.backend.dtype_name(found.dtype) == "uint32"
    np.testing.assert_array_equal(to_numpy(found), random_bits((50, 4), **NOISE))


def test_same_masks_on_every_backend(xp):
    keep = keep_mask((33, 3), 0.3, like=xp.empty, **NOISE)
    expected = keep_mask((33, 3), 0.3, like=HOST, **NOISE)
    assert nnx.backend.dtype_name(keep.dtype) == "bool"
    assert nnx.backend.device_of(keep) == nnx.backend.device_of(xp.empty)
    np.testing.assert_array_equal(to_numpy(keep), expected)
    scaled = scaled_mask((33, 3), 0.3, like=xp.empty, **NOISE)
    assert_close(scaled, xp.asarray(np.where(expected, 65536 / round(0.3 * 65536), 0.0)))


def test_the_layout_of_a_mask_is_what_is_documented():
    words = random_bits((25,), **NOISE)
    halves = [word >> shift & 0xFFFF for word in words.tolist() for shift in (0, 16)]
    for probability in (0.1, 0.5, 0.9):
        expected = [half < round(probability * 65536) for half in halves]
        assert keep_mask((50,), probability, like=HOST, **NOISE).tolist() == expected


@pytest.mark.parametrize("dtype", ["int32", "int64", "uint32", "uint8"])
def test_a_step_may_be_counted_on_the_device(xp, dtype):
    for step in (0, 5, 200):
        counted = nnx.backend.asarray(np.asarray(step, dtype), like=xp.empty)
        found = random_bits((9,), like=xp.empty, seed=0, stream="s", step=counted)
        np.testing.assert_array_equal(to_numpy(found), bits((9,), step=step))


@pytest.mark.parametrize("step", [2**31, 2**32 + 1, 2**40 + 2**31 + 7])
def test_a_step_on_the_device_may_have_64_bits(xp, step):
    counted = nnx.backend.asarray(np.asarray(step, "int64"), like=xp.empty)
    found = random_bits((9,), like=xp.empty, seed=0, stream="s", step=counted)
    np.testing.assert_array_equal(to_numpy(found), bits((9,), step=step))


def test_a_compiled_step_of_jax_draws_new_masks():
    jax = pytest.importorskip("jax", reason="jax is not installed")
    jax.config.update("jax_enable_x64", True)
    like = jax.numpy.zeros(1)
    draw = jax.jit(lambda like, step: keep_mask((20,), 0.5, like=like, seed=0, stream="s", step=step))
    for step in (0, 1):
        expected = keep_mask((20,), 0.5, like=HOST, seed=0, stream="s", step=step)
        np.testing.assert_array_equal(to_numpy(draw(like, jax.numpy.asarray(step))), expected)


def test_nothing_is_moved_from_the_host_and_nothing_is_read(monkeypatch):
    strict = pytest.importorskip("array_api_strict", reason="array-api-strict is not installed")
    device = strict.Device("device1")
    like = strict.zeros(1, dtype=strict.float32, device=device)
    step = strict.full((), 2, dtype=strict.int64, device=device)

    def refuse(*args, **kwargs):
        raise AssertionError("the host took part")

    for module in ("nnx.backend.transfer._from_host", "nnx.backend.transfer._host", "array_api_strict.asarray"):
        monkeypatch.setattr(module, refuse)
    for name in ("__float__", "__bool__", "__int__", "__index__", "__complex__", "__array__"):
        monkeypatch.setattr(strict._array_object.Array, name, refuse)
    noise = {"like": like, "seed": 0, "stream": "s", "step": step}
    drawn = [
        keep_mask((3, 5), 0.5, **noise),
        scaled_mask((3, 5), 0.5, **noise),
        *(draw((3, 5), **noise) for draw in (random_bits, uniform, normal)),
    ]
    monkeypatch.undo()
    assert [x.shape for x in drawn] == [(3, 5)] * 5
    assert [nnx.backend.device_of(x) for x in drawn] == [device] * 5


def test_a_traced_array_may_choose_library_and_device(xp):
    def weighted(x):
        return x * scaled_mask((1,), 0.5, like=x, **NOISE)[0] + 0.0 * uniform((), like=x, **NOISE)

    gradient = nnx.grad(weighted)(xp.asarray(2.0))
    assert_close(gradient, scaled_mask((1,), 0.5, like=xp.empty, **NOISE)[0])


def correlation(a, b):
    return float(np.corrcoef(a.ravel(), b.ravel())[0, 1])


@pytest.mark.parametrize("other", [{"seed": 4}, {"stream": "other"}, {"step": 6}, {"step": 5 + 2**32}])
def test_draws_of_another_seed_stream_or_step_are_independent(other):
    n = 100_000
    a, b = (uniform((n,), like=HOST, **options) for options in (NOISE, NOISE | other))
    assert abs(correlation(a, b)) < 4 / np.sqrt(n)
    a, b = (keep_mask((n,), 0.5, like=HOST, **options) for options in (NOISE, NOISE | other))
    assert abs(correlation(a, b)) < 4 / np.sqrt(n)
    assert abs(correlation(a[1:], b[:-1])) < 4 / np.sqrt(n)


def test_neighbours_in_a_mask_are_independent():
    n = 200_000
    keep = keep_mask((n,), 0.5, like=HOST, **NOISE)
    for lag in (1, 2, 3, 4, 7, 8, 16):
        assert abs(correlation(keep[lag:], keep[:-lag])) < 4 / np.sqrt(n)


@pytest.mark.parametrize("position", range(4))
def test_every_byte_is_as_frequent_as_every_other(position):
    counts = np.bincount(random_bits((100_000,), **NOISE).view(np.uint8)[position::4], minlength=256)
    chi_square = ((counts - 100_000 / 256) ** 2 / (100_000 / 256)).sum()
    assert 150 < chi_square < 380  # 255 degrees of freedom: mean 255, standard deviation 22.6


@pytest.mark.parametrize("probability", [0.0, 1e-3, 0.1, 0.5, 0.9, 1.0])
def test_a_mask_is_true_as_often_as_asked(probability):
    n = 1_000_000
    share = keep_mask((n,), probability, like=HOST, **NOISE).mean()
    assert abs(share - probability) <= 4 * np.sqrt(probability * (1 - probability) / n) + 2**-17
    mean = scaled_mask((n,), probability, like=HOST, **NOISE).mean(dtype=np.float64)
    assert abs(mean - (probability > 0)) <= 4 * np.sqrt((1 - probability) / max(probability * n, 1))


def test_the_resolution_of_a_probability():
    assert not keep_mask((1_000_000,), 2.0**-18, like=HOST, **NOISE).any()
    assert keep_mask((1_000_000,), 2.0**-16, like=HOST, **NOISE).any()
    assert keep_mask((1_000_000,), 1 - 2.0**-18, like=HOST, **NOISE).all()


@pytest.mark.parametrize("shape", [(), (0,), (3, 0), (1,), (7,), (2, 3, 5)])
def test_masks_of_any_shape(xp, shape):
    assert keep_mask(shape, 0.5, like=xp.empty, **NOISE).shape == shape
    assert uniform(shape, like=xp.empty, **NOISE).shape == shape
    assert normal(shape, like=xp.empty, **NOISE).shape == shape


def test_what_a_draw_refuses():
    for probability in (-0.1, 1.1, float("nan")):
        with pytest.raises(ArgumentError, match=r"expected a probability in \[0, 1\], got"):
            keep_mask((2,), probability, like=HOST, **NOISE)
    with pytest.raises(ArgumentError, match="expected step >= 0, got -1"):
        bits(step=-1)
    for step in (1.5, "1", np.asarray(1.5)):
        with pytest.raises(ArgumentError, match="expected step to be an integer, or an integer array of shape"):
            bits(step=step)
    with pytest.raises(ShapeError, match=r"expected step of shape \(\), got \(2,\)"):
        bits(step=np.asarray([1, 2]))
    with pytest.raises(ArgumentError, match=r"expected at most 2\*\*33 random words in one draw, got"):
        bits((2**34,))
    for draw in (uniform, normal, lambda shape, **options: scaled_mask(shape, 0.5, **options)):
        with pytest.raises(DTypeError, match="expected like of a real floating-point dtype, got int64"):
            draw((2,), like=np.zeros(1, np.int64), **NOISE)


def test_a_step_of_another_library_is_refused():
    strict = pytest.importorskip("array_api_strict", reason="array-api-strict is not installed")
    with pytest.raises(BackendError, match="expected arrays of one library"):
        random_bits((2,), like=strict.zeros(1), seed=0, stream="s", step=np.asarray(1))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("draw", [uniform, normal])
def test_same_noise_on_every_backend(xp, draw, dtype):
    options = {"seed": 3, "stream": "noise", "step": 5}
    expected = draw((50, 4), like=np.zeros(1, dtype), **options)
    # Logarithms and cosines of two libraries may differ in the last place.
    rtol = 0.0 if draw is uniform else {"float32": 1e-7, "float64": 1e-15}[dtype]
    assert_close(draw((50, 4), like=xp.asarray([0.0], dtype), **options), xp.asarray(expected, dtype), rtol=rtol)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_uniform_is_in_its_interval(dtype):
    x = uniform((200_000,), like=np.zeros(1, dtype), seed=0, stream="u", step=0)
    assert 0.0 <= x.min() < 1e-4
    assert 1.0 - 1e-4 < x.max() < 1.0
    assert abs(x.mean() - 0.5) < 5 / np.sqrt(12 * x.size)


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
def test_uniform_cannot_round_to_one(monkeypatch, dtype):
    monkeypatch.setattr("nnx.backend.random._words", lambda count, *_: np.full(count, -1, np.int32))
    assert 0.999 < uniform((1,), like=np.zeros(1, dtype), seed=0, stream="", step=0)[0] < 1.0


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


def test_a_mask_by_rows_is_the_same_whatever_the_blocks(xp):
    options = {"like": xp.empty, **NOISE}
    whole = to_numpy(keep_mask((5, 3, 3), 0.5, first_row=0, **options))
    parts = [to_numpy(keep_mask((n, 3, 3), 0.5, first_row=start, **options)) for start, n in ((0, 2), (2, 3), (5, 0))]
    np.testing.assert_array_equal(np.concatenate(parts), whole)
    np.testing.assert_array_equal(whole[0], to_numpy(keep_mask((3, 3), 0.5, **options)))
    blocks = to_numpy(keep_mask((2, 1, 3, 3), 0.5, first_row=range(1, 5, 3), **options))
    np.testing.assert_array_equal(blocks[:, 0], whole[1:5:3])
    assert len({row.tobytes() for row in whole}) == 5
    scaled = to_numpy(scaled_mask((2, 9), 0.5, first_row=3, **options))
    np.testing.assert_array_equal(scaled, 2.0 * whole[3:].reshape(2, 9))


def test_rows_are_counted_from_zero():
    with pytest.raises(ArgumentError, match="expected first_row to be an integer >= 0, got -1"):
        keep_mask((2, 3), 0.5, like=HOST, first_row=-1, **NOISE)
    with pytest.raises(ShapeError, match=r"at least one axis to draw by rows, got shape \(\)"):
        keep_mask((), 0.5, like=HOST, first_row=0, **NOISE)
