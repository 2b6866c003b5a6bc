import json
import os
import struct
import sys

import numpy as np
import pytest

import nnx
from nnx.errors import ArgumentError, CheckpointError, DTypeError, MissingExtraError
from nnx.io import load_weights, save_checkpoint, save_weights


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
    numpy = pytest.importorskip("safetensors.numpy", reason="safetensors is not installed")
    numpy.save_file(arrays or {"w": np.ones(2)}, path, metadata=metadata)


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
    assert header["format"] == 3
    assert header["nnx"] == nnx.__version__
    assert header["layers"]["inner.0"]["in_features"] == 3
    assert header["layers"]["inner.2"] == Everything().inner[2].config()
    assert header["config"] == Everything().config()
    assert header["dtypes"]["inner.0.weight"] == "float32"
    assert header["dtypes"]["steps"] == "int64"
    assert state["steps"].shape == ()


def test_any_safetensors_reader_can_read_the_file(path):
    load_file = pytest.importorskip("safetensors.numpy", reason="safetensors is not installed").load_file
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
    with pytest.raises(CheckpointError, match=r"metadata\.epoch: expected dicts, lists, numbers.*, got a set"):
        save_weights(path, Everything(), {"epoch": {1, 2}})
    assert load_weights(path)[1]["metadata"] == {"epoch": 1}
    assert os.listdir(path.parent) == [path.name]


def test_dtypes_that_cannot_be_saved(path):
    model = nnx.Module()
    model.value = nnx.Parameter(np.ones(2, np.longdouble))
    with pytest.raises(DTypeError, match="value: expected an array of numbers or booleans that a file can hold, got"):
        save_weights(path, model)


@pytest.mark.parametrize("dtype", ["bfloat16", "float8_e4m3fn", "float8_e5m2"])
def test_small_floats_of_torch(path, dtype):
    torch = pytest.importorskip("torch", reason="torch is not installed")
    pytest.importorskip("ml_dtypes", reason="ml_dtypes is not installed")
    model = nnx.Module()
    model.value = nnx.Parameter(torch.arange(6).reshape(2, 3).to(getattr(torch, dtype)).T)
    save_weights(path, model)
    state, _ = load_weights(path)
    assert state["value"].dtype.name == dtype
    model.value = torch.zeros(3, 2, dtype=model.value.dtype)
    model.load_state_dict(state)
    assert model.value.dtype == getattr(torch, dtype)
    np.testing.assert_array_equal(model.value.float().numpy(), [[0, 3], [1, 4], [2, 5]])


def test_without_ml_dtypes_the_error_says_what_to_install(path, monkeypatch):
    torch = pytest.importorskip("torch", reason="torch is not installed")
    monkeypatch.setitem(sys.modules, "ml_dtypes", None)
    model = nnx.Module()
    model.value = nnx.Parameter(torch.ones(2, dtype=torch.bfloat16))
    with pytest.raises(MissingExtraError, match=r"ml_dtypes to hold bfloat16.*: pip install ml_dtypes"):
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


@pytest.mark.parametrize("metadata", [None, {"format": "pt"}, {"nnx": ""}])
def test_safetensors_files_of_others(path, metadata):
    header_file(path, metadata)
    with pytest.raises(CheckpointError, match="expected a file that nnx saved, got a safetensors file without its"):
        load_weights(path)


def test_files_of_the_first_format_are_read(path):
    save_file = pytest.importorskip("safetensors.numpy", reason="safetensors is not installed").save_file
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
    header_file(path, {"nnx": json.dumps({"format": 4, "nnx": "9.1"})})
    with pytest.raises(CheckpointError, match=r"format 3 or older, got 4, written by nnx '9\.1'; .*--upgrade"):
        load_weights(path)


@pytest.mark.parametrize(
    ("header", "reason"),
    [
        (json.dumps({"format": 1, "dtypes": {}}), "a header without layers, metadata, nnx"),
        (json.dumps({"format": 1}), "a header without format and dtypes"),
        (json.dumps({"format": "1", "dtypes": {}}), "a header without format and dtypes"),
        ("[1]", "a header without format and dtypes"),
        ("{broken", "a header that is no JSON"),
    ],
)
def test_incomplete_header(path, header, reason):
    header_file(path, {"nnx": header})
    with pytest.raises(CheckpointError, match=f"expected a whole safetensors file, got .*: {reason}"):
        load_weights(path)


def test_weights_of_a_checkpoint(path):
    model = Everything()
    save_checkpoint(path, {"model": model.state_dict(), "step": 3}, {"config": model.config()})
    state, header = load_weights(path)
    again = nnx.from_config(header["config"], allow=(Everything,)).load_state_dict(state)
    np.testing.assert_array_equal(again.inner[0].weight, model.inner[0].weight)
    save_checkpoint(path, {"step": 3})
    with pytest.raises(CheckpointError, match=r"expected a checkpoint with a part 'model'.*nnx\.io\.load_checkpoint"):
        load_weights(path)


def test_path_and_model_swapped(path):
    with pytest.raises(ArgumentError, match=r"expected save_weights\(path, model\), got the model first"):
        save_weights(nnx.Linear(1, 1), path)
