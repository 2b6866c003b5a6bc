"""``nnx backends``, and the choice of backend and device for the other commands."""

from rich.console import Console

from nnx.backend import BACKENDS, get_backend
from nnx.backend.registry import find_backend
from nnx.cli import OK
from nnx.cli.display import print_table
from nnx.errors import BackendError


def choose_device(backend: str | None, device: str | None) -> tuple[str, str]:
    """Return the names of the backend and the device to use, given options that may leave either open.

    Raises
    ------
    BackendError, DeviceError
        If the backend cannot be used here, or has no such device.
    """
    if backend is None:
        backend, _, selected = get_backend()
        found = selected if device is None else BACKENDS[backend].device(device)
    else:
        found = find_backend(backend).device(device)
    return backend, next(name for name, one in BACKENDS[backend].devices().items() if one == found)


def list_backends(console: Console) -> int:
    """Print a table of the array libraries; return the exit code."""
    with console.status("looking for array libraries"):  # importing some of them takes seconds
        rows = [(name, *_look_at(name)) for name in BACKENDS]
    print_table(console, ("backend", "version", "devices", "to use it"), rows)
    return OK


def _look_at(name: str) -> tuple[str, str, str]:
    backend = BACKENDS[name]
    try:
        if not backend.installed:
            return "-", "-", backend.install
        try:
            return backend.version, ", ".join(backend.devices()), f"--backend {name}"
        except BackendError as error:
            return backend.version, "-", error.message
    except Exception as error:  # a broken installation may raise anything; the other backends are listed all the same
        return "-", "-", f"its import fails: {type(error).__name__}: {error}"
