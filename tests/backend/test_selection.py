import contextvars
import sys
import threading
import types

import numpy as np
import pytest

import nnx
from nnx.backend import BACKENDS
from nnx.errors import BackendError, DeviceError


@pytest.fixture
def fresh(monkeypatch):
    """Run a function in a context in which nothing was selected yet."""
    monkeypatch.delenv("NNX_BACKEND", raising=False)
    return lambda function: contextvars.Context().run(function)


def selected():
    return nnx.get_backend().name


strict = pytest.mark.skipif("array-api-strict" not in nnx.available_backends(), reason="array-api-strict not installed")


def test_numpy_unless_told_otherwise(fresh):
    assert fresh(selected) == "numpy"


@strict
def test_as_a_call_it_holds_for_the_context(fresh):
    def work():
        nnx.use_backend("array-api-strict")
        return selected(), type(nnx.Linear(1, 1).weight).__module__.partition(".")[0]

    assert fresh(work) == ("array-api-strict", "array_api_strict")
    assert fresh(selected) == "numpy"


@strict
def test_as_a_block_it_ends_with_the_block(fresh):
    def work():
        with nnx.use_backend("array-api-strict"):
            with nnx.use_backend("numpy"):
                inner = selected()
            outer = selected()
        return inner, outer, selected()

    assert fresh(work) == ("numpy", "array-api-strict", "numpy")


@strict
def test_a_block_ends_with_an_error_too(fresh):
    def work():
        with pytest.raises(ZeroDivisionError), nnx.use_backend("array-api-strict"):
            raise ZeroDivisionError
        return selected()

    assert fresh(work) == "numpy"


@strict
def test_the_variable(fresh, monkeypatch):
    monkeypatch.setenv("NNX_BACKEND", "array-api-strict:device1")
    assert "device1" in str(fresh(nnx.get_backend).device)
    monkeypatch.setenv("NNX_BACKEND", "")
    assert fresh(selected) == "numpy"


def test_a_wrong_variable_is_named(fresh, monkeypatch):
    monkeypatch.setenv("NNX_BACKEND", "nowhere")
    with pytest.raises(BackendError, match="NNX_BACKEND=nowhere: unknown backend 'nowhere'; known are numpy, "):
        fresh(selected)


@strict
def test_a_thread_has_its_own(fresh):
    def work():
        found = []
        with nnx.use_backend("array-api-strict"):
            thread = threading.Thread(target=lambda: found.append(selected()))
            thread.start()
            thread.join()
            inside = contextvars.copy_context()
            thread = threading.Thread(target=lambda: found.append(inside.run(selected)))
            thread.start()
            thread.join()
        return found

    assert fresh(work) == ["numpy", "array-api-strict"]


def test_unknown_backends_and_devices():
    with pytest.raises(
        BackendError, match="unknown backend 'nowhere'; known are numpy, cupy, torch, jax, array-api-str"
    ):
        nnx.use_backend("nowhere")
    with pytest.raises(DeviceError, match="backend 'numpy' has no device 'cuda:1'; it has cpu"):
        nnx.use_backend("numpy:cuda:1")


@pytest.mark.parametrize("name", ["cupy", "torch", "jax", "array-api-strict"])
def test_a_backend_that_is_not_installed(monkeypatch, name):
    backend = BACKENDS[name]
    for module in (backend.module, backend.namespace_module):
        monkeypatch.setitem(sys.modules, module, None)
    assert not backend.installed
    assert name not in nnx.available_backends()
    with pytest.raises(BackendError, match=rf"backend '{name}' is not installed; install it with: pip install "):
        nnx.use_backend(name)
    with pytest.raises(BackendError, match="is not installed"):
        nnx.to_device(np.ones(1), name)


def test_cupy_without_a_device(monkeypatch):
    cuda = types.SimpleNamespace(is_available=lambda: False)
    for module in ("cupy", "array_api_compat.cupy"):
        monkeypatch.setitem(sys.modules, module, types.SimpleNamespace(cuda=cuda))
    assert BACKENDS["cupy"].installed
    assert "cupy" not in nnx.available_backends()
    with pytest.raises(BackendError, match="'cupy' is installed, but no CUDA device was found; check that nvidia-smi"):
        nnx.use_backend("cupy")


def test_available_backends_name_their_devices():
    found = nnx.available_backends()
    assert found["numpy"] == ["cpu"]
    assert all(isinstance(device, str) for devices in found.values() for device in devices)
    assert set(found) <= set(BACKENDS)


@pytest.mark.parametrize("name", list(nnx.available_backends()))
def test_every_listed_device_can_be_selected(name):
    for device in nnx.available_backends()[name]:
        with nnx.use_backend(f"{name}:{device}"):
            assert nnx.get_backend().name == name
    assert BACKENDS[name].version
