import itertools

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


def test_a_look_at_the_first_batch_changes_nothing():
    loader, plain = (DataLoader((np.arange(10),), 3) for _ in range(2))
    epochs = [order(plain) for _ in range(2)]
    iter(loader)
    for _ in range(3):
        (first,) = next(iter(loader))
        assert first.tolist() == epochs[0][:3]
    for _ in loader:
        break
    assert order(loader) == epochs[0]
    next(iter(loader))
    assert order(loader) == epochs[1]


def test_an_epoch_that_was_left_after_its_second_batch_does_not_come_again():
    loader, plain = (DataLoader((np.arange(10),), 3) for _ in range(2))
    epochs = [order(plain) for _ in range(3)]
    for number, _ in enumerate(loader):
        if number == 1:
            break
    assert (loader.epoch, loader.batch) == (0, 2)
    assert order(loader) == epochs[1]  # and all of it

    def fail_in_the_third():
        for number, _ in enumerate(loader, start=1):
            assert loader.batch == number
            1 / (3 - number)

    with pytest.raises(ZeroDivisionError):
        fail_in_the_third()
    assert (loader.epoch, loader.batch) == (2, 3)
    assert (order(loader), loader.epoch) == (order(plain), 4)


def test_every_iterator_is_as_long_as_the_loader():
    loader = DataLoader((np.arange(10),), 3)
    for count in range(6):
        list(zip(range(count), loader, strict=False))
        assert len(list(loader)) == len(loader) == 4


def test_two_iterators_at_once_go_through_an_epoch_each_and_the_last_to_begin_moves_the_position():
    loader, plain = (DataLoader((np.arange(10),), 3) for _ in range(2))
    epochs = [order(plain) for _ in range(3)]
    pairs = [(x, y) for (x,), (y,) in zip(loader, loader, strict=True)]
    assert np.concatenate([x for x, _ in pairs]).tolist() == epochs[0]
    assert np.concatenate([y for _, y in pairs]).tolist() == epochs[0]
    assert loader.state_dict() == {"version": 1, "epoch": 1, "batch": 0}
    outer = iter(loader)
    found = [*next(outer)[0], *next(outer)[0]]
    assert order(loader) == epochs[2]
    assert loader.state_dict() == {"version": 1, "epoch": 3, "batch": 0}
    found += [row for (x,) in outer for row in x]
    assert found == epochs[1]
    assert loader.state_dict() == {"version": 1, "epoch": 3, "batch": 0}


def test_the_epoch_may_be_chosen():
    loader, plain = (DataLoader((np.arange(50),), 10) for _ in range(2))
    epochs = [order(plain) for _ in range(4)]
    for number in (3, 1):
        loader.epoch = number
        assert order(loader) == epochs[number]
    with pytest.raises(ArgumentError, match="expected epoch to be an integer of at least 0, got -1"):
        loader.epoch = -1


def rows_of(loader, count):
    """Return the rows of that many batches, over as many epochs as it takes."""
    batches = itertools.chain.from_iterable(loader for _ in range(5))
    return [to_numpy(batch[-1]).tolist() for batch in itertools.islice(batches, count)]


@pytest.mark.parametrize("shuffle", [True, False])
@pytest.mark.parametrize("taken", range(9))  # of epochs of 4 batches
def test_a_run_goes_on_anywhere_with_exactly_the_rest(arrays, shuffle, taken):
    whole, stopped, resumed = (DataLoader(arrays, 3, shuffle, seed=3) for _ in range(3))
    expected = rows_of(whole, 12)
    assert rows_of(stopped, taken) == expected[:taken]
    resumed.load_state_dict(stopped.state_dict())
    assert rows_of(resumed, 12 - taken) == expected[taken:]
    assert resumed.state_dict() == whole.state_dict()


def test_the_rest_after_the_last_batch_is_empty_and_then_comes_the_next_epoch():
    loader, resumed = (DataLoader((np.arange(5),), 2) for _ in range(2))
    states = [loader.state_dict() for _ in loader]
    assert states[-1] == {"version": 1, "epoch": 0, "batch": 3}
    resumed.load_state_dict(states[-1])
    assert order(resumed) == []
    assert resumed.state_dict() == loader.state_dict() == {"version": 1, "epoch": 1, "batch": 0}
    assert order(resumed) == order(loader)


def test_a_look_after_resuming_changes_nothing():
    loader, resumed = (DataLoader((np.arange(10),), 2) for _ in range(2))
    whole = order(loader)
    resumed.load_state_dict({"version": 1, "epoch": 0, "batch": 2})
    assert next(iter(resumed))[0].tolist() == whole[4:6]
    assert order(resumed) == whole[4:]
    assert order(resumed) == order(loader)


def test_a_state_of_the_first_version_still_loads():
    loader, plain = (DataLoader((np.arange(50),), 10) for _ in range(2))
    loader.load_state_dict({"epoch": 1})
    order(plain)
    assert order(loader) == order(plain)


@pytest.mark.parametrize(
    ("state", "message"),
    [
        ({}, "expected a loader's state {'version': 1, 'epoch': 0, 'batch': 0} with other numbers, got {}"),
        (None, "expected a loader's state, a dict, got a NoneType"),
        ([1, 2], "expected a loader's state, a dict, got a list"),
        ({"epoch": -1}, "with other numbers, got {'epoch': -1}"),
        ({"epoch": "1"}, "with other numbers, got {'epoch': '1'}"),
        ({"epoch": True}, "with other numbers, got {'epoch': True}"),
        ({"epoch": 1, "batch": 2}, "with other numbers, got {'epoch': 1, 'batch': 2}"),
        ({"version": 1, "epoch": 1, "batch": -2}, "with other numbers, got {.*}"),
        ({"version": 2, "epoch": 1, "batch": 2}, "expected a loader's state of version 1, got 2; update nnx"),
        (
            {"version": 1, "epoch": 1, "batch": 4},
            "expected a position in an epoch of 3 batches, got 4 taken; make the loader with the data",
        ),
    ],
)
def test_bad_state(state, message):
    loader = DataLoader((np.arange(3),), 1)
    with pytest.raises(CheckpointError, match=message):
        loader.load_state_dict(state)
    assert loader.state_dict() == {"version": 1, "epoch": 0, "batch": 0}


def test_arrays_with_names_come_in_dicts(arrays):
    x, y = arrays
    loader = DataLoader({"x": x, "y": y}, 4, seed=1)
    plain = DataLoader(arrays, 4, seed=1)
    for named, pair in zip(loader, plain, strict=True):
        assert list(named) == ["x", "y"]
        for part, same in zip(named.values(), pair, strict=True):
            np.testing.assert_array_equal(to_numpy(part), to_numpy(same))
    assert [list(batch) for batch in DataLoader(Dataset(x=x), 10, shuffle=False)] == [["x"]]


def test_without_shuffle_batches_are_views():
    x = np.arange(10)
    assert all(np.shares_memory(batch, x) for (batch,) in DataLoader((x,), 3, shuffle=False))


def test_accepts_a_dataset_and_a_list():
    x = np.arange(3)
    assert DataLoader(Dataset(x), 1).dataset.arrays[0] is x
    assert DataLoader([x], 1).dataset.arrays[0] is x


def test_no_samples(xp):
    with pytest.raises(DataError, match="expected a data set with samples, got one with none; check"):
        DataLoader((xp.asarray(np.ones((0, 2))),), 1)


@pytest.mark.parametrize("value", [0, -1, 2.5, True])
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
