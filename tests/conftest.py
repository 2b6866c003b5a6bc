"""The fixture ``xp``: one test, run on each array library that is there.

``pytest --backend NAME`` (repeatable) chooses; without it all run, and a library that is missing skips.
"""

import importlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, settings

import nnx

# The fixture xp makes nothing that an example could change; the first call of a library takes long.
settings.register_profile(
    "nnx",
    deadline=None,
    max_examples=20,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.differing_executors],
)
settings.load_profile("nnx")

BACKENDS = ("numpy", "numpy-readonly", "array-api-strict", "torch", "jax", "cupy")


@dataclass(frozen=True)
class Library:
    """An array library under test, and how to make its arrays.

    ``spec`` is what :func:`nnx.use_backend` and :func:`nnx.to_device` take.
    """

    name: str
    spec: str
    namespace: Any
    device: Any

    def asarray(self, data: Any, dtype: str = "float32") -> Any:
        """Make an array; on the read-only NumPy backend nothing may write to it."""
        host = np.array(data, dtype=dtype)
        if self.name == "numpy-readonly":
            host.flags.writeable = False
        return nnx.backend.asarray(host, like=self.empty)

    @property
    def empty(self) -> Any:
        return self.namespace.zeros((0,), dtype=self.namespace.float32, device=self.device)

    def to_numpy(self, array: Any) -> Any:
        return nnx.to_numpy(array)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--backend", action="append", choices=BACKENDS, help="run the backend tests on this library")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "xp" in metafunc.fixturenames:
        chosen = metafunc.config.getoption("--backend") or BACKENDS
        metafunc.parametrize("xp", [pytest.param(name, id=name) for name in chosen], indirect=True)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if "xp" in getattr(item, "fixturenames", ()):
            item.add_marker("backend")


@pytest.fixture
def xp(request: pytest.FixtureRequest) -> Iterator[Library]:
    """The array library that the test runs on."""
    name = request.param
    match name:
        case "array-api-strict":
            strict = pytest.importorskip("array_api_strict", reason="array-api-strict is not installed")
            # Not the default device, so that an array made without a device is found out; and no operation that
            # would stop the queue of a GPU.
            with strict.ArrayAPIStrictFlags(boolean_indexing=False, data_dependent_shapes=False):
                yield Library(name, f"{name}:device1", strict, strict.Device("device1"))
        case "torch":
            torch = pytest.importorskip("torch", reason="torch is not installed")
            yield Library(name, name, importlib.import_module("array_api_compat.torch"), torch.device("cpu"))
        case "jax":
            jax = pytest.importorskip("jax", reason="JAX is not installed")
            jax.config.update("jax_enable_x64", True)
            yield Library(name, "jax:cpu:0", importlib.import_module("jax.numpy"), jax.devices("cpu")[0])
        case "cupy":
            cupy = pytest.importorskip("cupy", reason="CuPy is not installed")
            if not cupy.cuda.is_available():
                pytest.skip("no CUDA device was found")
            yield Library(name, "cupy:0", importlib.import_module("array_api_compat.cupy"), cupy.cuda.Device(0))
        case _:
            yield Library(name, "numpy", importlib.import_module("array_api_compat.numpy"), "cpu")
