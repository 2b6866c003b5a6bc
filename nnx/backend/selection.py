"""Select the backend of new arrays: by a call, by a ``with`` block, or by the variable ``NNX_BACKEND``."""

import os
from contextvars import ContextVar
from typing import NamedTuple

from nnx.backend.registry import BACKENDS, Backend, find_backend
from nnx.backend.settings import Setting
from nnx.errors import BackendError
from nnx.types import Device, Namespace


class Selection(NamedTuple):
    """A backend and one of its devices.

    Attributes
    ----------
    name : str
        Name of the backend.
    namespace : namespace
        Its array API namespace.
    device : device
        The device object that new arrays are made on.
    """

    name: str
    namespace: Namespace
    device: Device


_selected: ContextVar[Selection | None] = ContextVar("nnx_backend", default=None)


class use_backend(Setting):  # noqa: N801  used like a function, or in a with statement
    """Select the backend on which parameters and other new arrays are created.

    The selection holds in the current context: in the calling thread or task, and in whatever is started with a copy of
    its context. In a ``with`` statement it ends with the block. Without a selection the environment variable
    ``NNX_BACKEND`` decides, and otherwise NumPy is used. Existing arrays are never moved.

    Parameters
    ----------
    spec : str
        ``"<backend>"`` or ``"<backend>:<device>"``: ``"numpy"``, ``"cupy:0"``, ``"torch:cuda:1"``, ``"jax"``.

    Raises
    ------
    BackendError
        If the backend is unknown, not installed, or has no device here.
    DeviceError
        If the backend has no device of that name.

    Examples
    --------
    >>> import nnx
    >>> with nnx.use_backend("numpy"):
    ...     layer = nnx.Linear(3, 2)
    >>> nnx.get_backend().name
    'numpy'
    """

    def __init__(self, spec: str) -> None:
        super().__init__(_selected, select(spec))


def get_backend() -> Selection:
    """Return the selected backend: its name, namespace and device.

    Raises
    ------
    BackendError
        If ``NNX_BACKEND`` names a backend that cannot be used.
    """
    selected = _selected.get()
    if selected is None:
        spec = os.environ.get("NNX_BACKEND") or "numpy"
        try:
            selected = select(spec)
        except BackendError as error:
            if "NNX_BACKEND" in os.environ:
                raise BackendError(f"NNX_BACKEND={spec}: {error}") from error
            raise
        _selected.set(selected)
    return selected


def select(spec: str) -> Selection:
    """Return the backend and device for a specification such as ``"torch:cuda:0"``."""
    name, _, device = spec.partition(":")
    backend = find_backend(name)
    return Selection(backend.name, backend.namespace, backend.device(device or None))


def parse(spec: str) -> tuple[Backend | None, str | None]:
    """Split ``"<backend>:<device>"``; the backend is ``None`` if only a device is named."""
    name, _, device = spec.partition(":")
    if name in BACKENDS:
        return BACKENDS[name], device or None
    return None, spec
