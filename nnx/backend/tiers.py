"""Select the tier of kernels: by a call, by a ``with`` block, or by the variable ``NNX_KERNELS``."""

import os
from collections.abc import Callable
from contextvars import ContextVar
from typing import Any

from nnx.backend.settings import Setting
from nnx.errors import ArgumentError

TIERS = ("portable", "native", "compiled")
"""From bodies in the standard's own terms to kernels that need a compiler; each tier includes the ones before it."""
COMPILED = TIERS.index("compiled")


class use_kernels(Setting):  # noqa: N801  used like a function, or in a with statement
    """Set the highest tier of kernels that may run: in this thread or task from now on, or in a ``with`` block.

    Parameters
    ----------
    tier : {"portable", "native", "compiled"}

    Raises
    ------
    ArgumentError
        If the tier is unknown.

    Examples
    --------
    >>> import numpy as np, nnx
    >>> with nnx.use_kernels("portable"):
    ...     nnx.kernels.explain(nnx.functional.relu, np.ones(2)).chosen
    'portable'
    """

    def __init__(self, tier: str) -> None:
        rank = as_tier(tier)
        if rank > max(ASKED):
            ASKED.add(rank)
            for library in tuple(SEEN):  # whose kernels of this tier nobody had wanted
                load_library(library)
        super().__init__(LIMIT, rank)


def as_tier(value: str, name: str = "tier") -> int:
    """Return the rank of a tier; an unknown one raises ArgumentError."""
    if value not in TIERS:
        raise ArgumentError(f"expected {name} to be one of {', '.join(TIERS)}, got {value!r}")
    return TIERS.index(value)


DEFAULT = as_tier(os.environ.get("NNX_KERNELS") or TIERS[-1], "NNX_KERNELS")
"""The rank of the highest tier that may run where none was set."""

LIMIT: ContextVar[int] = ContextVar("nnx_kernels", default=DEFAULT)
"""The rank of the highest tier that may run, in the current thread or task."""

ASKED: set[int] = {DEFAULT}
"""The ranks that some thread has set, of those above all before; kernels of higher tiers are not loaded."""

SEEN: set[str] = set()
"""The libraries whose kernels were loaded."""

LOADERS: list[Callable[[str], Any]] = []
"""Each is given the name of a library when the first array of it comes, and imports kernels for it. ``nnx`` itself adds
the one for :mod:`nnx.kernels`: what chooses among kernels stands below them, and may not import them."""


def load_library(library: str) -> None:
    """Import the kernels of a library up to the highest tier in :data:`ASKED`; what is imported already costs little.

    No lock: importing under one could wait for a thread that imports the same module and waits for the lock. A thread
    that sees a library notes that before it looks at the tiers, one that sets a tier notes it before it looks at the
    libraries, so whichever comes second loads what is missing.
    """
    SEEN.add(library)
    for load in LOADERS:
        load(library)
