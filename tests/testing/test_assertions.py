import numpy as np
import pytest

import nnx
from nnx.testing import assert_close


def test_equal_arrays_pass(xp):
    assert_close(xp.asarray([1.0, 2.0]), xp.asarray([1.0, 2.0]))


@pytest.mark.parametrize(("dtype", "off"), [("float64", 1e-11), ("float32", 3e-6)])
def test_default_tolerance_follows_the_dtype(xp, dtype, off):
    one = xp.asarray([1.0], dtype)
    assert_close(xp.asarray([1.0 + off], dtype), one)
    with pytest.raises(AssertionError, match="1 of 1 elements differ"):
        assert_close(xp.asarray([1.0 + 20 * off], dtype), one)


def test_tolerance_is_relative_to_the_largest_element():
    assert_close(np.asarray([1e3, 1e-8]), np.asarray([1e3, 0.0]))
    with pytest.raises(AssertionError):
        assert_close(np.asarray([1.0, 1e-8]), np.asarray([1.0, 0.0]))
    assert_close(np.asarray([1e-8]), np.asarray([0.0]), atol=1e-7)


def test_message_names_the_worst_element_and_both_values(xp):
    expected = xp.asarray([[1.0, 2.0], [3.0, 4.0]], "float64")
    actual = xp.asarray([[1.0, 2.5], [3.0, 5.0]], "float64")
    with pytest.raises(
        AssertionError, match=r"2 of 4 elements differ; worst at index \(1, 1\): actual 5.0, expected 4.0"
    ):
        assert_close(actual, expected)


def test_the_tree_and_the_path_of_the_leaf():
    with pytest.raises(AssertionError, match=r"'a\.0': 1 of 1"):
        assert_close({"a": [np.asarray(1.0)]}, {"a": [np.asarray(2.0)]})
    with pytest.raises(AssertionError, match=r"expected a tree with the leaves \['a', 'b'\], got one with \['a'\]"):
        assert_close({"a": 1}, {"a": 1, "b": 2})
    assert_close({"a": "text"}, {"a": "text"})
    with pytest.raises(AssertionError, match="expected 'text', got 'test'"):
        assert_close("test", "text")


def test_modules_are_compared_by_their_parameters():
    assert_close(nnx.Linear(2, 3, rng=0), nnx.Linear(2, 3, rng=0))
    with pytest.raises(AssertionError, match="'weight'"):
        assert_close(nnx.Linear(2, 3, rng=0), nnx.Linear(2, 3, rng=1))


def test_what_an_array_is_comes_before_its_values():
    one = np.ones(2)
    with pytest.raises(AssertionError, match=r"expected shape \(2,\), got \(1,\)"):
        assert_close(np.ones(1), one)
    assert_close(np.ones(1), one, check_shape=False)
    with pytest.raises(AssertionError, match="expected dtype float64, got float32"):
        assert_close(np.ones(2, np.float32), one)
    assert_close(np.ones(2, np.float32), one, check_dtype=False)


def test_libraries_and_devices():
    strict = pytest.importorskip("array_api_strict")
    one, there = strict.ones(2), strict.ones(2, device=strict.Device("device1"))
    with pytest.raises(AssertionError, match="expected an array of numpy, got one of array-api-strict"):
        assert_close(one, np.ones(2))
    with pytest.raises(AssertionError, match=r"expected an array on device .*device1.*, got one on .*CPU"):
        assert_close(one, there)
    assert_close(one, np.ones(2), check_namespace=False)
    assert_close(one, there, check_device=False)


def test_nan_and_infinity(xp):
    nan, inf = float("nan"), float("inf")
    both = xp.asarray([nan, inf, -inf])
    with pytest.raises(AssertionError, match=r"worst at index \(0,\): actual nan, expected nan"):
        assert_close(both, both)
    assert_close(both, both, equal_nan=True)
    with pytest.raises(AssertionError, match=r"index \(1,\): actual -inf, expected inf"):
        assert_close(xp.asarray([nan, -inf, -inf]), both, equal_nan=True)
    with pytest.raises(AssertionError, match=r"index \(0,\): actual nan, expected 1.0"):
        assert_close(xp.asarray([nan]), xp.asarray([1.0]), equal_nan=True)


def test_integers_and_booleans_are_exact(xp):
    assert_close(xp.asarray([1, 2], "int64"), xp.asarray([1, 2], "int64"))
    with pytest.raises(AssertionError, match="1 of 2"):
        assert_close(xp.asarray([10**9, 2], "int64"), xp.asarray([10**9 + 1, 2], "int64"))
    with pytest.raises(AssertionError, match="1 of 2"):
        assert_close(np.asarray([True, False]), np.asarray([True, True]))


def test_complex_numbers(xp):
    assert_close(xp.asarray([1 + 2j], "complex128"), xp.asarray([1 + 2j], "complex128"))
    with pytest.raises(AssertionError, match="1 of 1"):
        assert_close(xp.asarray([1 + 2j], "complex128"), xp.asarray([1 - 2j], "complex128"))


def test_python_numbers_have_no_library_or_dtype(xp):
    assert_close(xp.asarray(2.0), 2.0)
    assert_close(3, 3.0)
    assert_close(float("nan"), float("nan"), equal_nan=True)
    with pytest.raises(AssertionError, match=r"expected 3.5, got 3"):
        assert_close(3, 3.5)


def test_empty_arrays(xp):
    assert_close(xp.asarray([]), xp.asarray([]))


def test_half_precision():
    torch = pytest.importorskip("torch", reason="torch is not installed")
    assert_close(torch.ones(2, dtype=torch.bfloat16), torch.ones(2, dtype=torch.bfloat16))
    with pytest.raises(AssertionError):
        assert_close(torch.ones(2, dtype=torch.bfloat16), 2 * torch.ones(2, dtype=torch.bfloat16))
    assert_close(np.asarray([1.001], "float16"), np.asarray([1.0], "float16"))


def test_values_of_traced_arrays_are_taken():
    def f(x):
        assert_close(x, np.asarray(2.0))
        return x

    nnx.grad(f)(np.asarray(2.0))
