"""Derivative rules on random shapes, keys and axes, 0-d and empty arrays among them."""

import numpy as np
import pytest
from differences import check
from hypothesis import assume, given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from rule_cases import BINARY, standard

import nnx


@pytest.mark.parametrize("name", BINARY)
@given(shapes=hnp.mutually_broadcastable_shapes(num_shapes=2, max_dims=3, max_side=3), seed=st.integers(0, 99))
def test_broadcasting_sums_where_it_stretched(name, shapes, seed):
    rng = np.random.default_rng(seed)
    arrays = [
        np.asarray(rng.uniform(*interval, shape))
        for interval, shape in zip(((0.3, 0.5), (0.6, 0.9)), shapes.input_shapes, strict=True)
    ]
    check(lambda x, y: getattr(nnx.namespace(x, y), name)(x, y), arrays, rng)


@pytest.mark.parametrize("name", ["abs", "clip", "exp", "sign", "tanh"])
@given(shape=hnp.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=3))
def test_elementwise(name, shape):
    rng = np.random.default_rng(0)
    check(lambda x: getattr(nnx.namespace(x), name)(x), [np.asarray(rng.uniform(0.3, 0.9, shape))], rng)


@pytest.mark.parametrize("name", ["max", "mean", "min", "prod", "std", "sum", "var", "linalg.vector_norm"])
@given(data=st.data())
def test_reductions(name, data):
    may_be_empty = name in ("prod", "sum", "linalg.vector_norm")
    shape = data.draw(hnp.array_shapes(min_dims=0, max_dims=3, min_side=0 if may_be_empty else 2, max_side=3))
    axes = st.none() | st.integers(-len(shape), len(shape) - 1) if shape else st.none()
    axis = data.draw(axes | hnp.valid_tuple_axes(len(shape)) if shape else axes)
    assume(name not in ("std", "var") or (shape and axis != ()))  # of one number, where the standard has its kink
    keepdims = data.draw(st.booleans())
    rng = np.random.default_rng(0)
    # Numbers that are apart from each other, in any order.
    x = np.reshape(1.0 + rng.permutation(int(np.prod(shape))) / 9.0, shape)
    check(lambda x: standard(name)(nnx.namespace(x), x, axis=axis, keepdims=keepdims), [x], rng)


@pytest.mark.parametrize("name", ["cumulative_prod", "cumulative_sum", "diff", "flip", "sort"])
@given(data=st.data())
def test_along_an_axis(name, data):
    shape = data.draw(hnp.array_shapes(min_dims=1, max_dims=3, min_side=0, max_side=4))
    axis = data.draw(st.integers(-len(shape), len(shape) - 1))
    rng = np.random.default_rng(0)
    x = np.reshape(1.0 + rng.permutation(int(np.prod(shape))) / 9.0, shape)
    check(lambda x: getattr(nnx.namespace(x), name)(x, axis=axis), [x], rng)


@given(data=st.data())
def test_basic_keys(data):
    shape = data.draw(hnp.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=4))
    key = data.draw(hnp.basic_indices(shape, allow_newaxis=True))
    rng = np.random.default_rng(0)
    check(lambda x: x[key] ** 2, [np.asarray(rng.normal(size=shape))], rng)


@given(data=st.data())
def test_keys_of_integer_arrays(data):
    shape = data.draw(hnp.array_shapes(max_dims=3, max_side=4))
    result_shape = hnp.array_shapes(min_dims=0, max_dims=2, min_side=0, max_side=5)
    key = data.draw(hnp.integer_array_indices(shape, result_shape=result_shape))
    rng = np.random.default_rng(0)
    check(lambda x: x[key] ** 2, [np.asarray(rng.normal(size=shape))], rng)


@given(data=st.data())
def test_take(data):
    shape = data.draw(hnp.array_shapes(max_dims=3, max_side=4))
    axis = data.draw(st.integers(-len(shape), len(shape) - 1))
    indices = data.draw(hnp.arrays(np.int8, st.integers(0, 6), elements=st.integers(0, shape[axis] - 1)))
    along = np.reshape(indices, [-1 if i == axis % len(shape) else 1 for i in range(len(shape))])
    rng = np.random.default_rng(0)
    x = np.asarray(rng.normal(size=shape))
    check(lambda x: nnx.namespace(x).take(x, indices, axis=axis) ** 2, [x], rng)
    check(lambda x: nnx.namespace(x).take_along_axis(x, along, axis=axis) ** 2, [x], rng)
