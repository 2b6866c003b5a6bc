import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import nnx
from nnx.backend import device_of, namespace, to_numpy
from nnx.data import RandomCrop, RandomErasing, RandomFlip, RandomRotation, SampleKey
from nnx.errors import ArgumentError, ShapeError

small = settings(max_examples=10)
TRANSFORMS = [
    RandomCrop(5, padding=1),
    RandomCrop((4, 6), padding=(0, 2), fill=1),
    RandomCrop(7, padding=2, mode="reflect"),
    RandomCrop(5, padding=3, mode="edge"),
    RandomFlip(),
    RandomFlip(axis=1, probability=0.3),
    RandomErasing(probability=0.8, fill=1),
    RandomRotation(40, fill=1),
    RandomRotation((-200, 100), mode="nearest"),
]
FURTHER = [pytest.param(dtype, marks=pytest.mark.further) for dtype in ("float64", "int32", "bool")]  # not on JAX
DTYPES = ["float32", "uint8", *FURTHER]


def key_of(count, first=0, epoch=0):
    return SampleKey(seed=0, epoch=epoch, indices=np.arange(first, first + count))


def images(shape=(6, 2, 5, 6), dtype="float32"):
    return (200 * np.random.default_rng(1).random(shape)).astype(dtype)


@pytest.mark.parametrize("transform", TRANSFORMS, ids=repr)
@pytest.mark.parametrize("dtype", DTYPES)
def test_the_bits_are_those_of_numpy(xp, transform, dtype):
    if dtype == "bool" and isinstance(transform, RandomRotation) and transform.mode == "bilinear":
        pytest.skip("there is nothing between true and false")
    host = images(dtype=dtype) if dtype != "bool" else images() > 100
    kept = host.copy()
    x = xp.asarray(host, dtype)
    found = transform(x, key_of(6))
    assert namespace(found) is namespace(x)
    assert device_of(found) == device_of(x)
    assert found.dtype == x.dtype
    expected = transform(host, key_of(6))
    assert not np.shares_memory(expected, host)
    np.testing.assert_array_equal(to_numpy(found), expected)
    np.testing.assert_array_equal(to_numpy(x), kept)


@pytest.mark.parametrize("transform", TRANSFORMS, ids=repr)
def test_a_batch_is_its_samples(transform):
    x = images((6, 5, 6))
    for count in (1, 2):
        parts = [transform(x[i : i + count], key_of(count, i)) for i in range(0, 6, count)]
        np.testing.assert_array_equal(np.concatenate(parts), transform(x, key_of(6)))
    assert (transform(x, key_of(6)) != transform(x, key_of(6, epoch=1))).any()
    assert transform(x[:0], key_of(0)).shape[1:] == transform(x, key_of(6)).shape[1:]


@pytest.mark.parametrize("transform", [each for each in TRANSFORMS if each != RandomFlip(1, 0.3)], ids=repr)
def test_channels_are_changed_alike(transform):
    x = images((4, 5, 6))
    found = transform(np.stack([x, x], axis=1), key_of(4))
    for channel in (0, 1):
        np.testing.assert_array_equal(found[:, channel], transform(x, key_of(4)))


class TestCrop:
    def test_without_padding_is_the_identity(self, xp):
        x = images()
        np.testing.assert_array_equal(to_numpy(RandomCrop((5, 6))(xp.asarray(x), key_of(6))), x)

    @small
    @given(data=st.data())
    def test_is_a_window_of_the_padded_image(self, data):
        height, width, p, q = (data.draw(st.integers(1, 5)) for _ in range(4))
        mode = data.draw(st.sampled_from(["constant", "edge", *(["reflect"] if p < height and q < width else [])]))
        size = data.draw(st.integers(1, height + 2 * p)), data.draw(st.integers(1, width + 2 * q))
        x = images((3, 2, height, width))
        options = {"constant_values": 7} if mode == "constant" else {}
        padded = np.pad(x, [(0, 0), (0, 0), (p, p), (q, q)], mode=mode, **options)
        found = RandomCrop(size, (p, q), mode, fill=7)(x, key_of(3))
        for image, whole in zip(found, padded, strict=True):
            windows = np.lib.stride_tricks.sliding_window_view(whole, size, axis=(1, 2))
            assert (windows == image[:, None, None]).all(axis=(0, 3, 4)).any()

    def test_positions_are_uniform(self):
        stats = pytest.importorskip("scipy.stats", reason="SciPy is not installed")
        found = RandomCrop(1)(np.broadcast_to(np.arange(12).reshape(1, 3, 4), (6000, 3, 4)), key_of(6000))
        assert stats.chisquare(np.bincount(found.ravel(), minlength=12)).pvalue > 1e-3

    def test_too_small(self):
        with pytest.raises(ShapeError, match="as large as the window of 9 pixels, got 5 with 1 on either side"):
            RandomCrop(9, padding=1)(images(), key_of(6))
        with pytest.raises(ShapeError, match="expected less padding than the 5 pixels to be mirrored, got 5"):
            RandomCrop(9, padding=5, mode="reflect")(images(), key_of(6))

    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            ((0,), "expected size to be an integer of at least 1, got 0"),
            (((2, 3, 4),), r"expected size to be an integer or a pair \(for rows, for columns\), got \(2, 3, 4\)"),
            ((2, -1), "expected padding to be an integer of at least 0, got -1"),
            ((2, 0, "wrap"), "expected mode to be one of 'constant', 'edge', 'reflect', got 'wrap'"),
        ],
    )
    def test_bad_arguments(self, arguments, message):
        with pytest.raises(ArgumentError, match=message):
            RandomCrop(*arguments)

    def test_fill_that_the_dtype_does_not_have(self):
        with pytest.raises(ArgumentError, match=r"expected value to be a number that uint8 has, got 0\.5"):
            RandomCrop(5, padding=1, fill=0.5)(images(dtype="uint8"), key_of(6))


class TestFlip:
    @pytest.mark.parametrize("axis", [1, -1])
    def test_twice_is_the_identity(self, xp, axis):
        x, flip = images(), RandomFlip(axis)
        once = flip(xp.asarray(x), key_of(6))
        reversed_ = np.flip(x, axis)
        assert all((a == b).all() or (a == c).all() for a, b, c in zip(to_numpy(once), x, reversed_, strict=True))
        np.testing.assert_array_equal(to_numpy(flip(once, key_of(6))), x)

    def test_never_and_always(self):
        x = images()
        np.testing.assert_array_equal(RandomFlip(probability=0)(x, key_of(6)), x)
        np.testing.assert_array_equal(RandomFlip(probability=1)(x, key_of(6)), x[..., ::-1])

    @pytest.mark.parametrize("probability", [0.5, 0.1])
    def test_probability(self, probability):
        stats = pytest.importorskip("scipy.stats", reason="SciPy is not installed")
        x = np.broadcast_to(np.asarray([0, 1]), (5000, 2))
        flipped = int(RandomFlip(probability=probability)(x, key_of(5000))[:, 0].sum())
        assert stats.binomtest(flipped, 5000, probability).pvalue > 1e-3

    def test_bad_arguments(self):
        for value in (-0.1, 1.5, "x", True, None):
            with pytest.raises(ArgumentError, match=f"expected probability to be a number in .0, 1., got {value!r}"):
                RandomFlip(probability=value)
        with pytest.raises(ArgumentError, match="expected an axis of the samples, got -4, which is the batch"):
            RandomFlip(axis=-4)(images(), key_of(6))
        with pytest.raises(ShapeError, match="axis"):
            RandomFlip(axis=4)(images(), key_of(6))


class TestErasing:
    def test_known_box(self):
        x = np.ones((500, 6, 8))
        erased = RandomErasing(1.0, area=(0.25, 0.25), ratio=(3.0, 3.0))(x, key_of(500)) == 0
        assert not erased.any()  # sqrt(12 * 3) = 6 rows are all that there are
        erased = RandomErasing(1.0, area=(0.25, 0.25), ratio=(0.75, 0.75))(x, key_of(500)) == 0
        rows, columns = erased.any(axis=2), erased.any(axis=1)
        assert set(rows.sum(axis=1)) == {3}
        assert set(columns.sum(axis=1)) == {4}
        assert (erased.sum(axis=(1, 2)) == 12).all()
        stats = pytest.importorskip("scipy.stats", reason="SciPy is not installed")
        positions = rows.argmax(axis=1) * 5 + columns.argmax(axis=1)
        assert stats.chisquare(np.bincount(positions, minlength=20)).pvalue > 1e-3

    def test_share_of_the_images_and_of_the_pixels(self):
        stats = pytest.importorskip("scipy.stats", reason="SciPy is not installed")
        erased = RandomErasing(0.3)(np.ones((3000, 32, 32), np.uint8), key_of(3000)) == 0
        shares = erased.mean(axis=(1, 2))
        assert stats.binomtest(int((shares > 0).sum()), 3000, 0.3).pvalue > 1e-3
        assert shares[shares > 0].min() > 0.015
        assert shares.max() < 0.42

    @pytest.mark.parametrize(
        ("options", "message"),
        [
            ({"area": (0.5, 0.1)}, r"expected area to be a pair \(low, high\) of positive numbers, at most 1, got"),
            ({"area": (0.5, 1.1)}, "at most 1, got"),
            ({"area": 0.2}, "at most 1, got 0.2"),
            ({"ratio": (0, 1)}, r"expected ratio to be a pair \(low, high\) of positive numbers, got \(0, 1\)"),
            ({"ratio": (1, float("inf"))}, "expected ratio to be a pair"),
            ({"probability": 2}, "expected probability to be a number"),
        ],
    )
    def test_bad_arguments(self, options, message):
        with pytest.raises(ArgumentError, match=message):
            RandomErasing(**options)


class TestRotation:
    @pytest.mark.parametrize("mode", ["bilinear", "nearest"])
    @pytest.mark.parametrize("quarters", [-3, -1, 0, 1, 2, 5])
    @pytest.mark.parametrize("side", [4, 5])
    def test_quarter_turns_are_exact(self, xp, mode, quarters, side):
        x = images((3, 2, side, side))
        turn = RandomRotation((90 * quarters, 90 * quarters), mode, fill=9)
        np.testing.assert_array_equal(to_numpy(turn(xp.asarray(x), key_of(3))), np.rot90(x, quarters, axes=(2, 3)))

    @pytest.mark.parametrize("mode", ["bilinear", "nearest"])
    @pytest.mark.parametrize("degrees", [17.0, -75.0])
    def test_is_that_of_scipy(self, mode, degrees):
        ndimage = pytest.importorskip("scipy.ndimage", reason="SciPy is not installed")
        x = images((1, 9, 12), "float64")
        found = RandomRotation((degrees, degrees), mode, fill=5.0)(x, key_of(1))
        order = 1 if mode == "bilinear" else 0
        # It interpolates between the image and what is outside, as we do.
        expected = ndimage.rotate(x[0], degrees, reshape=False, order=order, mode="grid-constant", cval=5.0)
        np.testing.assert_allclose(found[0], expected, atol=1e-3)

    def test_angles_are_uniform(self):
        stats = pytest.importorskip("scipy.stats", reason="SciPy is not installed")
        x = np.zeros((600, 41, 41), "float32")
        x[:, 20, 36:] = 1.0
        found = RandomRotation(60)(x, key_of(600))
        rows, columns = np.indices((41, 41)) - 20
        weight = found.sum(axis=(1, 2))
        angles = np.degrees(
            np.arctan2(-(found * rows).sum(axis=(1, 2)) / weight, (found * columns).sum(axis=(1, 2)) / weight)
        )
        assert stats.kstest(angles, stats.uniform(-60, 120).cdf).pvalue > 1e-3

    def test_integers_are_rounded(self):
        x = np.full((1, 3, 3), 200, np.uint8)
        x[0, 1, 1] = 100
        turn = RandomRotation((45, 45), fill=200)
        exact = turn(x.astype("float64"), key_of(1))
        np.testing.assert_array_equal(turn(x, key_of(1)), np.rint(exact))

    def test_16_bits_compute_in_float32(self):
        x = images((2, 5, 5), "float16")
        turn = RandomRotation(30)
        np.testing.assert_array_equal(turn(x, key_of(2)), turn(x.astype("float32"), key_of(2)).astype("float16"))

    @pytest.mark.parametrize("degrees", [-10, (20, 10), (1, 2, 3), float("inf"), float("nan")])
    def test_bad_degrees(self, degrees):
        with pytest.raises(
            ArgumentError, match=r"expected degrees to be a number of at least 0, or a pair \(low, high\)"
        ):
            RandomRotation(degrees)

    def test_bad_mode(self):
        with pytest.raises(ArgumentError, match="expected mode to be one of 'bilinear', 'nearest', got 'cubic'"):
            RandomRotation(10, "cubic")


@pytest.mark.parametrize("transform", [RandomCrop(1), RandomErasing(), RandomRotation(10)], ids=repr)
@pytest.mark.parametrize("shape", [(2, 64), (2, 3, 0)])
def test_what_is_no_image(transform, shape):
    with pytest.raises(ShapeError, match=r"expected images of shape \(batch, height, width\) or .*; reshape flat ones"):
        transform(np.ones(shape), key_of(2))


def test_a_transform_reads_no_value(monkeypatch):
    """On a GPU each read of a value stops the queue; array-api-strict raises in its place."""
    strict = pytest.importorskip("array_api_strict", reason="array-api-strict is not installed")

    def refuse(self):
        raise AssertionError("a transform read the value of an array")

    x = nnx.backend.asarray(images(), like=strict.zeros(1, device=strict.Device("device1")))
    for name in ("__float__", "__bool__", "__int__", "__index__"):
        monkeypatch.setattr(strict._array_object.Array, name, refuse)
    with strict.ArrayAPIStrictFlags(boolean_indexing=False, data_dependent_shapes=False):
        for transform in TRANSFORMS:
            transform(x, key_of(6))
