"""Faster bodies of functions for plain arrays of one library, each held by a test to the portable body.

The tiers are ``portable``, the body in the standard's own terms; ``native``, what the library alone can do; and
``compiled``, what needs a compiler beside it. Each uses those before it where it has no kernel of its own. The
environment variable ``NNX_KERNELS`` chooses the highest tier for a process; the default is all of them.
"""

import importlib
from collections.abc import Callable
from typing import Any, NamedTuple

from nnx.autodiff.dispatch import Declined, Kernel, fits_device
from nnx.autodiff.primitives import NOTHING, Primitive
from nnx.backend.tiers import LIMIT, TIERS, use_kernels
from nnx.errors import ArgumentError

__all__ = ["TIERS", "Choice", "Declined", "Kernel", "explain", "use_kernels"]

PROVIDERS: dict[str, Callable[[], Any]] = {"numpy": lambda: importlib.import_module("nnx.kernels.numpy")}
"""For each library, a function that imports its kernels, which then register themselves."""


def load(library: str) -> None:
    """Import the kernels of a library, if there are any; called when the first array of that library comes."""
    if library in PROVIDERS:
        PROVIDERS[library]()


class Choice(NamedTuple):
    """Which body a call takes, and why not another.

    Attributes
    ----------
    chosen : str
        Such as ``"numpy, native"``, or ``"portable"``.
    declined : dict
        From the name of each kernel that comes before it to the reason why it does not run.
    """

    chosen: str
    declined: dict[str, str]


def explain(function: Callable[..., Any], *args: Any, **options: Any) -> Choice:
    """Tell which body a call of a function takes, and why the kernels before it decline. The call is made.

    Parameters
    ----------
    function : Primitive
        One of :mod:`nnx.functional`, or your own.
    *args, **options
        As in a call; plain arrays.

    Returns
    -------
    Choice

    Raises
    ------
    ArgumentError
        If the function is no primitive.

    Examples
    --------
    >>> import numpy as np, nnx
    >>> nnx.kernels.explain(nnx.functional.linear, np.ones((1, 2)), np.ones((2, 3)))
    Choice(chosen='numpy, native', declined={})
    """
    if not isinstance(function, Primitive):
        raise ArgumentError(f"expected a primitive, such as nnx.functional.linear, got {function!r}")
    declined = {}
    for rank, _, kernel in function.kernels_for(args[0]) if args else ():
        if rank > LIMIT.get():
            declined[kernel.name] = f"the tier is {TIERS[LIMIT.get()]!r}; choose with nnx.use_kernels"
        elif not fits_device(kernel, args[0]):
            declined[kernel.name] = f"it is for arrays on {kernel.device}"
        elif isinstance(made := kernel.rule(NOTHING, *args, **options), Declined):
            declined[kernel.name] = made.reason
        else:
            return Choice(kernel.name, declined)
    function.function(*args, **options)
    return Choice("portable", declined)
