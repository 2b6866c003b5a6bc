import numpy as np
import pytest

from nnx.backend import device_of, namespace, to_numpy
from nnx.data import DataLoader, Dataset, Source, as_dataset
from nnx.errors import ArgumentError, DataError


class Rows:
    """As a torch ``Dataset``: it has ``__len__`` and ``__getitem__``."""

    def __init__(self, samples=5):
        self.asked = []
        self.length = samples

    def __len__(self):
        return self.length

    def __getitem__(self, index):
        self.asked.append(index)
        if not 0 <= index < self.length:
            raise IndexError(index)
        return {"x": np.full(2, float(index)), "y": index}


class HuggingFaceStyle(Rows):
    """A table whose rows are dicts, whose columns are asked for by name, and which returns several rows at once."""

    def __getitems__(self, indices):
        self.asked.append(indices)
        return [{"ids": [i, i + 1], "y": i} for i in indices]


class Table:
    """A table of columns, as xarray's ``Dataset``: its length is that of its columns' names."""

    def __init__(self, **columns):
        self.columns = columns

    def __len__(self):
        return len(self.columns)

    def __getitem__(self, name):
        return self.columns[name]

    def keys(self):
        return self.columns.keys()


class Column:
    """As a column of pandas or xarray, which is no array of the standard."""

    def __init__(self, values):
        self.values = values
        self.dtype, self.shape = np.asarray(values).dtype, np.shape(values)

    def __getitem__(self, index):
        return self.values[index]

    def __array__(self, dtype=None, copy=None):
        return np.asarray(self.values)


def test_what_is_indexed_sample_by_sample():
    source = as_dataset(Rows())
    assert len(source) == 5
    assert source[-1]["y"] == 4
    assert source[1:4]["y"].tolist() == [1, 2, 3]
    assert source[::-2]["y"].tolist() == [4, 2, 0]
    assert source[[3, 0, 3]]["x"].tolist() == [[3, 3], [0, 0], [3, 3]]
    assert [sample["y"] for sample in source] == [0, 1, 2, 3, 4]
    assert repr(source) == "Indexed(5 samples of Rows)"


def test_several_samples_are_asked_for_at_once():
    rows = HuggingFaceStyle()
    batch = as_dataset(rows)[[3, 1]]
    assert batch["ids"].tolist() == [[3, 4], [1, 2]]
    assert rows.asked == [[3, 1]]


def test_list_of_samples():
    batches = list(DataLoader([(1.0, 0), (2.0, 1), (3.0, 0)], 2, shuffle=False))
    assert [[part.tolist() for part in batch] for batch in batches] == [[[1, 2], [0, 1]], [[3], [0]]]


def test_torch_dataset():
    torch = pytest.importorskip("torch", reason="torch is not installed")
    data = torch.utils.data.TensorDataset(torch.arange(6.0).reshape(3, 2), torch.arange(3))
    x, y = as_dataset(data)[[2, 0]]
    assert torch.equal(x, torch.tensor([[4.0, 5.0], [0.0, 1.0]]))
    assert torch.equal(y, torch.tensor([2, 0]))


def test_table_of_columns(xp):
    table = Table(x=xp.asarray(np.arange(6).reshape(3, 2)), y=xp.asarray([5, 6, 7], "int32"))
    dataset = as_dataset(table)
    assert len(dataset) == 3
    assert to_numpy(dataset[1:]["y"]).tolist() == [6, 7]
    foreign = as_dataset(Table(a=Column([1.0, 2.0]), b=Column([3, 4])))
    assert foreign[[1]]["b"].tolist() == [4]
    with pytest.raises(DataError, match="column 'name': expected numbers, got <U5; select the columns that hold"):
        as_dataset(Table(name=Column(["Ada", "Grace"])))


def test_sources_and_arrays_together(xp):
    labels = xp.asarray([7, 8, 9, 10, 11], "int32")
    joined = as_dataset((as_dataset(Rows()), labels))
    x, y = joined[[4, 0]]
    assert x["y"].tolist() == [4, 0]
    assert to_numpy(y).tolist() == [11, 7]
    assert (namespace(y), device_of(y)) == (namespace(labels), device_of(labels))
    assert int(to_numpy(joined[1:3][1])[0]) == int(to_numpy(joined[1][1])) == 8
    assert repr(joined) == "Joined(5 samples of 2 parts)"
    named = as_dataset({"rows": as_dataset(Rows()), "label": labels})
    assert list(named[1]) == list(named[[1]]) == ["rows", "label"]
    with pytest.raises(DataError, match="expected parts with the same number of samples, got 4, 5; check that they"):
        as_dataset((as_dataset(Rows(4)), labels))


def test_what_a_dataset_is_made_of():
    x = np.arange(3)
    dataset = Dataset(x)
    assert as_dataset(dataset) is dataset
    assert as_dataset([x, x]).arrays == (x, x)
    assert as_dataset({"x": x}).names == ("x",)


class Iterable:
    """As a Hugging Face ``IterableDataset``, which inherits ``__getitem__`` and does not have it."""

    __getitem__ = None

    def __iter__(self):
        return iter(range(3))


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (Iterable(), "got Iterable; wrap what can only be iterated over in nnx.data.Stream"),
        (np.arange(3), r"got ndarray; write \(x,\) for a single array"),
        (3, r"got int; write"),
        ({0: np.arange(3)}, "got dict; write"),
        ({}, "got dict; write"),
        (Column([1]), r"got Column; write \(np\.asarray\(x\),\)"),
        ("text", "got str; write"),
        ({1, 2}, "got set; wrap what can only be iterated over in nnx.data.Stream"),
        ((i for i in range(3)), "got generator; wrap what can only be iterated over in nnx.data.Stream"),
    ],
)
def test_anything_else(data, message):
    expected = "expected a Dataset, a tuple of arrays, a dict of them with names, a table of columns, or anything with "
    with pytest.raises(ArgumentError, match=expected + "samples that has __len__ and __getitem__, " + message):
        as_dataset(data)


def test_parts_that_are_no_arrays():
    with pytest.raises(DataError, match="expected arrays, got list for array 1; convert it"):
        as_dataset((np.arange(2), [0, 1]))
    with pytest.raises(DataError, match="expected arrays, got list for array 1; convert it"):
        as_dataset([np.arange(2), [0, 1]])


@pytest.mark.parametrize(
    ("index", "error", "message"),
    [
        (5, DataError, "expected rows from -5 to 4 of 5 samples, got 5"),
        ([0, -6], DataError, "expected rows from -5 to 4 of 5 samples, got -6"),
        ([0.5], ArgumentError, r"expected an int, a slice or integers of shape \(rows,\) as index, got float64"),
    ],
)
def test_bad_index(index, error, message):
    with pytest.raises(error, match=message):
        as_dataset(Rows())[index]


class Broken(Source):
    def __init__(self, error):
        self.error = error

    def __len__(self):
        return 9

    def sample(self, row):
        if row == 7:
            raise self.error
        return float(row)


def test_an_error_says_which_sample_it_was():
    with pytest.raises(DataError, match=r"^sample 7: picture: expected an image$"):
        Broken(DataError("picture: expected an image"))[[1, 7]]
    with pytest.raises(KeyError) as caught:
        Broken(KeyError("column"))[5:]
    assert caught.value.__notes__ == ["This was sample 7."]


def test_a_source_must_say_how():
    with pytest.raises(NotImplementedError):
        len(Source())
    with pytest.raises(NotImplementedError):
        Source().sample(0)
