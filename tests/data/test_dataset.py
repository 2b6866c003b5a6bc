import numpy as np
import pytest

from nnx.backend import device_of, namespace, to_numpy
from nnx.data import Dataset
from nnx.errors import ArgumentError, BackendError, DataError, DeviceError


@pytest.fixture
def dataset(xp):
    return Dataset(xp.asarray(np.arange(10).reshape(5, 2)), xp.asarray(np.arange(5), "int32"))


def test_length_and_arrays(dataset):
    assert len(dataset) == 5
    assert [array.shape for array in dataset.arrays] == [(5, 2), (5,)]


@pytest.mark.parametrize("index", [0, 4, -1, np.int64(2)])
def test_one_sample(dataset, index):
    x, y = dataset[index]
    assert (x.shape, y.shape) == ((2,), ())
    assert to_numpy(y) == range(5)[index]
    assert to_numpy(x).tolist() == [2 * int(to_numpy(y)), 2 * int(to_numpy(y)) + 1]


@pytest.mark.parametrize(
    "index",
    [
        slice(1, 3), slice(None), slice(None, None, 2), slice(3, 100), slice(4, 2), slice(9, 20),
        slice(None, None, -1), slice(-2, None), slice(1, 4, -1),
    ],
    ids=str,
)  # fmt: skip
def test_slices_are_those_of_a_list(dataset, index):
    x, y = dataset[index]
    assert to_numpy(y).tolist() == list(range(5))[index]
    assert x.shape == (len(range(5)[index]), 2)


@pytest.mark.parametrize(
    "index",
    [np.asarray([3, 0, 3]), [3, 0, -2], np.asarray([3, 0, 3], np.uint8)],
    ids=["array", "list", "uint8"],
)
def test_index_array(dataset, index):
    x, y = dataset[index]
    assert to_numpy(y).tolist() == [3, 0, 3]
    assert namespace(x) is namespace(dataset.arrays[0])
    assert device_of(x) == device_of(dataset.arrays[0])


def test_index_array_of_the_same_library(xp, dataset):
    assert to_numpy(dataset[xp.asarray([4, 1], "int32")][1]).tolist() == [4, 1]


def test_empty_index_array(dataset):
    assert dataset[np.asarray([], np.int64)][0].shape == (0, 2)


def test_iteration_gives_each_sample_once(dataset):
    assert [int(to_numpy(y)) for _, y in dataset] == [0, 1, 2, 3, 4]


def test_slices_are_views():
    x = np.arange(4)
    assert np.shares_memory(Dataset(x)[1:3][0], x)


@pytest.mark.parametrize("index", [5, -6, [0, 5], np.asarray([-6])])
def test_out_of_range(dataset, index):
    wrong = np.ravel(index)[-1]
    with pytest.raises(DataError, match=rf"expected rows from -5 to 4 of 5 samples, got {wrong}$"):
        dataset[index]


@pytest.mark.parametrize(
    ("index", "got"),
    [
        ([True, False], r"bool of shape \(2,\)"),
        ([0.0], r"float64 of shape \(1,\)"),
        ([[0]], r"int64 of shape \(1, 1\)"),
        ("first", r"<U5 of shape \(\)"),
        (None, r"object of shape \(\)"),
    ],
)
def test_index_of_another_kind(dataset, index, got):
    message = rf"expected an int, a slice or integers of shape \(rows,\) as index, got {got}"
    with pytest.raises(ArgumentError, match=message):
        dataset[index]


def test_no_arrays():
    with pytest.raises(DataError, match=r"expected at least one array, got none; write Dataset\(x\)"):
        Dataset()


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        (([[1.0], [2.0]],), "expected arrays, got list for array 0; convert it, for example with np.asarray"),
        ((np.ones((2, 2)), [0, 1]), "expected arrays, got list for array 1; convert"),
        ((None,), "expected arrays, got NoneType for array 0"),
        (("abc",), "expected arrays, got str for array 0"),
        ((np.ma.masked_array([1.0, 2.0], [0, 1]),), "expected no masked arrays, got one for array 0: the mask would"),
        ((np.asarray([[1], [2, 3]], object),), "expected numbers, got Python objects for array 0; give all rows one"),
    ],
)
def test_what_is_no_array_of_numbers(arrays, message):
    with pytest.raises(DataError, match=message):
        Dataset(*arrays)


def test_names(xp):
    x, y = xp.asarray(np.arange(10).reshape(5, 2)), xp.asarray(np.arange(5), "int32")
    dataset = Dataset(image=x, label=y)
    assert dataset.names == ("image", "label")
    for index, shape in ((0, ()), (slice(1, 3), (2,)), ([4, 0, 4], (3,)), (slice(None, None, -1), (5,))):
        sample = dataset[index]
        assert list(sample) == ["image", "label"]
        assert tuple(sample["label"].shape) == shape
        assert tuple(sample["image"].shape) == (*shape, 2)
    assert [int(to_numpy(sample["label"])) for sample in dataset] == [0, 1, 2, 3, 4]
    assert repr(Dataset(x=np.ones((2, 3)))) == "Dataset(2 samples: x: (3,) float64)"
    with pytest.raises(ArgumentError, match="expected arrays that all have names or none, got 1 without and label"):
        Dataset(x, label=y)
    with pytest.raises(DataError, match="expected arrays, got list for the array 'label'"):
        Dataset(image=x, label=[0, 1])


@pytest.mark.parametrize("shape", [(4, 2), ()])
def test_lengths_differ(xp, shape):
    message = r"expected first axes of one length, the number of samples, got shapes \(3,\), \(.*\); check"
    with pytest.raises(DataError, match=message):
        Dataset(xp.asarray([1, 2, 3]), xp.asarray(np.ones(shape)))


def test_two_libraries():
    torch = pytest.importorskip("torch")
    with pytest.raises(BackendError, match=r"expected arrays of one library, got numpy .* and torch"):
        Dataset(np.ones(3), torch.ones(3))


def test_two_devices():
    strict = pytest.importorskip("array_api_strict")
    x, y = (strict.ones(3, device=strict.Device(name)) for name in ("CPU_DEVICE", "device1"))
    with pytest.raises(DeviceError, match=r"expected arrays on one device, got .*CPU.*, .*device1.*; move"):
        Dataset(x, y)


def test_repr():
    dataset = Dataset(np.ones((5, 2), np.float32), np.arange(5))
    assert repr(dataset) == "Dataset(5 samples: (2,) float32, () int64)"
