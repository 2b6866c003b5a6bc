"""An array is written only by its one holder: every kind of holder is seen."""

import ctypes
import functools
import gc
import itertools
import sys
import threading
import weakref

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import nnx
from nnx.backend import ownership
from nnx.backend.ownership import writable

COUNTS_TELL = sys.implementation.name == "cpython" and getattr(sys, "_is_gil_enabled", lambda: True)()
pytestmark = pytest.mark.skipif(not COUNTS_TELL, reason="reference counts cannot be trusted here")


class Holder:
    pass


def slot_of(array):
    holder = Holder()
    holder.array = array
    return vars(holder), "array"


def slot(shape=(3, 4), dtype="float32"):
    return slot_of(np.ones(shape, dtype))


def held_by_a_thread(array):
    started, done = threading.Event(), threading.Event()

    def hold(array):
        started.set()
        done.wait()
        return array

    thread = threading.Thread(target=hold, args=(array,))
    thread.start()
    started.wait()

    class Stop:
        def __del__(self):
            done.set()
            thread.join()

    return Stop()


def generator_that_holds(array):
    def generate():
        yield
        yield array

    found = generate()
    next(found)
    return found


def raised_with(array):
    try:
        raise ValueError(array.shape)  # the frame of the traceback holds the array
    except ValueError as error:
        return error


def with_library(name, hold):
    def holder(array):
        return hold(pytest.importorskip(name, reason=f"{name} is not installed"), array)

    return holder


HOLDERS = {
    "a variable": lambda array: array,
    "a list": lambda array: [array],
    "a view": lambda array: array[1:],
    "a view of a view": lambda array: array.T[:, :1].reshape(-1),
    "a broadcast view": lambda array: np.broadcast_to(array, (2, *array.shape)),
    "as_strided": lambda array: np.lib.stride_tricks.as_strided(array, (1,), (4,)),
    "a memoryview": memoryview,
    "a part of a memoryview": lambda array: memoryview(array).cast("B")[2:],
    "frombuffer": lambda array: np.frombuffer(array, np.uint8),
    "asarray": np.asarray,
    "its flat iterator": lambda array: array.flat,
    "nditer": lambda array: np.nditer(array),
    "its ctypes": lambda array: array.ctypes,
    "ctypes.py_object": ctypes.py_object,
    "ctypes from_buffer": lambda array: (ctypes.c_char * array.nbytes).from_buffer(array),
    "the array interface": lambda array: array.__array_struct__,
    "a DLPack capsule": lambda array: array.__dlpack__(),
    "from_dlpack": np.from_dlpack,
    "a bound method": lambda array: array.sum,
    "a partial": lambda array: functools.partial(np.add, array),
    "an iterator in C": lambda array: itertools.repeat(array),
    "a closure": lambda array: lambda: array,
    "a generator": generator_that_holds,
    "a traceback": raised_with,
    "another thread": held_by_a_thread,
    "an object array": lambda array: np.asarray([None, array], dtype=object),
    "a buffer of nnx": nnx.Buffer,
    "a parameter": nnx.Parameter,
    "a second slot": slot_of,
    "torch.from_numpy": with_library("torch", lambda torch, array: torch.from_numpy(array)),
    "a view of torch.from_numpy": with_library("torch", lambda torch, array: torch.from_numpy(array)[1:].T),
    "torch.from_dlpack": with_library("torch", lambda torch, array: torch.from_dlpack(array)),
    "torch.frombuffer": with_library("torch", lambda torch, array: torch.frombuffer(array, dtype=torch.float32)),
    "array-api-strict": with_library("array_api_strict", lambda strict, array: strict.asarray(array, copy=False)),
}


@pytest.mark.parametrize("kind", HOLDERS)
def test_every_holder_is_seen(kind):
    held = slot()
    assert writable([held]) == [True]
    holder = HOLDERS[kind](held[0]["array"])
    assert writable([held]) == [False]
    del holder
    gc.collect()
    assert writable([held]) == [True]


def test_jax_that_may_share_the_memory():
    jax = pytest.importorskip("jax", reason="jax is not installed")
    held = slot((64, 64))
    shared = jax.numpy.asarray(held[0]["array"])
    before = np.array(shared)
    if writable([held]) == [True]:
        held[0]["array"][...] = 7.0
    np.testing.assert_array_equal(np.asarray(shared), before)


def test_a_weak_reference_is_no_holder():
    held = slot()
    reference = weakref.ref(held[0]["array"])
    assert writable([held]) == [True]
    assert reference() is held[0]["array"]


def test_a_pullback_that_was_kept():
    model = nnx.Model([nnx.Linear(3, 3, rng=0), nnx.Linear(3, 3, rng=0)])
    slots = [(vars(layer), "weight") for layer in model]
    assert writable(slots) == [True, True]
    _, pullback = nnx.vjp(lambda x: model(x), np.ones((1, 3), np.float32))
    assert writable(slots) == [False, False]
    del pullback
    gc.collect()
    assert writable(slots) == [True, True]


@pytest.mark.parametrize(
    ("kind", "array"),
    {
        "a view": np.ones((3, 3))[1:],
        "read-only": np.frombuffer(bytes(8)),
        "integers": np.ones(3, int),
        "booleans": np.ones(3, bool),
        "objects": np.ones(3, object),
        "foreign byte order": np.ones(3, np.dtype("f4").newbyteorder()),
        "a masked array": np.ma.ones(3),
        "a matrix": np.ones((2, 2)).view(type("Mine", (np.ndarray,), {})).copy(),
        "a number of NumPy": np.float64(1.0),
        "a number": 1.0,
        "None": None,
    }.items(),
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_is_never_written(kind, array):
    held = slot_of(array.copy() if kind in ("integers", "booleans", "objects") else array)
    del array
    assert writable([held]) == [False]


def test_read_only_and_borrowed_memory():
    held = slot()
    held[0]["array"].flags.writeable = False
    assert writable([held]) == [False]
    memory = bytearray(16)
    assert writable([slot_of(np.frombuffer(memory, np.float32))]) == [False]
    assert writable([slot_of(np.ndarray((4,), np.float32, memory))]) == [False]


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64", "longdouble", "complex64", "complex128"])
def test_floating_point_numbers(dtype):
    assert writable([slot(dtype=dtype), slot((), dtype), slot((0, 3), dtype)]) == [True] * 3


def test_other_libraries(xp):
    held = slot_of(xp.asarray(np.ones((3, 3))))
    assert writable([held]) == [xp.name == "numpy"]


def test_lists_have_slots_too():
    column = [np.ones(3), np.ones(3)]
    other = column[1]
    assert writable([(column, 0), (column, 1)]) == [True, False]
    del other
    assert writable([(column, 0), (column, 1)]) == [True, True]


def test_many_slots_at_once():
    slots = [slot() for _ in range(5)]
    shared = slots[3][0]["array"]
    assert writable(slots) == [True, True, True, False, True]
    del shared
    slots[0][0]["array"] = slots[1][0]["array"]
    assert writable(slots) == [False, False, True, True, True]


@pytest.mark.parametrize(
    "change", [{"sys.implementation": Holder()}, {"sys._is_gil_enabled": lambda: False}], ids=["pypy", "free-threaded"]
)
def test_where_counts_cannot_be_trusted_nothing_is_written(change, monkeypatch):
    for name, value in change.items():
        if isinstance(value, Holder):
            value.name = "pypy"
        monkeypatch.setattr(name, value, raising=False)
    alone = ownership._calibrate()
    assert writable([slot()], alone=alone) == [False]


def test_the_count_is_found_by_the_code_that_asks(monkeypatch):
    assert ownership._calibrate() == ownership._ALONE > 0
    exact = ownership.getrefcount
    monkeypatch.setattr(ownership, "getrefcount", lambda array: exact(array) - 3)  # an interpreter that borrows
    found = ownership._calibrate()
    assert found != ownership._ALONE
    monkeypatch.setattr(ownership, "getrefcount", lambda array: 1)  # and one that does not count
    assert ownership._calibrate() == 0


PLAIN_HOLDERS = sorted(
    kind for kind in HOLDERS if "torch" not in kind and kind not in ("array-api-strict", "a traceback")
)


@given(st.lists(st.lists(st.sampled_from(PLAIN_HOLDERS), max_size=3)))
def test_random_holders(kinds):
    slots = [slot() for _ in kinds]
    holders = [[HOLDERS[kind](held[0]["array"]) for kind in own] for held, own in zip(slots, kinds, strict=True)]
    assert writable(slots) == [not own for own in kinds]
    del holders
