import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import nnx
from nnx.backend import device_of, namespace, to_numpy
from nnx.data import OneHot, class_weights, index_to_one_hot
from nnx.errors import ArgumentError, DataError, DTypeError

small = settings(max_examples=20)
INTEGERS = ("int8", "uint8", "int32")


def assert_same_place(result, source):
    assert namespace(result) is namespace(source)
    assert device_of(result) == device_of(source)


@small
@given(data=st.data())
def test_one_hot_is_the_identity_at_the_index(xp, data):
    classes = data.draw(st.integers(1, 5))
    shape = data.draw(hnp.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=3))
    dtype = data.draw(st.sampled_from(INTEGERS))
    host = data.draw(hnp.arrays(dtype, shape, elements=st.integers(0, classes - 1)))
    index = xp.asarray(host, dtype)
    one_hot = index_to_one_hot(index, classes)
    assert_same_place(one_hot, index)
    assert one_hot.dtype == xp.namespace.float32
    np.testing.assert_array_equal(to_numpy(one_hot), np.eye(classes)[host])


def test_one_hot_width_is_the_largest_index_plus_one(xp):
    assert index_to_one_hot(xp.asarray([2, 4], "int32")).shape == (2, 5)


def test_one_hot_more_classes_than_the_index_dtype_can_count(xp):
    one_hot = index_to_one_hot(xp.asarray([0, 255], "uint8"), 300)
    assert to_numpy(one_hot).nonzero()[1].tolist() == [0, 255]


def test_one_hot_dtype(xp):
    assert index_to_one_hot(xp.asarray([0], "int32"), dtype=xp.namespace.int8).dtype == xp.namespace.int8


@pytest.mark.parametrize("wrong", [-1, 3])
def test_one_hot_index_out_of_range(xp, wrong):
    with pytest.raises(DataError, match=rf"expected class indices from 0 to 2, got {wrong}; check the labels"):
        index_to_one_hot(xp.asarray([0, wrong], "int32"), 3)


def test_one_hot_negative_index_without_classes(xp):
    with pytest.raises(DataError, match="expected class indices from 0 to 4, got -2; check the labels"):
        index_to_one_hot(xp.asarray([-2, 4], "int32"))


@pytest.mark.parametrize("dtype", ["float32", "bool"])
def test_one_hot_not_integers(xp, dtype):
    with pytest.raises(DTypeError, match=rf"expected class indices of an integer dtype, got .*{dtype}; cast"):
        index_to_one_hot(xp.asarray([0, 1], dtype))


def test_one_hot_empty_without_classes(xp):
    with pytest.raises(DataError, match=r"expected at least one class index, got shape \(0,\); pass classes"):
        index_to_one_hot(xp.asarray([], "int32"))


@pytest.mark.parametrize("classes", [0, -1, 2.0])
def test_one_hot_bad_classes(xp, classes):
    with pytest.raises(ArgumentError, match=f"expected classes to be an integer of at least 1, got {classes}"):
        index_to_one_hot(xp.asarray([0], "int32"), classes)


def test_one_hot_as_a_transform(xp):
    x, y = xp.asarray(np.ones((2, 3))), xp.asarray([2, 0], "int32")
    same, vectors = OneHot(3)((x, y))
    assert same is x
    assert_same_place(vectors, y)
    np.testing.assert_array_equal(to_numpy(vectors), to_numpy(index_to_one_hot(y, 3)))
    assert OneHot(3, dtype="int8")(y).dtype == xp.namespace.int8
    assert OneHot(3, parts="y")({"y": y, "x": x})["y"].shape == (2, 3)
    assert nnx.from_config(OneHot(3).config()) == OneHot(3)


def test_one_hot_as_a_transform_needs_a_class():
    with pytest.raises(ArgumentError, match="expected classes to be an integer of at least 1, got 0"):
        OneHot(0)


@small
@given(data=st.data())
def test_weighted_classes_have_equal_shares(xp, data):
    classes = data.draw(st.integers(1, 4))
    host = data.draw(st.lists(st.integers(0, classes - 1), max_size=20).map(lambda rest: [*range(classes), *rest]))
    labels = xp.asarray(host, "int32")
    weights = class_weights(labels)
    assert_same_place(weights, labels)
    assert weights.dtype == xp.namespace.float32
    shares = np.bincount(host, to_numpy(weights)[host])
    np.testing.assert_allclose(shares, len(host) / classes, rtol=1e-6)


def test_class_weights_are_those_of_scikit_learn():
    module = pytest.importorskip("sklearn.utils.class_weight", reason="scikit-learn is not installed")
    labels = np.random.default_rng(0).choice(5, size=100, p=[0.4, 0.3, 0.1, 0.1, 0.1])
    expected = module.compute_class_weight("balanced", classes=np.arange(5), y=labels)
    np.testing.assert_allclose(class_weights(labels), expected, rtol=1e-6)


def test_class_weights_without_samples_of_a_class():
    with pytest.raises(DataError, match="expected labels of each of 3 classes, got none of class 1; a class without"):
        class_weights(np.asarray([0, 2]))
    with pytest.raises(DataError, match="expected labels of each of 4 classes, got none of class 3"):
        class_weights(np.asarray([0, 2, 1]), 4)
    with pytest.raises(DataError, match="expected class indices from 0 to 1, got 2; check the labels or classes"):
        class_weights(np.asarray([0, 2, 1]), 2)
    with pytest.raises(DTypeError, match="expected class indices of an integer dtype, got float64"):
        class_weights(np.ones(2))
