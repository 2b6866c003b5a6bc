import itertools

import numpy as np
import pytest

from nnx.data import DataLoader, Stream
from nnx.errors import ArgumentError, CheckpointError, DataError, UsageError


def counting(epoch):
    yield from ((np.full(2, number), epoch) for number in range(7))


def found(loader):
    return [(x[:, 0].tolist(), epoch.tolist()) for x, epoch in loader]


@pytest.mark.parametrize("workers", [0, 1])
def test_samples_of_a_generator_function(workers):
    loader = DataLoader(Stream(counting), 3, shuffle=False, workers=workers)
    assert found(loader) == [([0, 1, 2], [0] * 3), ([3, 4, 5], [0] * 3), ([6], [0])]
    assert found(loader)[2] == ([6], [1])
    assert len(found(DataLoader(Stream(counting), 3, shuffle=False, drop_last=True, workers=workers))) == 2


@pytest.mark.parametrize("size", [3, None])
@pytest.mark.parametrize("workers", [0, 1])
def test_a_run_goes_on_with_the_rest(size, workers):
    def batches():
        yield from (np.full(n + 1, n) for n in range(5))

    def loader():
        return DataLoader(Stream(batches if size is None else counting, ragged=size is None), size, shuffle=False,
                          workers=workers, transform=lambda batch, key: (batch, key.indices))  # fmt: skip

    whole = loader()
    expected = [indices.tolist() for _, indices in whole]
    assert list(itertools.chain(*expected)) == list(range(15 if size is None else 7))
    for taken in range(len(expected) + 1):
        stopped, resumed = loader(), loader()
        for _ in itertools.islice(stopped, taken):
            pass
        resumed.load_state_dict(stopped.state_dict())
        assert [indices.tolist() for _, indices in resumed] == expected[taken:]
        assert resumed.state_dict() == whole.state_dict()
    resumed.load_state_dict({"version": 1, "epoch": 0, "batch": 9})
    with pytest.raises(DataError, match=r"expected at least 9 batches in epoch 0, got a stream with [35]; check"):
        list(resumed)


def test_length():
    loader = DataLoader(Stream(itertools.count, length=5), 2, shuffle=False)
    assert len(loader) == len(list(loader)) == 3
    with pytest.raises(CheckpointError, match="expected a position in an epoch of 3 batches, got 4 taken"):
        loader.load_state_dict({"version": 1, "epoch": 0, "batch": 4})
    unknown = DataLoader(Stream(range(3)), 2, shuffle=False)
    for kind in (UsageError, TypeError):
        with pytest.raises(kind, match=r"expected a stream of known length, got one without; pass nnx\.data\.S"):
            len(unknown)
    assert [batch.tolist() for batch in unknown] == [[0, 1], [2]]
    assert repr(Stream(counting, 3)) == "Stream(counting, length=3)"
    assert repr(Stream([1])) == "Stream(list, length=None)"


@pytest.mark.parametrize("workers", [0, 1])
def test_ends_early(workers):
    loader = DataLoader(Stream(range(5), length=7), 2, shuffle=False, workers=workers)
    message = "batch 2 of epoch 0: expected 7 items in epoch 0, got a stream that ended after 5; check what produces"
    with pytest.raises(DataError, match=message):
        list(loader)
    assert loader.batch == 2


@pytest.mark.parametrize("size", [2, None])
def test_empty(size):
    with pytest.raises(DataError, match="expected at least 1 items in epoch 0, got a stream that ended after 0"):
        list(DataLoader(Stream([]), size, shuffle=False))


def test_drop_last_leaves_nothing():
    with pytest.raises(DataError, match=r"expected at least 1 batch in epoch 0, got .* with 0; check .* drop_last"):
        list(DataLoader(Stream([1, 2]), 3, shuffle=False, drop_last=True))


@pytest.mark.parametrize(
    ("third", "message"),
    [
        (
            (np.ones((2, 4)), np.ones(2)),
            r"batch 2, '0': expected shape \(\*, 3\) of float64, .* got .*, 4\)",
        ),
        ((np.ones((2, 3)), np.ones((2, 1))), r"batch 2, '1': expected shape \(\*\) of float64, .* got shape \(\*, 1\)"),
        ((np.ones((2, 3)),), r"batch 2, '1': expected shape \(\*\) of float64, .* got nothing; if that is meant, pass"),
        ((np.ones((2, 3)), np.ones(2, int)), r"batch 2, '1': expected .* float64, as in the first batch, got .* int64"),
        ((np.ones((2, 3)), np.float64(1)), r"batch 2, '1': expected shape \(\*\) of float64, .* got shape \(\) of"),
    ],
)
def test_a_batch_of_another_shape(third, message):
    batches = [(np.ones((4, 3)), np.ones(4)), (np.ones((2, 3)), np.ones(2)), third]
    with pytest.raises(DataError, match=message):
        list(DataLoader(Stream(batches), None, shuffle=False))
    assert len(list(DataLoader(Stream(batches, ragged=True), None, shuffle=False))) == 3


def test_an_iterator_serves_one_epoch():
    loader = DataLoader(Stream(iter(range(4))), 2, shuffle=False)
    assert [batch.tolist() for batch in loader] == [[0, 1], [2, 3]]
    message = "expected data for one more epoch, got an iterator that was used before .*; hand over the function"
    with pytest.raises(UsageError, match=message):
        list(loader)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Stream(3), "expected an iterable, or a function that returns one, got int"),
        (lambda: Stream([1], length=0), "expected length to be an integer of at least 1, got 0"),
        (lambda: DataLoader(Stream([1]), 1), "expected shuffle=False and no sampler for a stream, which has an order"),
        (
            lambda: DataLoader(Stream([1]), 1, shuffle=False, sampler=lambda seed, epoch: [0]),
            "expected shuffle=False and no sampler for a stream",
        ),
        (
            lambda: DataLoader(Stream([1]), 1, shuffle=False, workers=2),
            "expected at most 1 worker for a stream, got 2; it is read in order",
        ),
    ],
)
def test_bad_arguments(make, message):
    with pytest.raises(ArgumentError, match=message):
        make()


def test_the_error_of_a_generator_comes_in_the_loop():
    def failing():
        yield 1.0
        raise OSError("the sensor is gone")

    with pytest.raises(OSError, match="the sensor is gone") as caught:
        list(DataLoader(Stream(failing), 1, shuffle=False, workers=1))
    assert caught.value.__notes__ == ["This was batch 1 of epoch 0."]
