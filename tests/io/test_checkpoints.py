import math
import os
import struct

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

import nnx
from nnx.errors import ArgumentError, CheckpointError, DTypeError
from nnx.io import load_checkpoint, save_checkpoint, save_weights

STATE = {
    "model": {"0.weight": np.arange(6, dtype=np.float32).reshape(2, 3), "steps": np.array(7)},
    "numbers": [1, -2.5, True, None, 2**200, -(2**63) - 1, 1e-320, -0.0, 2 + 3j],
    "a.b/c": {"": np.zeros((0, 3)), "$array": "no reference", "$": {"$$": ("tuple", ())}},
    "text": "ü\n\ud800",
    "empty": [{}, [], ()],
    "best": math.inf,
}


def same(one, other):
    """Compare trees exactly: types, and the bits of numbers and arrays."""
    if isinstance(one, np.ndarray):
        return (
            isinstance(other, np.ndarray)
            and one.dtype == other.dtype
            and one.shape == other.shape
            and (one.tobytes() == other.tobytes())
        )
    if type(one) is not type(other):
        return False
    if isinstance(one, dict):
        return list(one) == list(other) and all(same(one[key], other[key]) for key in one)
    if isinstance(one, (list, tuple)):
        return len(one) == len(other) and all(map(same, one, other))
    if isinstance(one, complex):
        return same([one.real, one.imag], [other.real, other.imag])
    return struct.pack("<d", one) == struct.pack("<d", other) if isinstance(one, float) else one == other


@pytest.fixture
def path(tmp_path):
    return tmp_path / "run.safetensors"


def test_a_state_comes_back_equal(path):
    save_checkpoint(path, STATE, {"note": "ü", "loss": math.nan})
    state, header = load_checkpoint(path)
    assert same(STATE, state)
    assert (header["format"], header["nnx"], header["metadata"]["note"]) == (3, nnx.__version__, "ü")
    assert math.isnan(header["metadata"]["loss"])
    assert state["model"]["0.weight"].flags.owndata
    assert os.listdir(path.parent) == [path.name]


EMPTY = [np.zeros(0, bool), np.zeros((0, 2), np.int16), np.ones(1, bool), np.zeros(0)]


@pytest.mark.parametrize("state", [None, 3, "text", [], np.ones(2), {"model": None}, EMPTY, EMPTY[::-1]])
def test_any_value_is_a_state(path, state):
    save_checkpoint(path, state)
    assert same(load_checkpoint(path)[0], state)


SCALARS = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(), st.text(st.characters(), max_size=5),
    st.complex_numbers(), st.integers(-(2**300), 2**300),
)  # fmt: skip
ARRAYS = arrays.arrays(
    st.one_of(
        arrays.boolean_dtypes(), arrays.integer_dtypes(), arrays.unsigned_integer_dtypes(),
        arrays.floating_dtypes(sizes=(16, 32, 64)), arrays.complex_number_dtypes(sizes=(64, 128)),
    ),
    arrays.array_shapes(min_dims=0, min_side=0, max_side=3),
)  # fmt: skip
KEYS = ["a.b", "$int", "$", "../x"]
TREES = st.recursive(
    st.one_of(SCALARS, ARRAYS),
    lambda children: st.one_of(
        st.lists(children, max_size=3),
        st.dictionaries(st.one_of(st.text(max_size=4), st.sampled_from(KEYS)), children, max_size=3),
    ),
    max_leaves=8,
)  # fmt: skip


@settings(max_examples=60, deadline=None)
@given(tree=TREES)
def test_every_tree_comes_back(tmp_path_factory, tree):
    path = tmp_path_factory.getbasetemp() / "tree.safetensors"
    save_checkpoint(path, tree)
    assert same(native(tree), load_checkpoint(path)[0])


def native(tree):
    """Return a tree with its arrays contiguous and in the order of bytes of this machine."""
    if isinstance(tree, np.ndarray):
        return np.ascontiguousarray(tree.astype(tree.dtype.newbyteorder("="))).reshape(tree.shape)
    if isinstance(tree, dict):
        return {key: native(value) for key, value in tree.items()}
    return [native(value) for value in tree] if isinstance(tree, list) else tree


def test_arrays_of_every_library(xp, path):
    state = {"x": xp.asarray([[1.0, 2.0], [3.0, 4.0]]).T, "flags": xp.asarray([True, False], "bool")}
    save_checkpoint(path, state)
    again, _ = load_checkpoint(path)
    assert same(again, {"x": np.array([[1, 3], [2, 4]], np.float32), "flags": np.array([True, False])})


@pytest.mark.parametrize("dtype", ["bfloat16", "float8_e4m3fn", "float8_e5m2", "float8_e4m3fnuz", "float8_e8m0fnu"])
def test_small_floats_keep_their_bits(path, dtype):
    kind = np.dtype(getattr(pytest.importorskip("ml_dtypes", reason="ml_dtypes is not installed"), dtype))
    bits = np.arange(256, dtype=f"u{kind.itemsize}").reshape(2, 128)
    save_checkpoint(path, {"x": bits.view(kind)})
    (again,) = load_checkpoint(path)[0].values()
    assert again.dtype == kind
    np.testing.assert_array_equal(again.view(bits.dtype), bits)


def test_the_package_safetensors_reads_the_file(path):
    load_file = pytest.importorskip("safetensors.numpy", reason="safetensors is not installed").load_file
    save_checkpoint(path, {**STATE, "a": {"b/c": np.ones(2)}, "a.b/c": np.array([2 + 3j])})
    found = load_file(path)
    assert sorted(found) == ["0", "a.b/c", "a.b/c (2)", "model.0.weight", "model.steps"][1:]
    np.testing.assert_array_equal(found["model.0.weight"], STATE["model"]["0.weight"])
    np.testing.assert_array_equal(found["a.b/c"], np.array([[2.0, 3.0]]))


def test_what_cannot_be_saved(path):
    cases = [
        ({"a": [{1, 2}]}, r"a\.0: expected dicts, lists, numbers, strings, None or arrays, got a set; save what it is"),
        ({"a": {3: 1}}, "a: expected keys that are strings, got 3; write them as text"),
        ({"a": nnx.Linear(1, 1)}, "got a Linear"),
    ]
    for state, message in cases:
        with pytest.raises(CheckpointError, match=message):
            save_checkpoint(path, state)
    endless: list = []
    endless.append(endless)
    with pytest.raises(CheckpointError, match=r"expected at most 200 levels, got more at 0\.0\.0"):
        save_checkpoint(path, endless)
    with pytest.raises(DTypeError, match=r"x: expected an array of numbers or booleans.*got object"):
        save_checkpoint(path, {"x": np.array([None])})
    with pytest.raises(CheckpointError, match=r"metadata\.x: expected metadata without arrays; save it in the state"):
        save_checkpoint(path, {}, {"x": np.ones(1)})
    with pytest.raises(CheckpointError, match="expected metadata as a dict, got a list"):
        save_checkpoint(path, {}, [1])
    with pytest.raises(CheckpointError, match=r"header of at most 33554432 bytes, got .*; keep long lists"):
        save_checkpoint(path, {"text": "x" * 2**25})
    with pytest.raises(ArgumentError, match=r"expected save_checkpoint\(path, state\), got another first argument"):
        save_checkpoint({}, path)
    assert os.listdir(path.parent) == []


def test_weights_are_no_checkpoint(path):
    save_weights(path, nnx.Linear(1, 1))
    with pytest.raises(CheckpointError, match="expected a checkpoint, got weights alone; read them with"):
        load_checkpoint(path)
