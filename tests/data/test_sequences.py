import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nnx.backend import device_of, namespace, to_numpy
from nnx.data import DataLoader, Windows, split
from nnx.errors import ArgumentError, DataError


@given(data=st.data())
def test_windows_are_slices(data):
    length, step, shift = data.draw(st.integers(1, 5)), data.draw(st.integers(1, 4)), data.draw(st.integers(0, 6))
    time = data.draw(st.integers(length + shift, 30))
    sequence = np.arange(time)
    windows = Windows(sequence, length, step=step, shift=shift)
    starts = range(0, time - length - shift + 1, step)
    assert len(windows) == len(starts)
    x, y = windows[:]
    for i, start in enumerate(starts):
        assert x[i].tolist() == windows[i][0].tolist() == list(range(start, start + length))
        assert y[i].tolist() == windows[i][1].tolist() == list(range(start + shift, start + shift + length))


def test_features_and_another_target(xp):
    sequence, target = xp.asarray(np.arange(24).reshape(12, 2)), xp.asarray(np.arange(12), "int32")
    windows = Windows(sequence, 3, step=3, shift=3, target=target)
    x, y = windows[[2, 0]]
    assert namespace(x) is namespace(sequence)
    assert device_of(y) == device_of(target)
    assert (x.shape, x.dtype, y.dtype) == ((2, 3, 2), sequence.dtype, target.dtype)
    assert to_numpy(x)[0].tolist() == [[12, 13], [14, 15], [16, 17]]
    assert to_numpy(y).tolist() == [[9, 10, 11], [3, 4, 5]]


def test_in_a_loader_from_a_mapped_file(tmp_path):
    np.save(tmp_path / "tokens.npy", np.arange(1000, dtype=np.uint16))
    train, _ = split(Windows(np.load(tmp_path / "tokens.npy", mmap_mode="r"), 8, step=8), (0.8, 0.2))
    batches = list(DataLoader(train, 16, workers=1))
    assert sum(len(x) for x, _ in batches) == 99
    for x, y in batches:
        assert (y == x + 1).all()
        assert x.dtype == np.uint16


def test_repr():
    assert repr(Windows(np.arange(10), 3)) == "Windows(7 samples of length 3)"


def test_bad_arguments():
    with pytest.raises(DataError, match=r"expected a sequence of at least 5 elements, a window and its .*, got 4; use"):
        Windows(np.arange(4), 3, shift=2)
    for options, name in (({"length": 0}, "length"), ({"step": 0}, "step"), ({"shift": -1}, "shift")):
        with pytest.raises(ArgumentError, match=f"expected {name} to be an integer of at least"):
            Windows(np.arange(9), **{"length": 3, **options})
    with pytest.raises(DataError, match=r"expected first axes of one length, .*got shapes \(9,\), \(8,\)"):
        Windows(np.arange(9), 3, target=np.arange(8))
