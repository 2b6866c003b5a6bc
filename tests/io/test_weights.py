import json
import os
import struct
import sys

import numpy as np
import pytest

import nnx
from nnx.errors import ArgumentError, CheckpointError, DTypeError
from nnx.io import load_weights, save_weights

pytest.importorskip("safetensors", reason="safetensors is not installed")


class Everything(nnx.Module):
    """Parameters, an array buffer, a number buffer and a shared layer."""

    def __init__(self, rng=0):
        rng = nnx.generator(rng)
        self.inner = nnx.Model([nnx.Linear(3, 4, rng=rng), nnx.ReLU(), nnx.Linear(4, 2, bias=False, rng=rng)])
        self.scale = nnx.Parameter(0.5)
        self.mean = nnx.Buffer([1.0, 2.0])
        self.steps = nnx.Buffer(7)

    def forward(self, x):
        return self.scale * self.inner(x)


def make(xp, rng=0):
    with nnx.use_backend(xp.spec):
        return Everything(rng)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "model.safetensors"


def header_file(path, metadata, arrays=None):
    from safetensors.numpy import save_file

    save_file(arrays or {"w": np.ones(2)}, path, metadata=metadata)


def test_round_trip_on_every_backend(xp, path):
    model, other = make(xp, rng=0), make(xp, rng=1)
    model.steps.value = 12
    save_weights(path, model, {"epoch": 3, "note": "ü"})
    state, header = load_weights(path)
    assert all(isinstance(value, np.ndarray) for value in state.values())
    assert header["metadata"] == {"epoch": 3, "note": "ü"}
    other.load_state_dict(state)
    assert other.steps.value == 12
    assert isinstance(other.steps.value, int)
    for name, value in model.parameters().items():
        restored = other.parameters()[name]
        assert nnx.backend.device_of(restored) == nnx.backend.device_of(value)
        np.testing.assert_array_equal(xp.to_numpy(restored), xp.to_numpy(value))
    np.testing.assert_array_equal(xp.to_numpy(other.mean.value), [1.0, 2.0])


def test_the_header_describes_the_model(path):
    save_weights(path, Everything())
    state, header = load_weights(path)
    assert header["format"] == 2
    assert header["nnx"] == nnx.__version__
    assert header["layers"]["inner.0"]["in_features"] == 3
    assert header["layers"]["inner.2"] == Everything().inner[2].config()
    assert header["config"] == Everything().config()
    assert header["dtypes"]["inner.0.weight"] == "float32"
    assert header["dtypes"]["steps"] == "int64"
    assert state["steps"].shape == ()


def test_any_safetensors_reader_can_read_the_file(path):
    from safetensors.numpy import load_file

    model = Everything()
    save_weights(path, model)
    np.testing.assert_array_equal(load_file(path)["inner.0.weight"], model.inner[0].weight)


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
@pytest.mark.parametrize("shape", [(), (0, 3), (2, 3)])
def test_dtypes_and_shapes(path, dtype, shape):
    model = nnx.Module()
    model.value = nnx.Parameter(np.full(shape, 0.1, dtype))
    save_weights(path, model)
    value = load_weights(path)[0]["value"]
    assert (value.dtype, value.shape) == (np.dtype(dtype), shape)
    np.testing.assert_array_equal(value, model.value)


def test_memory_in_another_order_is_saved_by_value(path):
    model = nnx.Module()
    model.value = nnx.Parameter(np.arange(6.0).reshape(2, 3).T[::-1])
    save_weights(path, model)
    np.testing.assert_array_equal(load_weights(path)[0]["value"], model.value)


def test_a_failed_save_keeps_the_old_file(path):
    save_weights(path, Everything(), {"epoch": 1})
    with pytest.raises(CheckpointError, match=r"metadata that JSON can hold, got .*not JSON serializable"):
        save_weights(path, Everything(), {"epoch": {1, 2}})
    assert load_weights(path)[1]["metadata"] == {"epoch": 1}
    assert os.listdir(path.parent) == [path.name]


def test_dtypes_that_cannot_be_saved(path):
    model = nnx.Module()
    model.value = nnx.Parameter(np.ones(2, np.complex128))
    with pytest.raises(DTypeError, match="dtypes that safetensors can hold, got complex128"):
        save_weights(path, model)
    torch = pytest.importorskip("torch", reason="torch is not installed")
    model.value = nnx.Parameter(torch.ones(2, dtype=torch.bfloat16))
    with pytest.raises(DTypeError, match=r'value: expected a dtype that NumPy has, got bfloat16.*dtype="float32"'):
        save_weights(path, model)


def test_missing_file_and_directory(path, tmp_path):
    with pytest.raises(CheckpointError, match=r"model\.safetensors: expected a readable file.*No such file"):
        load_weights(path)
    with pytest.raises(CheckpointError, match="expected a readable file of weights"):
        load_weights(tmp_path)


def test_unwritable_place(tmp_path):
    with pytest.raises(OSError, match="missing"):
        save_weights(tmp_path / "missing" / "model.safetensors", Everything())


@pytest.mark.parametrize("keep", [0, 4, 8, 40, 400, -1])
def test_truncated_files(path, keep):
    save_weights(path, Everything())
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(CheckpointError, match="expected a whole safetensors file, got a damaged one"):
        load_weights(path)


@pytest.mark.parametrize(
    "content", [b"\x80\x04N.", b"PK\x03\x04" + bytes(100), struct.pack("<Q", 10) + b"not json!!", b"\xff" * 64]
)
def test_foreign_files(path, content):
    path.write_bytes(content)
    with pytest.raises(CheckpointError, match="expected a whole safetensors file"):
        load_weights(path)


@pytest.mark.parametrize("metadata", [None, {"format": "pt"}, {"nnx": "{broken"}])
def test_safetensors_files_of_others(path, metadata):
    header_file(path, metadata)
    with pytest.raises(CheckpointError, match="expected weights that nnx saved, got a safetensors file without its"):
        load_weights(path)


def test_files_of_the_first_format_are_read(path):
    from safetensors.numpy import save_file

    header = {"format": 1, "nnx": "0.1.0", "layers": {"": "Linear(in_features=2, out_features=1)"}}
    header |= {"dtypes": {"weight": "float32", "bias": "float32"}, "metadata": {"epoch": 3}}
    state = nnx.Linear(2, 1, rng=0).state_dict()
    save_file(state, path, metadata={"nnx": json.dumps(header)})
    found, read = load_weights(path)
    assert read == header
    np.testing.assert_array_equal(nnx.Linear(2, 1).load_state_dict(found).weight, state["weight"])


def test_a_model_is_made_again_from_the_file_alone(path):
    model = nnx.Model([nnx.Linear(3, 4), nnx.Softmax(axis=-1), nnx.Linear(4, 3)]).to(dtype="float64")
    model[2].weight = nnx.Tied(model[0], "weight", transpose=True)
    save_weights(path, model)
    state, header = load_weights(path)
    again = nnx.from_config(header["config"]).load_state_dict(state)
    x = np.ones((2, 3))
    np.testing.assert_array_equal(again(x), model(x))


def test_weights_of_what_has_no_configuration_are_saved(path):
    class Called(nnx.Module):
        def __init__(self, steps):
            self.steps = steps

    save_weights(path, nnx.Model([Called(range(3))]))
    header = load_weights(path)[1]
    assert header["config"] is None
    assert header["layers"] == {"0": "Called(steps=range(0, 3))"}


def test_newer_format_asks_for_a_newer_nnx(path):
    header_file(path, {"nnx": json.dumps({"format": 3, "nnx": "9.1"})})
    with pytest.raises(CheckpointError, match=r"format 2 or older, got 3, written by nnx 9\.1; .*--upgrade nnx-array"):
        load_weights(path)


@pytest.mark.parametrize("header", [{"format": 1}, {"format": "1"}, [1], {}])
def test_incomplete_header(path, header):
    header_file(path, {"nnx": json.dumps(header)})
    with pytest.raises(CheckpointError, match="expected a header with dtypes, format, layers, metadata, nnx, got"):
        load_weights(path)


def test_without_safetensors_the_error_says_what_to_install(monkeypatch, path):
    monkeypatch.setitem(sys.modules, "safetensors", None)
    for call in (lambda: save_weights(path, Everything()), lambda: load_weights(path)):
        with pytest.raises(ImportError, match=r"safetensors.*pip install 'nnx-array\[cli\]'"):
            call()


def test_path_and_model_swapped(path):
    with pytest.raises(ArgumentError, match=r"expected save_weights\(path, model\), got the model first"):
        save_weights(nnx.Linear(1, 1), path)
