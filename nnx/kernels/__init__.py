"""Faster bodies of functions for plain arrays of one library; tests hold each of them to the portable body.

The tiers are ``portable``, bodies in the standard's own terms; ``native``, kernels that need nothing but the library;
and ``compiled``, kernels that need a compiler as well. Where a tier has no kernel, the one before it is used. The
environment variable ``NNX_KERNELS`` sets the highest tier for a process; by default all are used.
"""

import importlib
import importlib.util
import warnings
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from nnx.autodiff.dispatch import Declined, Kernel, fits_device
from nnx.autodiff.primitives import NOTHING, Primitive, as_wanted
from nnx.backend.tiers import ASKED, COMPILED, LIMIT, TIERS, use_kernels
from nnx.errors import ArgumentError

__all__ = ["TIERS", "Choice", "Declined", "Kernel", "explain", "use_kernels"]


def _numpy() -> None:
    importlib.import_module("nnx.kernels.numpy")
    if COMPILED in ASKED and importlib.util.find_spec("numba") is not None:
        try:
            importlib.import_module("nnx.kernels.numba")
        except Exception as error:  # it refuses a NumPy newer than itself, or a library of it is broken or missing
            warnings.warn(
                "Numba is installed but cannot be imported, so nnx runs without its compiled loops: "
                f"{type(error).__name__}: {error}",
                RuntimeWarning,
                stacklevel=2,
            )


PROVIDERS: dict[str, Callable[[], Any]] = {
    "numpy": _numpy,
    "torch": lambda: importlib.import_module("nnx.kernels.torch"),
    "jax": lambda: importlib.import_module("nnx.kernels.jax"),
}
"""For each library, a function that imports its kernels, which then register themselves."""


def load(library: str) -> None:
    """Import the kernels of a library, if there are any.

    Called when the first array of that library comes, and again when a tier is set that is above all before.
    """
    if library in PROVIDERS:
        PROVIDERS[library]()


PORTABLE = TIERS[0]


class Choice(NamedTuple):
    """Which body a call runs, and why not another one.

    Attributes
    ----------
    chosen : str
        Such as ``"numpy, native"``, or ``"portable"``.
    declined : dict
        For each kernel tried before it, by name, the reason why it does not run.
    """

    chosen: str
    declined: dict[str, str]


def explain(function: Callable[..., Any], *args: Any, **options: Any) -> Choice:
    """Return which body a call of a function runs, and why the kernels before it decline. The call is made.

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
        If the function is not a primitive.

    Examples
    --------
    >>> import numpy as np, nnx
    >>> nnx.kernels.explain(nnx.functional.tanh, np.ones(2))
    Choice(chosen='numpy, native', declined={})
    """
    if not isinstance(function, Primitive):
        raise ArgumentError(f"expected a primitive, such as nnx.functional.linear, got {function!r}")
    choice = choose(function, NOTHING, args, options)
    if choice.chosen == PORTABLE:
        function.function(*args, **options)
    return choice


def choose(
    function: Primitive[..., Any], wanted: Sequence[int], args: Sequence[Any], options: dict[str, Any]
) -> Choice:
    """Return which body a primitive runs for plain values of which some cotangents are wanted; kernels are called."""
    declined = {}
    for rank, _, rule, _, kernel in function.kernels_for(args[0]) if args else ():
        if rank > LIMIT.get():
            declined[kernel.name] = f"the tier is {TIERS[LIMIT.get()]!r}; choose with nnx.use_kernels"
        elif not fits_device(kernel, args[0]):
            declined[kernel.name] = f"it is for arrays on {kernel.device}"
        elif isinstance(made := rule(as_wanted(wanted), *args, **options), Declined):
            declined[kernel.name] = made.reason
        else:
            return Choice(kernel.name, declined)
    return Choice(PORTABLE, declined)
