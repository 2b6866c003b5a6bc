"""Rules on shapes that hypothesis draws: any number of axes, empty ones, and all that broadcasts."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import nnx
from nnx.testing import check_gradients

UNARY = [
    "abs",
    "asin",
    "atan",
    "atanh",
    "cos",
    "exp",
    "log",
    "log1p",
    "negative",
    "reciprocal",
    "sqrt",
    "square",
    "tanh",
]
BINARY = ["add", "atan2", "divide", "hypot", "logaddexp", "maximum", "minimum", "multiply", "pow", "subtract"]


@pytest.mark.parametrize("name", BINARY)
@given(shapes=hnp.mutually_broadcastable_shapes(num_shapes=2, max_dims=3, max_side=3), seed=st.integers(0, 99))
def test_broadcasting_sums_where_it_stretched(name, shapes, seed):
    rng = np.random.default_rng(seed)
    # On two grids that never meet, so that no maximum has a tie.
    arrays = [np.asarray(0.3 + rng.integers(16, size=s) / 32 + i / 64) for i, s in enumerate(shapes.input_shapes)]
    check_gradients(lambda x, y: getattr(nnx.namespace(x, y), name)(x, y), *arrays, order=1, rng=seed)


@pytest.mark.parametrize("name", UNARY)
@given(shape=hnp.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=3), seed=st.integers(0, 99))
def test_any_shape(name, shape, seed):
    x = np.asarray(np.random.default_rng(seed).uniform(0.3, 0.9, shape))
    check_gradients(lambda x: getattr(nnx.namespace(x), name)(x), x, order=1, rng=seed)


@given(data=st.data())
def test_any_basic_index(data):
    shape = data.draw(hnp.array_shapes(max_dims=3, max_side=4))
    key = data.draw(hnp.basic_indices(shape, allow_newaxis=True))
    x = np.random.default_rng(0).normal(size=shape)
    check_gradients(lambda x: x[key] * 2.0, x)


@given(data=st.data())
def test_any_reduction(data):
    shape = data.draw(hnp.array_shapes(max_dims=3, max_side=3))
    axes = data.draw(st.none() | hnp.valid_tuple_axes(len(shape), min_size=1))
    name, keepdims = data.draw(st.sampled_from(["sum", "mean", "prod", "max"])), data.draw(st.booleans())
    count = int(np.prod(shape))
    x = np.random.default_rng(0).permutation(np.linspace(0.5, 1.5, count)).reshape(shape)  # no ties
    check_gradients(lambda x: getattr(nnx.namespace(x), name)(x, axis=axes, keepdims=keepdims), x)


@given(data=st.data())
def test_any_matrix_product(data):
    batch = data.draw(hnp.mutually_broadcastable_shapes(num_shapes=2, max_dims=2, max_side=2, min_side=1)).input_shapes
    n, m, k = (data.draw(st.integers(1, 3)) for _ in range(3))
    left = data.draw(st.sampled_from([(m,), (*batch[0], n, m)]))
    right = data.draw(st.sampled_from([(m,), (*batch[1], m, k)]))
    rng = np.random.default_rng(0)
    check_gradients(lambda x, y: x @ y, rng.normal(size=left), rng.normal(size=right))
