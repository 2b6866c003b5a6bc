"""Which body of a primitive runs: kernels for the library and kind of device first, the portable body last."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from nnx.backend import device_kind, is_array, library_name, namespace
from nnx.backend.tiers import TIERS, load_library


class Kernel(NamedTuple):
    """A faster body of a primitive for plain arrays of one library.

    Attributes
    ----------
    library : str
        The name of the array library, as in :func:`nnx.use_backend`.
    device : str or None
        The kind of device, ``"cpu"`` or ``"cuda"``; ``None`` for any.
    tier : str
        ``"native"`` if it needs nothing but the library, ``"compiled"`` if it needs a compiler as well.
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
        """The name that :func:`nnx.kernels.explain` shows."""
        where = "" if self.device is None else f" on {self.device}"
        return f"{self.library}{where}, {self.tier}"


class Declined(NamedTuple):
    """What a kernel returns for arguments that it leaves to the next body."""

    reason: str


Candidate = tuple[int, str | None, Callable[..., Any], bool, Kernel]
"""A kernel with what a call needs of it: the rank of its tier, its device, its rule, and whether that is fresh."""


def candidates(kernels: Sequence[Kernel], array: Any) -> tuple[Candidate, ...]:
    """Return the kernels for arrays of this type, best first."""
    library = library_name(namespace(array)) if is_array(array) else ""
    own = [kernel for kernel in kernels if kernel.library == library]
    own.sort(key=lambda kernel: -TIERS.index(kernel.tier))  # stable: within a tier, in order of registration
    return tuple((TIERS.index(kernel.tier), kernel.device, kernel.rule, kernel.fresh, kernel) for kernel in own)


def load_kernels(array: Any) -> None:
    """Import the kernels of the library that an array belongs to."""
    if is_array(array):
        load_library(library_name(namespace(array)))


def fits_device(kernel: Kernel, array: Any) -> bool:
    """Return whether a kernel is for the kind of device that an array is on."""
    return kernel.device is None or kernel.device == device_kind(array)
