"""Layers without parameters that pass on their input, or call a function of it."""

from collections.abc import Callable
from typing import Any

from nnx.errors import ArgumentError
from nnx.layers.module import Module
from nnx.types import Array


class Identity(Module):
    r"""The input itself: :math:`y = x`, in the place of a layer that is to be left out.

    Examples
    --------
    >>> import numpy as np, nnx
    >>> nnx.Identity()(np.asarray([1.0, 2.0]))
    array([1., 2.])
    """

    def forward(self, x: Array) -> Array:
        """Map an array of any shape and dtype to itself."""
        return x


class Lambda(Module):
    r"""A function as a layer: :math:`y = f(x, \ldots)`.

    Parameters
    ----------
    function : callable
        Written in array API code: it takes what it calls from ``nnx.namespace(x)``, or is one of ``nnx.functional``.
        A function that holds modules or parameters is refused, since they would not be trained; make it a class.

    Raises
    ------
    ArgumentError
        If ``function`` cannot be called.

    Notes
    -----
    ``config()`` names a function that can be found by its name: one of ``nnx.functional``, which
    :func:`nnx.from_config` knows, or one at the top of a module, which has to be allowed there. For any other, such as
    a lambda expression, ``config()`` is an error.

    Examples
    --------
    >>> import numpy as np, nnx
    >>> nnx.Lambda(lambda x: nnx.namespace(x).abs(x))(np.asarray([-1.0, 2.0]))
    array([1., 2.])
    """

    def __init__(self, function: Callable[..., Any]) -> None:
        if not callable(function):
            raise ArgumentError(f"expected a function, got {function!r}")
        self.function = function

    def forward(self, *args: Any, **options: Any) -> Any:
        """Call the function."""
        return self.function(*args, **options)
