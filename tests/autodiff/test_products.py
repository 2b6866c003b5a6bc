"""Products along an axis of vectors, where libraries read a positive axis differently."""

import numpy as np
import pytest
from differences import check

import nnx
from nnx.errors import ArgumentError


@pytest.mark.parametrize("axis", [0, 1, -1, -2])
@pytest.mark.parametrize("name", ["vecdot", "linalg.vecdot", "linalg.cross"])
def test_either_axis_of_arguments_with_as_many_axes(name, axis):
    rng = np.random.default_rng(0)
    call = lambda x, y: getattr(nnx.namespace(x, y).linalg, name.rpartition(".")[2])(x, y, axis=axis)  # noqa: E731
    check(call, [rng.normal(size=(3, 3)), rng.normal(size=(3, 3))], rng)


@pytest.mark.parametrize("name", ["vecdot", "cross"])
def test_an_axis_from_the_start_of_arguments_with_unlike_axes_is_refused(name):
    # NumPy takes the first axis of each: broadcast, they are not the same one.
    x, y = np.asarray([1.0, 2.0, 3.0]), np.arange(9.0).reshape(3, 3)
    value, pullback = nnx.vjp(lambda x: getattr(nnx.namespace(x).linalg, name)(x, y, axis=0), x)
    with pytest.raises(ArgumentError, match="expected an axis counted from the end, as in the standard, for arguments"):
        pullback(value)


@pytest.mark.filterwarnings("ignore:Arrays of 2-dimensional vectors are deprecated:DeprecationWarning")
def test_cross_of_vectors_that_are_not_three_long():
    x, y = np.ones((3, 2)), np.ones((3, 3))
    try:
        value, pullback = nnx.vjp(lambda x: nnx.namespace(x).linalg.cross(x, y), x)
    except ValueError:
        pytest.skip("NumPy refuses it itself")
    with pytest.raises(ArgumentError, match="expected vectors of length 3, as in the standard, got 2 and 3"):
        pullback(value)


def test_an_empty_list_of_axes():
    torch = pytest.importorskip("torch")
    x = torch.asarray([[1.0, 2.0], [3.0, 4.0]])
    for axis, expected in (([], 0.25), ((), 1.0)):  # to torch an empty list is all axes, an empty tuple none
        value, pullback = nnx.vjp(lambda x, axis=axis: nnx.namespace(x).mean(x, axis=axis, keepdims=True), x)
        assert pullback(torch.ones_like(value))[0].tolist() == [[expected] * 2] * 2
