import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from nnx.backend import device_of, namespace, to_numpy
from nnx.data import index_to_one_hot, normalize, train_validation_split
from nnx.errors import ArgumentError, BackendError, DataError, DTypeError, ShapeError

small = settings(max_examples=20)
INTEGERS = ("int8", "uint8", "int32")


def assert_same_place(result, source):
    assert namespace(result) is namespace(source)
    assert device_of(result) == device_of(source)


class TestOneHot:
    @small
    @given(data=st.data())
    def test_is_the_identity_at_the_index(self, xp, data):
        classes = data.draw(st.integers(1, 5))
        shape = data.draw(hnp.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=3))
        dtype = data.draw(st.sampled_from(INTEGERS))
        host = data.draw(hnp.arrays(dtype, shape, elements=st.integers(0, classes - 1)))
        index = xp.asarray(host, dtype)
        one_hot = index_to_one_hot(index, classes)
        assert_same_place(one_hot, index)
        assert one_hot.dtype == xp.namespace.float32
        np.testing.assert_array_equal(to_numpy(one_hot), np.eye(classes)[host])

    def test_width_is_the_largest_index_plus_one(self, xp):
        assert index_to_one_hot(xp.asarray([2, 4], "int32")).shape == (2, 5)

    def test_more_classes_than_the_index_dtype_can_count(self, xp):
        one_hot = index_to_one_hot(xp.asarray([0, 255], "uint8"), 300)
        assert to_numpy(one_hot).nonzero()[1].tolist() == [0, 255]

    def test_dtype(self, xp):
        assert index_to_one_hot(xp.asarray([0], "int32"), dtype=xp.namespace.int8).dtype == xp.namespace.int8

    @pytest.mark.parametrize("wrong", [-1, 3])
    def test_index_out_of_range(self, xp, wrong):
        with pytest.raises(DataError, match=rf"expected class indices from 0 to 2, got {wrong}; check the labels"):
            index_to_one_hot(xp.asarray([0, wrong], "int32"), 3)

    def test_negative_index_without_classes(self, xp):
        with pytest.raises(DataError, match="expected class indices from 0 to 4, got -2; check the labels"):
            index_to_one_hot(xp.asarray([-2, 4], "int32"))

    @pytest.mark.parametrize("dtype", ["float32", "bool"])
    def test_not_integers(self, xp, dtype):
        with pytest.raises(DTypeError, match=rf"expected class indices of an integer dtype, got .*{dtype}; cast"):
            index_to_one_hot(xp.asarray([0, 1], dtype))

    def test_empty_without_classes(self, xp):
        with pytest.raises(DataError, match=r"expected at least one class index, got shape \(0,\); pass classes"):
            index_to_one_hot(xp.asarray([], "int32"))

    @pytest.mark.parametrize("classes", [0, -1, 2.0])
    def test_bad_classes(self, xp, classes):
        with pytest.raises(ArgumentError, match=f"expected classes to be an integer of at least 1, got {classes}"):
            index_to_one_hot(xp.asarray([0], "int32"), classes)


class TestNormalize:
    @small
    @given(data=st.data())
    def test_mean_zero_and_std_one(self, xp, data):
        axis = data.draw(st.sampled_from([None, 0, 1, (0, 1)]))
        shape = data.draw(st.sampled_from([(1, 1), (1, 4), (5, 3)]))
        host = data.draw(hnp.arrays("float32", shape, elements=st.integers(-100, 100).map(float)))
        x = xp.asarray(host)
        result = normalize(x, axis=axis)
        assert_same_place(result, x)
        assert result.dtype == xp.namespace.float32
        assert result.shape == shape
        std = np.std(host, axis=axis)
        np.testing.assert_allclose(np.mean(to_numpy(result), axis=axis), 0, atol=1e-5)
        np.testing.assert_allclose(np.std(to_numpy(result), axis=axis), std > 0, atol=1e-5)

    @small
    @given(value=st.floats(-1e6, 1e6, width=32), width=st.sampled_from([1, 3, 50]))
    def test_a_constant_row_gives_zeros(self, xp, value, width):
        host = np.stack([np.full(width, value), np.arange(width)])
        result = to_numpy(normalize(xp.asarray(host), axis=1))
        assert not result[0].any()
        assert np.isfinite(result).all()

    def test_float64_stays(self, xp):
        if xp.name == "jax":
            pytest.skip("JAX has no float64 in its default mode")
        assert normalize(xp.asarray([1, 2], "float64")).dtype == xp.namespace.float64

    @pytest.mark.parametrize("figures", ["numbers", "numpy scalars", "arrays", "float64 arrays"])
    def test_given_figures(self, xp, figures):
        if xp.name == "jax" and figures == "float64 arrays":
            pytest.skip("JAX has no float64 in its default mode")
        make = {
            "numbers": float,
            "numpy scalars": np.float64,
            "arrays": xp.asarray,
            "float64 arrays": lambda value: xp.asarray(value, "float64"),
        }[figures]
        x = xp.asarray([2, 5])
        result = normalize(x, mean=make(2), std=make(3))
        assert_same_place(result, x)
        assert result.dtype == xp.namespace.float32
        assert to_numpy(result).tolist() == [0, 1]

    def test_validation_data_take_the_figures_of_the_training_set(self, xp):
        train, validation = xp.asarray([[1, 5, 3], [3, 5, 7]]), xp.asarray([[2, 9, 5]])
        mean, std = (f(train, axis=0) for f in (xp.namespace.mean, xp.namespace.std))
        assert to_numpy(normalize(validation, mean, std)).tolist() == [[0, 0, 0]]
        np.testing.assert_array_equal(to_numpy(normalize(train, mean, std)), to_numpy(normalize(train, axis=0)))

    def test_only_the_mean_given(self, xp):
        assert to_numpy(normalize(xp.asarray([1, 3]), mean=0)).tolist() == [1, 3]

    def test_given_std_of_zero_gives_zero(self, xp):
        assert to_numpy(normalize(xp.asarray([1, 3]), std=0)).tolist() == [0, 0]

    def test_input_is_not_written_to(self, xp):
        x = xp.asarray([1, 3])
        normalize(x)
        assert to_numpy(x).tolist() == [1, 3]

    def test_integers(self, xp):
        with pytest.raises(DTypeError, match=r"expected x of a floating-point dtype, got .*int32; cast"):
            normalize(xp.asarray([1, 3], "int32"))

    @pytest.mark.parametrize("name", ["mean", "std"])
    @pytest.mark.parametrize("shape", [(2,), (3, 2, 3)])
    def test_figures_that_do_not_broadcast(self, xp, name, shape):
        message = rf"expected {name} to broadcast to the shape \(2, 3\) of x, got \({shape[0]}.*keepdims=True"
        with pytest.raises(ShapeError, match=message):
            normalize(xp.asarray(np.ones((2, 3))), **{name: xp.asarray(np.ones(shape))})

    def test_no_elements(self, xp):
        x = xp.asarray(np.ones((0, 3)))
        with pytest.raises(DataError, match=r"expected at least one element to normalize, got shape \(0, 3\); pass"):
            normalize(x)
        assert normalize(x, mean=0, std=1).shape == (0, 3)

    def test_figures_of_another_library(self):
        torch = pytest.importorskip("torch")
        with pytest.raises(BackendError, match="expected arrays of one library"):
            normalize(np.ones(3), mean=torch.zeros(()))


class TestSplit:
    def test_every_sample_lands_on_one_side(self, xp):
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

    def test_order_is_the_same_on_every_backend(self, xp):
        y = xp.asarray(np.arange(10), "int32")
        assert to_numpy(train_validation_split(y, y)[3]).tolist() == [4, 6]

    def test_rng(self):
        y = np.arange(100)
        first, again, other = (train_validation_split(y, y, rng=rng)[1].tolist() for rng in (1, 1, 2))
        assert first == again != other
        assert train_validation_split(y, y, rng=np.random.default_rng(1))[1].tolist() == first

    @pytest.mark.parametrize(("samples", "fraction", "validation"), [(10, 0.25, 2), (10, 0.35, 4), (3, 0.5, 2)])
    def test_count(self, samples, fraction, validation):
        y = np.arange(samples)
        assert len(train_validation_split(y, y, fraction)[3]) == validation

    @pytest.mark.parametrize("fraction", [0, 1, -0.5, 20, float("nan")])
    def test_bad_fraction(self, fraction):
        with pytest.raises(ArgumentError, match=f"expected a fraction between 0 and 1, got {fraction}"):
            train_validation_split(np.ones(5), np.ones(5), fraction)

    def test_an_empty_side(self):
        with pytest.raises(DataError, match=r"expected samples on both sides, got 0 of 2 to validate; change"):
            train_validation_split(np.ones(2), np.ones(2), 0.1)

    def test_lengths_differ(self, xp):
        with pytest.raises(DataError, match=r"expected first axes of one length, .*got shapes \(2,\), \(3,\); check"):
            train_validation_split(xp.asarray([1, 2]), xp.asarray([1, 2, 3]))
