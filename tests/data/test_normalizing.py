import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import nnx
from nnx.backend import device_of, namespace, to_numpy
from nnx.data import DataLoader, Dataset, Normalize, as_dataset, normalize, normalizing
from nnx.errors import ArgumentError, BackendError, DataError, DTypeError, NonFiniteError, ShapeError

small = settings(max_examples=20)


def assert_same_place(result, source):
    assert namespace(result) is namespace(source)
    assert device_of(result) == device_of(source)


@small
@given(data=st.data())
def test_mean_zero_and_std_one(xp, data):
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
def test_a_constant_row_gives_zeros(xp, value, width):
    host = np.stack([np.full(width, value), np.arange(width)])
    result = to_numpy(normalize(xp.asarray(host), axis=1))
    assert not result[0].any()
    assert np.isfinite(result).all()


def test_float64_stays(xp):
    if xp.name == "jax":
        pytest.skip("JAX has no float64 in its default mode")
    assert normalize(xp.asarray([1, 2], "float64")).dtype == xp.namespace.float64


@pytest.mark.parametrize("figures", ["numbers", "numpy scalars", "arrays", "float64 arrays"])
def test_given_figures(xp, figures):
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


def test_validation_data_take_the_figures_of_the_training_set(xp):
    train, validation = xp.asarray([[1, 5, 3], [3, 5, 7]]), xp.asarray([[2, 9, 5]])
    mean, std = (f(train, axis=0) for f in (xp.namespace.mean, xp.namespace.std))
    assert to_numpy(normalize(validation, mean, std)).tolist() == [[0, 0, 0]]
    np.testing.assert_array_equal(to_numpy(normalize(train, mean, std)), to_numpy(normalize(train, axis=0)))


def test_only_the_mean_given(xp):
    assert to_numpy(normalize(xp.asarray([1, 3]), mean=0)).tolist() == [1, 3]


def test_given_std_of_zero_gives_zero(xp):
    assert to_numpy(normalize(xp.asarray([1, 3]), std=0)).tolist() == [0, 0]


def test_input_is_not_written_to(xp):
    x = xp.asarray([1, 3])
    normalize(x)
    assert to_numpy(x).tolist() == [1, 3]


def test_integers(xp):
    with pytest.raises(DTypeError, match=r"expected x of a floating-point dtype, got .*int32; cast"):
        normalize(xp.asarray([1, 3], "int32"))


@pytest.mark.parametrize("name", ["mean", "std"])
@pytest.mark.parametrize("shape", [(2,), (3, 2, 3)])
def test_figures_that_do_not_broadcast(xp, name, shape):
    message = rf"expected {name} to broadcast to the shape \(2, 3\) of x, got \({shape[0]}.*keepdims=True"
    with pytest.raises(ShapeError, match=message):
        normalize(xp.asarray(np.ones((2, 3))), **{name: xp.asarray(np.ones(shape))})


def test_no_elements(xp):
    x = xp.asarray(np.ones((0, 3)))
    with pytest.raises(DataError, match=r"expected at least one element to normalize, got shape \(0, 3\); pass"):
        normalize(x)
    assert normalize(x, mean=0, std=1).shape == (0, 3)


def test_figures_of_another_library():
    torch = pytest.importorskip("torch")
    with pytest.raises(BackendError, match="expected arrays of one library"):
        normalize(np.ones(3), mean=torch.zeros(()))


@pytest.mark.parametrize(
    ("axis", "shape"), [(None, ()), (0, (3, 4, 5)), ((0, 2, 3), (3,)), ((0, -1), (3, 4)), ((0, 1, 2), (1, 1, 5))]
)
def test_fit_measures_over_axes(xp, axis, shape):
    host = np.random.default_rng(0).normal(3.0, 2.0, (7, 3, 4, 5)).astype("float32")
    x = xp.asarray(host)
    transform = Normalize.fit(x, axis)
    assert np.shape(transform.mean) == np.shape(transform.std) == shape
    result = transform(x)
    assert_same_place(result, x)
    assert result.dtype == xp.namespace.float32
    np.testing.assert_allclose(to_numpy(result), to_numpy(normalize(x, axis=axis)), atol=2e-6)


def test_fit_of_blocks_and_batches_is_that_of_the_whole(monkeypatch):
    x = np.random.default_rng(0).normal(1e3, 1.0, (101, 3))
    whole = Normalize.fit(x, 0)
    np.testing.assert_allclose(whole.mean, x.mean(axis=0), rtol=1e-14)
    np.testing.assert_allclose(whole.std, x.std(axis=0), rtol=1e-13)
    monkeypatch.setattr(normalizing, "_BLOCK", 21)
    blocks, batches = Normalize.fit(x, 0), Normalize.fit(DataLoader((x, x[:, 0]), 10), axis=0)
    monkeypatch.setattr(normalizing, "_SAMPLES", 7)
    named, listed = Normalize.fit(Dataset(x=x, y=x), axis=0), Normalize.fit(as_dataset([{"x": row} for row in x]), 0)
    for other in (blocks, batches, named, listed):
        np.testing.assert_allclose(other.mean, whole.mean, rtol=1e-14)
        np.testing.assert_allclose(other.std, whole.std, rtol=1e-12)


def test_fit_of_one_number_is_numpy_to_the_last_bit():
    x, _ = nnx.data.load_digits()
    fitted = Normalize.fit(x)
    assert (fitted.mean, fitted.std) == (np.mean(x, dtype=np.float64), np.std(x, dtype=np.float64))


def test_statistics_are_data():
    transform = Normalize.fit(np.arange(12.0).reshape(2, 3, 2), axis=(0, 2), parts=("x", "z"))
    assert transform == Normalize(mean=[3.5, 5.5, 7.5], std=transform.std, parts=["x", "z"])
    assert nnx.from_config(json.loads(json.dumps(transform.config()))) == transform
    assert hash(transform)


def test_uint8_images_are_converted_on_request(xp):
    x = xp.asarray([[[0, 255]]], "uint8")
    result = Normalize(127.5, 127.5, dtype="float32")(x)
    assert_same_place(result, x)
    assert result.dtype == xp.namespace.float32
    assert to_numpy(result).tolist() == [[[-1.0, 1.0]]]
    with pytest.raises(DTypeError, match=r"expected x of a floating-point dtype, got .*uint8; cast it"):
        Normalize(127.5, 127.5)(x)
    with pytest.raises(ArgumentError, match=r"expected dtype to be one of 'float32'.*, got 'int8'"):
        Normalize(dtype="int8")(x)


@pytest.mark.parametrize("bad", ["a", [1.0, [2.0]], float("nan"), [0.0, float("inf")], None, True])
def test_statistics_that_are_no_numbers(bad):
    with pytest.raises(ArgumentError, match="expected mean to be made of finite numbers, got"):
        Normalize(mean=bad)
    with pytest.raises(ArgumentError, match="expected std to be made of finite numbers of at least 0, got"):
        Normalize(std=bad)


def test_a_negative_deviation():
    with pytest.raises(ArgumentError, match=r"expected std to be made of finite numbers of at least 0, got -1\.0"):
        Normalize(std=-1.0)


def test_statistics_of_other_features(xp):
    message = r"expected statistics that lie along axis 1 of x and those after it, of shape \(4, 2\), got \(3,\); fit"
    with pytest.raises(ShapeError, match=message):
        Normalize(mean=(1.0, 2.0, 3.0))(xp.asarray(np.ones((4, 2))))
    with pytest.raises(ShapeError, match=r"of shape \(2,\), got \(2,\)"):
        Normalize(mean=(1.0, 2.0))(xp.asarray(np.ones(2)))


def test_fit_of_what_cannot_be_measured():
    with pytest.raises(ArgumentError, match=r"expected axes of the data, of shape \(4, 2\), with axis 0.*, got 1"):
        Normalize.fit(np.ones((4, 2)), axis=1)
    with pytest.raises(ArgumentError, match=r"expected axes of the data, of shape \(4, 2\), .*, got \(0, 2\)"):
        Normalize.fit(np.ones((4, 2)), axis=(0, 2))
    with pytest.raises(DataError, match="expected at least one element to measure, got none; check"):
        Normalize.fit(np.ones((0, 2)))
    with pytest.raises(DataError, match="expected an array, a data set or batches to measure, got int"):
        Normalize.fit(3)
    with pytest.raises(NonFiniteError, match="expected finite numbers to measure, got NaN or infinity; look"):
        Normalize.fit(np.asarray([1.0, np.nan]))
