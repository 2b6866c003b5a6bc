import numpy as np
import pytest

from nnx.backend import device_of, namespace, to_numpy
from nnx.data import train_validation_split
from nnx.errors import ArgumentError, DataError


def assert_same_place(result, source):
    assert namespace(result) is namespace(source)
    assert device_of(result) == device_of(source)


def test_every_sample_lands_on_one_side(xp):
    x = xp.asarray(np.arange(20).reshape(10, 2))
    y = xp.asarray(np.arange(10), "int32")
    parts = train_validation_split(x, y, fraction=0.3)
    assert [part.shape for part in parts] == [(7, 2), (7,), (3, 2), (3,)]
    for part, source in zip(parts, (x, y, x, y), strict=True):
        assert_same_place(part, source)
        assert part.dtype == source.dtype
    x_train, y_train, x_validation, y_validation = map(to_numpy, parts)
    assert sorted([*y_train, *y_validation]) == list(range(10))
    np.testing.assert_array_equal(x_train[:, 0], 2 * y_train)
    np.testing.assert_array_equal(x_validation[:, 0], 2 * y_validation)


def test_order_is_the_same_on_every_backend(xp):
    y = xp.asarray(np.arange(10), "int32")
    assert to_numpy(train_validation_split(y, y)[3]).tolist() == [4, 6]


def test_rng():
    y = np.arange(100)
    first, again, other = (train_validation_split(y, y, rng=rng)[1].tolist() for rng in (1, 1, 2))
    assert first == again != other
    assert train_validation_split(y, y, rng=np.random.default_rng(1))[1].tolist() == first


@pytest.mark.parametrize(("samples", "fraction", "validation"), [(10, 0.25, 2), (10, 0.35, 4), (3, 0.5, 2)])
def test_count(samples, fraction, validation):
    y = np.arange(samples)
    assert len(train_validation_split(y, y, fraction)[3]) == validation


@pytest.mark.parametrize("fraction", [0, 1, -0.5, 20, float("nan")])
def test_bad_fraction(fraction):
    with pytest.raises(ArgumentError, match=f"expected a fraction between 0 and 1, got {fraction}"):
        train_validation_split(np.ones(5), np.ones(5), fraction)


def test_an_empty_side():
    with pytest.raises(DataError, match=r"expected samples on both sides, got 0 of 2 to validate; change"):
        train_validation_split(np.ones(2), np.ones(2), 0.1)


def test_lengths_differ(xp):
    with pytest.raises(DataError, match=r"expected first axes of one length, .*got shapes \(2,\), \(3,\); check"):
        train_validation_split(xp.asarray([1, 2]), xp.asarray([1, 2, 3]))
