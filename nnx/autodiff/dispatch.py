"""Which body of a primitive runs: kernels for one library and kind of device first, the portable body last."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from nnx.backend import device_kind, is_array, library_name, namespace
from nnx.backend.tiers import TIERS


class Kernel(NamedTuple):
    """A faster body of a primitive for plain arrays of one library.

    Attributes
    ----------
    library : str
        The name of the array library, as in :func:`nnx.use_backend`.
    device : str or None
        The kind of device, ``"cpu"`` or ``"cuda"``; ``None`` for any.
    tier : str
        ``"native"`` for what the library alone can do, ``"compiled"`` for what needs a compiler beside it.
    rule : callable
        Like a primitive's rule, ``rule(wanted, *args, **options) -> (output, pullback)``; or it returns
        :class:`Declined` for arguments that it does not handle.
    fresh : bool
        As in :meth:`nnx.Primitive.with_pullback`.
    """

    library: str
    device: str | None
    tier: str
    rule: Callable[..., Any]
    fresh: bool

    @property
    def name(self) -> str:
        """What an explanation calls it."""
        where = "" if self.device is None else f" on {self.device}"
        return f"{self.library}{where}, {self.tier}"


class Declined(NamedTuple):
    """What a kernel returns for arguments that it leaves to the next body."""

    reason: str


PROVIDERS: dict[str, Callable[[], Any]] = {}
"""For each library what imports its kernels, which then add themselves; filled once by :mod:`nnx.kernels`."""


def candidates(kernels: Sequence[Kernel], array: Any) -> tuple[tuple[int, str | None, Kernel], ...]:
    """Return the kernels for arrays of this type, the best first, each with the rank of its tier and its device."""
    library = library_name(namespace(array)) if is_array(array) else ""
    own = [kernel for kernel in kernels if kernel.library == library]
    own.sort(key=lambda kernel: -TIERS.index(kernel.tier))  # stable: among equals the first that was added
    return tuple((TIERS.index(kernel.tier), kernel.device, kernel) for kernel in own)


def load_kernels(array: Any) -> None:
    """Import the kernels of the library that an array belongs to."""
    importlib.import_module("nnx.kernels")  # it stands above this folder, and comes only when it is needed
    if is_array(array) and (provider := PROVIDERS.get(library_name(namespace(array)))):
        provider()


def fits_device(kernel: Kernel, array: Any) -> bool:
    """Tell whether a kernel is for the kind of device that an array is on."""
    return kernel.device is None or kernel.device == device_kind(array)
