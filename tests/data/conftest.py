"""The fixture ``xp``: one test, run on each array library that is installed."""

import importlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest


@dataclass(frozen=True)
class Library:
    name: str
    namespace: Any
    device: Any

    def asarray(self, data: Any, dtype: str = "float32") -> Any:
        host = np.asarray(data, dtype=dtype)
        if self.name.startswith("numpy"):
            host = host.copy()
            host.flags.writeable = self.name == "numpy"
            return host
        return self.namespace.asarray(host, device=self.device)


@pytest.fixture(params=["numpy", "numpy-readonly", "array-api-strict", "torch", "jax"])
def xp(request: pytest.FixtureRequest) -> Iterator[Library]:
    match request.param:
        case "array-api-strict":
            strict = pytest.importorskip("array_api_strict")
            with strict.ArrayAPIStrictFlags(boolean_indexing=False, data_dependent_shapes=False):
                yield Library(request.param, strict, strict.Device("device1"))
        case "torch":
            torch = pytest.importorskip("torch")
            yield Library(
                request.param, importlib.import_module("array_api_compat.torch"), torch.device("cpu")
            )
        case "jax":
            jax = pytest.importorskip("jax")
            yield Library(request.param, importlib.import_module("jax.numpy"), jax.devices("cpu")[0])
        case name:
            yield Library(name, importlib.import_module("array_api_compat.numpy"), "cpu")
