"""Values and errors of embeddings; the derivatives are in the battery."""

import numpy as np
import pytest

import nnx
from nnx import functional as F
from nnx.errors import ArgumentError, DTypeError, ShapeError
from nnx.testing import assert_close


def table(xp, dtype="float32"):
    return xp.asarray([[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]], dtype)


@pytest.mark.parametrize("of", ["int64", "int32", "uint8"])
def test_repeated_indices_add_up(xp, of):
    indices = xp.asarray([[2, 2], [0, 2]], of)
    y, pullback = nnx.vjp(lambda weight: F.embedding(indices, weight), table(xp))
    assert_close(y, xp.asarray([[[5.0, 6.0], [5.0, 6.0]], [[1.0, 2.0], [5.0, 6.0]]]))
    cotangent = xp.asarray([[[1.0, 0.0], [2.0, 0.0]], [[0.0, 4.0], [8.0, 0.0]]])
    assert_close(pullback(cotangent)[0], xp.asarray([[0.0, 4.0], [0.0, 0.0], [11.0, 0.0]]))


def test_padding_is_looked_up_and_gets_no_gradient(xp):
    indices = xp.asarray([0, 1, 0], "int64")
    for function in (F.embedding, F.embedding.function):
        y, pullback = nnx.vjp(lambda weight, f=function: f(indices, weight, padding_index=0), table(xp))
        assert_close(y, xp.asarray([[1.0, 2.0], [3.0, 4.0], [1.0, 2.0]]))
        assert_close(pullback(y)[0], xp.asarray([[0.0, 0.0], [3.0, 4.0], [0.0, 0.0]]))


def test_many_occurrences_of_a_token_in_half_precision(xp):
    if not hasattr(xp.namespace, "float16"):
        pytest.skip(f"{xp.name} has no float16")
    indices = xp.asarray(np.zeros(3000), "int64")
    _, pullback = nnx.vjp(lambda weight: F.embedding(indices, weight), table(xp, "float16"))
    (found,) = pullback(xp.asarray(np.ones((3000, 2)), "float16"))
    assert_close(found[0, :], xp.asarray([3000.0, 3000.0], "float16"))


@pytest.mark.parametrize("shape", [(0,), (2, 0), ()])
def test_shapes_of_indices(xp, shape):
    indices = xp.asarray(np.zeros(shape), "int64")
    y, pullback = nnx.vjp(lambda weight: F.embedding(indices, weight), table(xp))
    assert y.shape == (*shape, 2)
    assert pullback(y)[0].shape == (3, 2)


@pytest.mark.parametrize("wrong", [-1, 3])
def test_an_index_out_of_range(xp, wrong):
    indices = xp.asarray([0, wrong], "int64")
    if not nnx.backend.is_cheap_to_read(indices):
        pytest.skip("reading would stop the queue of a device")
    with pytest.raises(ArgumentError, match=f"expected indices from 0 to 2, got {wrong}"):
        F.embedding(indices, table(xp))


def test_what_does_not_fit(xp):
    indices = xp.asarray([0, 1], "int64")
    with pytest.raises(DTypeError, match="expected indices of an integer dtype, got float32"):
        F.embedding(xp.asarray([0.0]), table(xp))
    with pytest.raises(DTypeError, match="expected weight of a floating-point dtype, got int64"):
        F.embedding(indices, xp.asarray([[1]], "int64"))
    with pytest.raises(ShapeError, match=r"expected weight of shape \(num_embeddings, features\), got \(2,\)"):
        F.embedding(indices, xp.asarray([1.0, 2.0]))
    for wrong in (-1, 3, 1.5, True):
        with pytest.raises(ArgumentError, match=f"expected padding_index from 0 to 2, got {wrong}"):
            F.embedding(indices, table(xp), padding_index=wrong)
    with pytest.raises(DTypeError, match="expected indices to be an array, got None"):
        F.embedding(None, table(xp))
