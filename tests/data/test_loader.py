import numpy as np
import pytest

from nnx.backend import device_of, namespace, to_numpy
from nnx.data import DataLoader, Dataset
from nnx.errors import ArgumentError, CheckpointError, DataError


@pytest.fixture
def arrays(xp):
    return xp.asarray(np.arange(20).reshape(10, 2)), xp.asarray(np.arange(10), "int32")


def order(loader):
    return [row for *_, y in loader for row in to_numpy(y).tolist()]


@pytest.mark.parametrize("shuffle", [True, False])
def test_batches_hold_every_sample_once(arrays, shuffle):
    loader = DataLoader(arrays, batch_size=4, shuffle=shuffle)
    batches = list(loader)
    assert [y.shape for _, y in batches] == [(4,), (4,), (2,)]
    assert len(loader) == 3
    for batch in batches:
        for part, source in zip(batch, arrays, strict=True):
            assert namespace(part) is namespace(source)
            assert device_of(part) == device_of(source)
            assert part.dtype == source.dtype
        x, y = map(to_numpy, batch)
        np.testing.assert_array_equal(x[:, 0], 2 * y)
    assert sorted(order(loader)) == list(range(10))


@pytest.mark.parametrize("shuffle", [True, False])
@pytest.mark.parametrize(
    ("batch_size", "drop_last"),
    [(1, False), (3, False), (3, True), (5, True), (10, False), (10, True), (11, False)],
)
def test_length_is_honest(shuffle, batch_size, drop_last):
    loader = DataLoader((np.arange(10),), batch_size, shuffle=shuffle, drop_last=drop_last)
    sizes = [len(x) for (x,) in loader]
    assert len(sizes) == len(loader)
    assert sum(sizes) == (10 - 10 % batch_size if drop_last else 10)


def test_order_is_the_same_on_every_backend(arrays):
    loader = DataLoader(arrays, batch_size=3, seed=7)
    assert order(loader) == [8, 0, 7, 1, 3, 6, 2, 4, 5, 9]
    assert order(loader) == [9, 0, 8, 6, 7, 1, 3, 4, 2, 5]


def test_each_epoch_has_an_order_of_its_own_and_a_seed_repeats_them():
    first, again, other = (DataLoader((np.arange(100),), 10, seed=seed) for seed in (0, 0, 1))
    orders = [order(first) for _ in range(3)]
    assert orders[0] != orders[1] != orders[2] != orders[0]
    assert [order(again) for _ in range(3)] == orders
    assert order(other) not in orders


def test_batch_size_does_not_change_the_order():
    assert order(DataLoader((np.arange(10),), 3)) == order(DataLoader((np.arange(10),), 4))


def test_epoch_counts_the_epochs_begun():
    loader = DataLoader((np.arange(10),), 5)
    assert loader.epoch == 0
    next(iter(loader))
    assert loader.epoch == 1
    list(loader)
    assert loader.epoch == 2


def test_a_resumed_loader_goes_on_in_the_same_order():
    loader, resumed = (DataLoader((np.arange(50),), 10, seed=3) for _ in range(2))
    list(loader)
    state = loader.state_dict()
    assert state == {"epoch": 1}
    resumed.load_state_dict(state)
    assert order(resumed) == order(loader)
    assert resumed.state_dict() == loader.state_dict()


@pytest.mark.parametrize("state", [{}, {"epoch": -1}, {"epoch": "1"}, {"epoch": 1, "batch": 2}])
def test_bad_state(state):
    loader = DataLoader((np.arange(3),), 1)
    with pytest.raises(CheckpointError, match=r"expected the loader's state {'epoch': 0 or more}, got {.*}"):
        loader.load_state_dict(state)
    assert loader.epoch == 0


def test_without_shuffle_batches_are_views():
    x = np.arange(10)
    assert all(np.shares_memory(batch, x) for (batch,) in DataLoader((x,), 3, shuffle=False))


def test_accepts_a_dataset_and_a_list():
    x = np.arange(3)
    assert DataLoader(Dataset(x), 1).dataset.arrays[0] is x
    assert DataLoader([x], 1).dataset.arrays[0] is x


def test_a_single_array():
    with pytest.raises(ArgumentError, match=r"expected a Dataset or a tuple of arrays, got ndarray; write \(x,\)"):
        DataLoader(np.arange(3), 1)


def test_no_samples(xp):
    with pytest.raises(DataError, match="expected a data set with samples, got one with none; check"):
        DataLoader((xp.asarray(np.ones((0, 2))),), 1)


@pytest.mark.parametrize("value", [0, -1, 2.5, True, None])
def test_bad_batch_size(value):
    with pytest.raises(ArgumentError, match=f"expected batch_size to be an integer of at least 1, got {value}"):
        DataLoader((np.arange(3),), value)


@pytest.mark.parametrize("value", [-1, 0.5, None])
def test_bad_seed(value):
    with pytest.raises(ArgumentError, match=f"expected seed to be an integer of at least 0, got {value}"):
        DataLoader((np.arange(3),), 1, seed=value)


def test_drop_last_that_leaves_nothing():
    message = "expected a batch_size of at most 3 samples with drop_last, got 4; use smaller"
    with pytest.raises(ArgumentError, match=message):
        DataLoader((np.arange(3),), 4, drop_last=True)


def test_repr():
    dataset = Dataset(np.arange(3))
    assert repr(DataLoader(dataset, 2)) == f"DataLoader({dataset!r}, batch_size=2, seed=0, drop_last=False)"
    assert "shuffle=False" in repr(DataLoader(dataset, 2, shuffle=False))
