"""The windows of pooling and the maps along an axis, held to counting one by one."""

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nnx.errors import ShapeError
from nnx.functional.axis_maps import as_slice, axis_map
from nnx.functional.pooling_windows import adaptive_means, adaptive_table, window_means, window_tables
from nnx.functional.spatial import windows


def matrix(along):
    """Return a map as a matrix, (outputs, inputs)."""
    made = np.zeros((len(along.indices[0]), along.size))
    for indices, weights in zip(along.indices, along.weights, strict=True):
        for i, (index, weight) in enumerate(zip(indices, weights, strict=True)):
            made[i, index] += 0.0 if i in along.unused else weight
    return made


def axis_options():
    return itertools.product(range(1, 8), range(1, 4), range(1, 5), range(3), range(3), (False, True))


def test_means_of_windows_are_those_of_counting():
    tried = 0
    for size, kernel, stride, before, after, ceil_mode in axis_options():
        if kernel > size + before + after or max(before, after) >= kernel:
            continue
        found = windows((size,), kernel, stride, ((before, after),), ceil_mode=ceil_mode)
        for counted in (False, True):
            expected = np.zeros((found.output[0], size))
            for i in range(found.output[0]):
                start = i * stride - before
                inside = [at for at in range(start, start + kernel) if 0 <= at < size]
                padded = [at for at in range(start, start + kernel) if -before <= at < size + after]
                expected[i, inside] = 1 / len(padded if counted else inside)
            (along,) = window_means(found, counted)
            np.testing.assert_allclose(matrix(along), expected, rtol=1e-15)
            np.testing.assert_allclose(matrix(along.transpose), expected.T, rtol=1e-15)
            tried += 1
    assert tried > 1000


def test_tables_hold_the_elements_of_each_window_in_order():
    for size, kernel, stride, before, after, ceil_mode in axis_options():
        for dilation in (1, 2):
            if dilation * (kernel - 1) + 1 > size + before + after:
                continue
            found = windows((size,), kernel, stride, ((before, after),), dilation, ceil_mode=ceil_mode)
            starts = [i * stride - before for i in range(found.output[0])]
            expected = [[start + t * dilation for t in range(kernel)] for start in starts]
            expected = [[at for at in window if 0 <= at < size] for window in expected]
            if [] in expected:
                with pytest.raises(ShapeError, match="expected every window to hold an element of the input"):
                    window_tables(found)
                continue
            columns = list(zip(*window_tables(found)[0], strict=True))
            assert [sorted(set(column)) for column in columns] == expected
            assert all(list(column) == sorted(column) for column in columns)


def test_adaptive_windows_are_those_of_the_definition():
    for size, count in itertools.product(range(1, 9), range(1, 11)):
        windows_of = [range(i * size // count, -(-(i + 1) * size // count)) for i in range(count)]
        columns = list(zip(*adaptive_table(size, count), strict=True))
        assert [sorted(set(column)) for column in columns] == [list(window) for window in windows_of]
        expected = np.zeros((count, size))
        for i, window in enumerate(windows_of):
            expected[i, list(window)] = 1 / len(window)
        along = adaptive_means(size, count)
        np.testing.assert_allclose(matrix(along), expected, rtol=1e-15)
        np.testing.assert_allclose(matrix(along.transpose), expected.T, rtol=1e-15)


@given(st.lists(st.integers(0, 6), min_size=1, max_size=5))
def test_a_slice_takes_what_the_indices_take(indices):
    found = as_slice(indices)
    if found is not None:
        assert list(range(7))[found] == indices
    regular = len({b - a for a, b in itertools.pairwise(indices)}) <= 1 and indices == sorted(set(indices))
    assert regular == (found is not None)


@given(st.data())
def test_the_transpose_is_that_of_the_matrix(data):
    size = data.draw(st.integers(1, 5))
    weights = st.dictionaries(st.integers(0, size - 1), st.sampled_from([0.5, 1.0, -2.0]), max_size=3)
    parts = [list(part.items()) for part in data.draw(st.lists(weights, min_size=1, max_size=4).filter(any))]
    along = axis_map(size, parts)
    expected = np.zeros((len(parts), size))
    for i, part in enumerate(parts):
        for index, weight in part:
            expected[i, index] = weight
    np.testing.assert_allclose(matrix(along), expected)
    np.testing.assert_allclose(matrix(along.transpose), expected.T)
    np.testing.assert_allclose(matrix(along.transpose.transpose), expected)
