import numpy as np
import pytest

import nnx
from nnx.backend import device_of, namespace, to_numpy
from nnx.data import Compose, CutMix, Mixup, SampleKey
from nnx.errors import ArgumentError, DTypeError, ShapeError

MIXINGS = [Mixup(0.4, classes=5), CutMix(1.0, classes=5)]


def key_of(count, first=0, epoch=0):
    return SampleKey(seed=0, epoch=epoch, indices=np.arange(first, first + count))


def batch_of(count=6, dtype="float32"):
    rng = np.random.default_rng(2)
    return rng.normal(size=(count, 2, 6, 8)).astype(dtype), rng.integers(5, size=count).astype("int32")


@pytest.mark.parametrize("transform", MIXINGS, ids=repr)
def test_the_bits_are_those_of_numpy(xp, transform):
    x, y = batch_of()
    given = xp.asarray(x), xp.asarray(y, "int32")
    found = transform(given, key_of(6))
    for part, expected, source in zip(found, transform((x, y), key_of(6)), given, strict=True):
        assert namespace(part) is namespace(source)
        assert device_of(part) == device_of(source)
        assert part.dtype == xp.namespace.float32
        np.testing.assert_array_equal(to_numpy(part), expected)
    np.testing.assert_array_equal(to_numpy(given[0]), x)


def test_mixup_is_the_formula(xp):
    """Each sample holds its own number, so that the mixture tells with which other one it was mixed."""
    x = np.eye(6, dtype="float32")
    for epoch in range(5):
        mixed, target = map(
            to_numpy, Mixup(1.0, classes=6)((xp.asarray(x), xp.asarray(range(6), "int32")), key_of(6, 0, epoch))
        )
        np.testing.assert_array_equal(mixed, target)
        share = {round(float(row[i]), 5) for i, row in enumerate(mixed) if row[i] < 1}
        assert len(share) == 1
        np.testing.assert_allclose(mixed.sum(axis=0), 1, rtol=1e-6)
        np.testing.assert_allclose(mixed.sum(axis=1), 1, rtol=1e-6)


def test_cutmix_pastes_one_box_of_that_share(xp):
    x = np.broadcast_to(np.arange(5.0)[:, None, None, None], (5, 2, 6, 8)).astype("float32")
    for epoch in range(20):
        images, target = map(
            to_numpy, CutMix(1.0, classes=5)((xp.asarray(x), xp.asarray(range(5), "int32")), key_of(5, 0, epoch))
        )
        np.testing.assert_array_equal(images[:, 0], images[:, 1])
        boxes = images[:, 0] != x[:, 0]
        for i, box in enumerate(boxes):
            assert box.sum() == box.any(axis=1).sum() * box.any(axis=0).sum()
            np.testing.assert_allclose(target[i, i], 1 - box.mean(), rtol=1e-6)
            np.testing.assert_allclose(
                np.bincount(images[i, 0].ravel().astype(int), minlength=5) / 48, target[i], rtol=1e-6
            )


@pytest.mark.parametrize("alpha", [0.2, 1.0, 3.0])
def test_the_share_is_beta_distributed(alpha):
    stats = pytest.importorskip("scipy.stats", reason="SciPy is not installed")
    x, y = np.zeros((2, 1)), np.asarray([[0.0], [1.0]])
    found = [Mixup(alpha)((x, y), key_of(2, first))[1][0, 0] for first in range(600)]
    shares = [share for share in found if share > 0]  # half of the permutations are the identity
    assert stats.binomtest(len(shares), 600, 0.5).pvalue > 1e-3
    assert stats.kstest(shares, stats.beta(alpha, alpha).cdf).pvalue > 1e-3


def test_the_size_of_the_box():
    """Each side times the square root of the share of the area, so that a quarter has half of each side."""
    x = np.stack([np.zeros((1, 9, 12)), np.ones((1, 9, 12))])

    class Fixed:
        def random(self, count):
            return np.full(count, 0.5)

    (mixed,), share = CutMix(1.0).mix([x], np.asarray([1, 0]), 0.75, Fixed())
    expected = np.zeros((9, 12))
    expected[2:6, 3:9] = 1
    np.testing.assert_array_equal(mixed[0, 0], expected)
    assert share == 1 - 24 / 108


@pytest.mark.parametrize("transform", MIXINGS, ids=repr)
def test_draws_are_of_the_epoch_and_the_first_sample(transform):
    batch = batch_of()
    first = transform(batch, key_of(6))
    assert all((a == b).all() for a, b in zip(first, transform(batch, key_of(6)), strict=True))
    for key in (key_of(6, epoch=1), key_of(6, first=1)):
        assert (transform(batch, key)[0] != first[0]).any()


def test_probability():
    x, y = batch_of()
    same, target = Mixup(1.0, classes=5, probability=0.0)((x, y), key_of(6))
    assert same is x
    np.testing.assert_array_equal(target, np.eye(5)[y])
    mixed = [Mixup(1.0, 5, 0.3)((x, y), key_of(6, i))[0] is not x for i in range(300)]
    assert 60 < sum(mixed) < 120


def test_cross_entropy_takes_the_target(xp):
    x, y = batch_of()
    _, target = Compose(MIXINGS[:1])((xp.asarray(x), xp.asarray(y, "int32")), key_of(6))
    logits = xp.asarray(np.random.default_rng(0).normal(size=(6, 5)))
    found = float(nnx.CrossEntropy()(logits, target))
    log_p = to_numpy(nnx.functional.log_softmax(logits, axis=-1))
    assert found == pytest.approx(-(to_numpy(target) * log_p).sum(axis=1).mean(), rel=1e-5)


def test_inputs_by_name_and_images_of_integers():
    x, y = batch_of()
    pixels = (255 * abs(x)).astype("uint8")
    batch = {"y": y, "image": pixels, "depth": x, "name": y}
    found = CutMix(1.0, classes=5, parts=("image", "depth", "y"))(batch, key_of(6))
    assert found["image"].dtype == np.uint8
    assert found["name"] is y
    assert found["y"].shape == (6, 5)
    changed = found["image"] != pixels
    assert ((found["depth"] != x) >= changed).all()
    found = Mixup(1.0)((x, np.linspace(0, 1, 6)), key_of(6))  # regression
    assert found[1].shape == (6,)


def test_a_batch_of_one_stays():
    x, y = batch_of(1)
    for transform in MIXINGS:
        np.testing.assert_allclose(transform((x, y), key_of(1))[0], x, rtol=1e-6)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Mixup(0), "expected alpha to be a positive number, got 0"),
        (lambda: Mixup("1"), "expected alpha to be a positive number, got '1'"),
        (lambda: CutMix(float("inf")), "expected alpha to be a positive number, got inf"),
        (lambda: Mixup(1.0, classes=0), "expected classes to be an integer of at least 1, got 0"),
        (lambda: Mixup(1.0, probability=2), "expected probability to be a number in"),
        (lambda: Mixup(1.0, parts=0), "expected parts to be inputs and, last, a target, got 0"),
        (
            lambda: Mixup(1.0)(batch_of(), key_of(6)),
            r"got int32; for class indices write Mixup\(1.0, classes",
        ),
    ],
)
def test_bad_arguments(make, message):
    with pytest.raises(ArgumentError, match=message):
        make()


def test_bad_inputs():
    x, y = batch_of()
    with pytest.raises(DTypeError, match="expected inputs of a floating-point dtype to average, got uint8; convert"):
        Mixup(1.0, classes=5)((x.astype("uint8"), y), key_of(6))
    with pytest.raises(ShapeError, match=r"expected inputs of one height and width, 6 x 8, got shape \(6, 2, 8, 6\)"):
        CutMix(1.0, 5, parts=(0, 1, 2))((x, np.swapaxes(x, 2, 3), y), key_of(6))
    with pytest.raises(ArgumentError, match="expected parts of the batch to be different"):
        Mixup(1.0)(x, key_of(6))
