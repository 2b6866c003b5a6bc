"""The array libraries that nnx knows by name: how to import and install each, and which devices it has."""

import importlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from nnx.backend.namespaces import library_name, namespace
from nnx.errors import BackendError, DeviceError
from nnx.types import Array, Device, Namespace


@dataclass(frozen=True)
class Backend:
    """An array library: its name, its namespace, its devices.

    Attributes
    ----------
    name : str
        The name that :func:`nnx.use_backend` takes.
    module : str
        The module whose import shows whether the library is installed.
    namespace_module : str
        The module that is its array API namespace.
    install : str
        The command that installs it.
    list_devices : callable
        Returns a dict from device name to device object, the default device first.
    """

    name: str
    module: str
    namespace_module: str
    install: str
    list_devices: Callable[[], dict[str, Device]]

    @property
    def namespace(self) -> Namespace:
        """The array API namespace of the library; raises BackendError if it is not installed."""
        try:
            return importlib.import_module(self.namespace_module)
        except ImportError as error:
            raise BackendError(f"backend {self.name!r} is not installed; install it with: {self.install}") from error

    @property
    def installed(self) -> bool:
        """Whether the library can be imported."""
        try:
            importlib.import_module(self.module)
        except ImportError:
            return False
        return True

    @property
    def version(self) -> str:
        """The version of the installed library."""
        from importlib import metadata  # slow to import, and nothing else needs it

        module = importlib.import_module(self.module)
        return str(getattr(module, "__version__", None) or metadata.version(self.name))

    def devices(self) -> dict[str, Device]:
        """Return the devices that can be used now, default first; raises BackendError if there is none."""
        self.namespace  # noqa: B018  raises with what to install
        found = self.list_devices()
        if not found:
            raise BackendError(
                f"backend {self.name!r} is installed, but no CUDA device was found; "
                'check that nvidia-smi lists one, or use another backend, for example nnx.use_backend("numpy")'
            )
        return found

    def device(self, name: str | None = None) -> Device:
        """Return the device object of a name; ``None`` is the default device, ``"0"`` the first CUDA or CPU device."""
        found = self.devices()
        if name is None:
            return next(iter(found.values()))
        for candidate in (name, f"cuda:{name}", f"cpu:{name}"):
            if candidate in found:
                return found[candidate]
        raise DeviceError(f"backend {self.name!r} has no device {name!r}; it has {', '.join(found)}")


def _cupy_devices() -> dict[str, Device]:
    import cupy

    if not cupy.cuda.is_available():
        return {}
    return {f"cuda:{i}": cupy.cuda.Device(i) for i in range(cupy.cuda.runtime.getDeviceCount())}


def _torch_devices() -> dict[str, Device]:
    import torch

    names = ["cpu", *(f"cuda:{i}" for i in range(torch.cuda.device_count()))]
    if torch.backends.mps.is_available():
        names.append("mps:0")
    return {name: torch.device(name) for name in names}


def _jax_devices() -> dict[str, Device]:
    import jax

    found = {f"{device.platform}:{device.id}": device for device in jax.devices()}
    return found | {f"cpu:{device.id}": device for device in jax.devices("cpu")}


def _strict_devices() -> dict[str, Device]:
    import array_api_strict

    devices = array_api_strict.__array_namespace_info__().devices()
    return {str(device).split("'")[1]: device for device in devices}


_JAX = "pip install jax, with the CUDA extra where wanted (docs.jax.dev, Installation)"
_CUPY = "pip install cupy-cuda13x (CUDA 13) or pip install cupy-cuda12x (CUDA 12)"
_TORCH = "pip install torch (pytorch.org, Get Started)"

BACKENDS: dict[str, Backend] = {
    backend.name: backend
    for backend in (
        Backend("numpy", "numpy", "array_api_compat.numpy", "pip install numpy", lambda: {"cpu": "cpu"}),
        Backend("cupy", "cupy", "array_api_compat.cupy", _CUPY, _cupy_devices),
        Backend("torch", "torch", "array_api_compat.torch", _TORCH, _torch_devices),
        Backend("jax", "jax", "jax.numpy", _JAX, _jax_devices),
        Backend(
            "array-api-strict",
            "array_api_strict",
            "array_api_strict",
            "pip install array-api-strict",
            _strict_devices,
        ),
    )
}


def find_backend(name: str) -> Backend:
    """Return the backend of a name; an unknown name raises BackendError with the known ones."""
    if name not in BACKENDS:
        raise BackendError(f"unknown backend {name!r}; known are {', '.join(BACKENDS)}")
    return BACKENDS[name]


def backend_of(array: Array) -> Backend:
    """Return the backend of an array, even if nnx does not know its library by name."""
    xp: Any = namespace(array)
    xp = getattr(xp, "untraced", xp)
    name = library_name(xp)
    if name in BACKENDS:
        return BACKENDS[name]

    def list_devices() -> dict[str, Any]:
        return {str(device): device for device in xp.__array_namespace_info__().devices()}

    return Backend(name, xp.__name__, xp.__name__, f"pip install {name}", list_devices)


def available_backends() -> dict[str, list[str]]:
    """Return the backends that work on this machine, each with its devices, default device first.

    Examples
    --------
    >>> import nnx
    >>> nnx.available_backends()["numpy"]
    ['cpu']
    """
    found = {name: list(b.list_devices()) for name, b in BACKENDS.items() if b.installed}
    return {name: devices for name, devices in found.items() if devices}
