"""The fixture ``xp``: one test, run on each array library that is there.

``pytest --backend NAME`` (repeatable) chooses; without it all that are installed and have a device run, and the first
lines of the report name those that are left out, and why. JAX compiles each operation for each new shape, so that there
only the first row of each record of the battery runs, unless there is ``--every-row``.
"""

import importlib
import sys
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
        is_foreign = dtype == "bfloat16"  # which NumPy does not have
        host = np.array(data, dtype="float32" if is_foreign else dtype)
        if self.name == "numpy-readonly":
            host.flags.writeable = False
        return nnx.backend.asarray(host, like=self.empty, dtype=dtype if is_foreign else None)

    def compiled(self, function: Any) -> Any:
        """Return a function of arrays under ``jax.jit``: JAX would compile each operation otherwise.

        So the suite also holds that what it calls can be compiled. On other libraries it is the function itself.
        """
        return importlib.import_module("jax").jit(function) if self.name == "jax" else function

    @property
    def empty(self) -> Any:
        return self.namespace.zeros((0,), dtype=self.namespace.float32, device=self.device)

    def to_numpy(self, array: Any) -> Any:
        return nnx.to_numpy(array)


def why_absent(name: str) -> str | None:
    """Say why a library cannot be tested here, or return None if it can."""
    module = {"array-api-strict": "array_api_strict"}.get(name, name.removesuffix("-readonly"))
    try:
        found = importlib.import_module(module)
    except ImportError:
        return f"{module} is not installed"
    return "no CUDA device was found" if name == "cupy" and not found.cuda.is_available() else None


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--backend", action="append", choices=BACKENDS, help="run the backend tests on this library")
    parser.addoption("--every-row", action="store_true", help="run all rows of the battery's records on JAX too")


def pytest_configure(config: pytest.Config) -> None:
    chosen = config.getoption("--backend")
    for name in chosen or ():
        if reason := why_absent(name):
            raise pytest.UsageError(f"cannot test on {name}: {reason}")
    config.nnx_backends = chosen or [name for name in BACKENDS if not why_absent(name)]


def pytest_report_header(config: pytest.Config) -> list[str]:
    left_out = [f"{name} ({reason})" for name in BACKENDS if (reason := why_absent(name))]
    return [f"array libraries: {', '.join(config.nnx_backends)}", f"left out: {', '.join(left_out) or 'none'}"]


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "xp" in metafunc.fixturenames:
        metafunc.parametrize(
            "xp", [pytest.param(name, id=name) for name in metafunc.config.nnx_backends], indirect=True
        )


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    left_out = []
    for item in items:
        if "xp" in getattr(item, "fixturenames", ()):
            item.add_marker("backend")
            if item.callspec.params["xp"] == "jax" and item.get_closest_marker("further"):
                left_out.append(item)
    if left_out and not config.getoption("--every-row"):
        items[:] = [item for item in items if item not in set(left_out)]
        config.hook.pytest_deselected(items=left_out)


@pytest.fixture
def xp(request: pytest.FixtureRequest) -> Iterator[Library]:
    """The array library that the test runs on."""
    name = request.param
    match name:
        case "array-api-strict":
            strict = importlib.import_module("array_api_strict")
            # Not the default device, so that an array made without a device is found out; and no operation that
            # would stop the queue of a GPU.
            with strict.ArrayAPIStrictFlags(boolean_indexing=False, data_dependent_shapes=False):
                yield Library(name, f"{name}:device1", strict, strict.Device("device1"))
        case "torch":
            torch = importlib.import_module("torch")
            yield Library(name, name, importlib.import_module("array_api_compat.torch"), torch.device("cpu"))
        case "jax":
            jax = importlib.import_module("jax")
            jax.config.update("jax_enable_x64", True)
            yield Library(name, "jax:cpu:0", importlib.import_module("jax.numpy"), jax.devices("cpu")[0])
        case "cupy":
            cupy = importlib.import_module("cupy")
            yield Library(name, "cupy:0", importlib.import_module("array_api_compat.cupy"), cupy.cuda.Device(0))
        case _:
            yield Library(name, "numpy", importlib.import_module("array_api_compat.numpy"), "cpu")


@pytest.fixture(autouse=True, scope="module")
def forget_what_jax_compiled() -> Iterator[None]:
    """JAX keeps each operation that it compiled for each shape: 4 GB in the end, 2 if they go with their file."""
    yield
    if "jax" in sys.modules:
        sys.modules["jax"].clear_caches()
