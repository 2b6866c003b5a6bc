from importlib import resources

import numpy as np
import pytest

from nnx.data import load_digits


def test_digits_are_all_there():
    x, y = load_digits()
    assert (x.shape, x.dtype) == ((1797, 64), np.float32)
    assert (y.shape, y.dtype) == ((1797,), np.int32)
    assert (x.min(), x.max()) == (0, 1)
    assert np.bincount(y).tolist() == [178, 182, 177, 183, 181, 182, 181, 179, 174, 180]


def test_digits_are_the_numbers_of_the_source():
    source = pytest.importorskip("sklearn.datasets").load_digits()
    x, y = load_digits()
    np.testing.assert_array_equal(x * 16, source.data)
    np.testing.assert_array_equal(y, source.target)


def test_each_call_gives_arrays_of_its_own():
    x, _ = load_digits()
    x[:] = -1
    assert load_digits()[0].min() == 0


def test_digits_come_with_their_licence():
    text = (resources.files("nnx.data") / "digits" / "LICENSE.txt").read_text()
    for part in ("E. Alpaydin and C. Kaynak", "10.24432/C50P49", "CC BY 4.0"):
        assert part in text
