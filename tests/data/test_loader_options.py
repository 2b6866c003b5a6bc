import signal
import subprocess
import sys
import threading
import time

import numpy as np
import pytest

import nnx
from nnx.backend import device_of, namespace, to_numpy
from nnx.data import DataLoader, SampleKey, WeightedSampler
from nnx.data.base import Source
from nnx.errors import ArgumentError, BackendError, DataError


class Slow(Source):
    """Samples that take unequal times, so that threads finish in another order."""

    def __init__(self, length=12, broken=None):
        self.length, self.broken, self.read = length, broken, []

    def __len__(self):
        return self.length

    def sample(self, row):
        time.sleep(0.002 * (row % 3))
        self.read.append(row)
        if row == self.broken:
            raise DataError("expected a picture, got none")
        return {"x": np.full(2, row), "thread": threading.current_thread().name, "backend": nnx.get_backend().name}


def threads():
    return [thread for thread in threading.enumerate() if thread.name.startswith("nnx-data")]


def rows(batches):
    return [batch["x"][:, 0].tolist() for batch in batches]


@pytest.mark.parametrize("workers", [1, 3])
@pytest.mark.parametrize("shuffle", [True, False])
def test_threads_change_neither_order_nor_values(workers, shuffle):
    plain, threaded = (DataLoader(Slow(), 2, shuffle, seed=1, workers=number) for number in (0, workers))
    for _ in range(2):
        batches = list(threaded)
        assert rows(batches) == rows(plain)
        assert all(name.startswith("nnx-data") for batch in batches for name in batch["thread"])
    assert threaded.state_dict() == plain.state_dict()
    assert not threads()


def test_a_state_counts_only_what_was_yielded():
    loader, plain = (DataLoader(Slow(), 2, workers=number) for number in (2, 0))
    expected = rows(plain) + rows(plain)
    for number, _ in enumerate(loader, start=1):
        state = loader.state_dict()
        assert state == {"version": 1, "epoch": 0, "batch": number}
        resumed = DataLoader(Slow(), 2, workers=2)
        resumed.load_state_dict(state)
        assert rows(resumed) == expected[number:6]
        assert rows(resumed) == expected[6:]


def test_as_many_batches_are_read_ahead_as_was_said():
    source = Slow(20)
    batches = iter(DataLoader(source, 2, shuffle=False, workers=1, prefetch=3))
    next(batches)
    deadline = time.monotonic() + 5
    while len(source.read) < 8 and time.monotonic() < deadline:
        time.sleep(0.001)
    time.sleep(0.02)
    assert sorted(source.read) == list(range(8))
    batches.close()


@pytest.mark.parametrize("leave", ["break", "error", "interrupt", "close", "del"])
def test_no_thread_survives(leave):
    loader = DataLoader(Slow(), 2, workers=2)

    def loop():
        for number, _ in enumerate(loader):
            assert threads()
            if number == 1:
                if leave == "break":
                    break
                raise {"error": ZeroDivisionError, "interrupt": KeyboardInterrupt}[leave]

    if leave == "break":
        loop()
    elif leave in ("error", "interrupt"):
        with pytest.raises((ZeroDivisionError, KeyboardInterrupt)):
            loop()
    else:
        batches = iter(loader)
        next(batches)
        assert threads()
        if leave == "close":
            batches.close()
        del batches
    assert not threads()


@pytest.mark.parametrize("workers", [0, 2])
def test_the_error_of_a_worker_comes_in_the_loop_in_its_turn(workers):
    loader, seen = DataLoader(Slow(broken=7), 2, shuffle=False, workers=workers), []
    message = "^batch 3 of epoch 0: sample 7: expected a picture, got none$"
    with pytest.raises(DataError, match=message):
        seen.extend(batch["x"][0, 0] for batch in loader)
    assert not threads()
    assert loader.state_dict() == {"version": 1, "epoch": 0, "batch": 3}


def test_threads_see_the_selected_backend(xp):
    with nnx.use_backend(xp.spec):
        (batch,) = DataLoader(Slow(2), 2, workers=1)
    assert batch["backend"] == [xp.spec.partition(":")[0]] * 2


@pytest.mark.parametrize("workers", [0, 2])
def test_batches_are_moved(xp, workers):
    loader = DataLoader({"x": np.arange(10.0)}, 4, shuffle=False, to=xp.spec, workers=workers)
    batches = [batch["x"] for batch in loader]
    assert all(namespace(x) is namespace(xp.empty) and device_of(x) == device_of(xp.empty) for x in batches)
    assert [to_numpy(x).tolist() for x in batches] == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9]]


def test_there_is_no_such_backend():
    with pytest.raises(BackendError, match="unknown backend 'abacus'"):
        DataLoader((np.arange(3),), 1, to="abacus")


def test_transform_of_a_batch():
    loader = DataLoader((np.arange(4),), 2, shuffle=False, transform=lambda batch: batch[0] * 10)
    assert [batch.tolist() for batch in loader] == [[0, 10], [20, 30]]


@pytest.mark.parametrize("workers", [0, 2])
def test_transform_with_a_key_depends_on_the_sample_alone(workers):
    def draw(batch, key):
        assert isinstance(key, SampleKey)
        (x,) = batch
        assert key.indices.tolist() == x.tolist()
        assert (key.seed, key.epoch) == (5, 1)
        return x, [float(np.random.default_rng((key.seed, key.epoch, row)).random()) for row in key.indices]

    def draws(size, shuffle):
        loader = DataLoader((np.arange(10),), size, shuffle, seed=5, transform=draw, workers=workers)
        loader.epoch = 1
        return {row: number for x, drawn in loader for row, number in zip(x.tolist(), drawn, strict=True)}

    assert draws(3, True) == draws(4, False)


def test_the_error_of_a_transform_says_which_batch():
    def fail(batch):
        raise ValueError("no")

    with pytest.raises(ValueError, match="no") as caught:
        list(DataLoader((np.arange(3),), 1, transform=fail))
    assert caught.value.__notes__ == ["This was batch 0 of epoch 0."]


def test_collate():
    def pad(samples):
        longest = max(len(sample) for sample in samples)
        return np.asarray([sample + [0] * (longest - len(sample)) for sample in samples])

    texts = [[1, 2], [3], [4, 5, 6]]
    found = [batch.tolist() for batch in DataLoader(texts, 2, shuffle=False, collate=pad, workers=1)]
    assert found == [[[1, 2], [3, 0]], [[4, 5, 6]]]
    with pytest.raises(DataError, match=r"sample 1: expected numbers of shape \(2,\), .*; .* pass a collate function"):
        next(iter(DataLoader(texts, 2, shuffle=False)))
    arrays = DataLoader((np.arange(3),), 2, shuffle=False, collate=lambda samples: [int(x) for (x,) in samples])
    assert list(arrays) == [[0, 1], [2]]


def test_a_source_of_batches():
    batches = [(np.arange(3),), (np.arange(5),), (np.arange(2),)]
    keys = []

    def note(batch, key):
        keys.append(key.indices.tolist())
        return batch

    loader = DataLoader(batches, None, shuffle=False, transform=note)
    assert len(loader) == 3
    assert [len(x) for (x,) in loader] == [3, 5, 2]
    assert keys[1] == [2**32, 2**32 + 1, 2**32 + 2, 2**32 + 3, 2**32 + 4]
    draws = [SampleKey(0, 0, np.asarray([batch * 2**32 + 1])).uniform(2).tolist() for batch in range(3)]
    assert draws[0] != draws[1] != draws[2] != draws[0]
    shuffled = DataLoader(batches, None, seed=0)
    assert sorted(len(x) for (x,) in shuffled) == [2, 3, 5]
    with pytest.raises(DataError, match="batch 1 of epoch 0: sample 1: broken"):
        list(DataLoader(BrokenBatches(), None, shuffle=False))
    for options in ({"drop_last": True}, {"collate": list}):
        with pytest.raises(ArgumentError, match="expected no drop_last and no collate with batch_size=None"):
            DataLoader(batches, None, **options)


class BrokenBatches(Slow):
    def sample(self, row):
        if row:
            raise DataError("broken")
        return np.ones(2)


def test_sampler_decides_the_order_and_the_length():
    def backwards(seed, epoch):
        return np.arange(epoch + 3)[::-1]

    loader = DataLoader((np.arange(10),), 2, sampler=backwards)
    assert len(loader) == 2
    assert [x.tolist() for (x,) in loader] == [[2, 1], [0]]
    assert [x.tolist() for (x,) in loader] == [[3, 2], [1, 0]]
    assert len(loader) == 3
    resumed = DataLoader((np.arange(10),), 2, sampler=backwards)
    resumed.load_state_dict({"version": 1, "epoch": 2, "batch": 1})
    assert [x.tolist() for (x,) in resumed] == [[2, 1], [0]]


@pytest.mark.parametrize(
    ("found", "message"),
    [
        ([0, 10], "the sampler in epoch 0: expected rows from -10 to 9 of 10 samples, got 10"),
        ([0.5], "the sampler in epoch 0: expected an int, a slice or integers .* got float64"),
        (np.asarray([], int), "the sampler in epoch 0: expected at least one row number, got none"),
    ],
)
def test_bad_sampler(found, message):
    with pytest.raises(DataError, match=message):
        DataLoader((np.arange(10),), 2, sampler=lambda seed, epoch: found)


def test_weighted_sampler():
    sampler = WeightedSampler([0, 1, 3], samples=4000)
    drawn = np.bincount(sampler(0, 0), minlength=3)
    assert drawn[0] == 0
    assert 850 < drawn[1] < 1150
    assert sampler(0, 0).tolist() == sampler(0, 0).tolist() != sampler(0, 1).tolist()
    assert len(DataLoader((np.arange(3),), 1, sampler=WeightedSampler([1, 1, 1]))) == 3
    assert repr(sampler) == "WeightedSampler(3 weights, samples=4000)"


@pytest.mark.parametrize("weights", [[], [[1.0]], [0, 0], [1, -1], [1, np.nan], [np.inf]])
def test_bad_weights(weights):
    with pytest.raises(ArgumentError, match=r"expected weights of shape \(samples,\), finite and >= 0, with a sum"):
        WeightedSampler(weights)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"workers": -1}, "expected workers to be an integer of at least 0, got -1"),
        ({"workers": 1, "prefetch": 0}, "expected prefetch to be an integer of at least 1, got 0"),
        ({"transform": 3}, "expected transform to be a function, got 3"),
        ({"collate": "sum"}, "expected collate to be a function, got 'sum'"),
        ({"prefetch": 2}, "expected workers to read 2 batches ahead, got 0; pass workers=1 or more"),
    ],
)
def test_bad_options(options, message):
    with pytest.raises(ArgumentError, match=message):
        DataLoader((np.arange(3),), 1, **options)


PROGRAM = """
import signal, threading, time
from nnx.data import DataLoader, Source

class Slow(Source):
    def __len__(self):
        return 1000
    def sample(self, row):
        time.sleep(0.05)
        return float(row)

signal.signal(signal.SIGINT, signal.default_int_handler)
loader = DataLoader(Slow(), 4, workers=2)
try:
    for batch in loader:
        print(loader.batch, flush=True)
except KeyboardInterrupt:
    print([thread.name for thread in threading.enumerate()])
"""


@pytest.mark.skipif(sys.platform == "win32", reason="there is no SIGINT to send")
def test_an_interrupt_while_the_loop_waits_for_a_batch_ends_the_threads():
    command = [sys.executable, "-c", PROGRAM]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    process.stdout.readline()
    process.send_signal(signal.SIGINT)
    said, errors = process.communicate(timeout=30)
    assert said.splitlines()[-1] == "['MainThread']"
    assert (errors, process.returncode) == ("", 0)
