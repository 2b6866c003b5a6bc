"""A module whose intermediate results are computed again in the backward pass."""

from typing import Any

from nnx.autodiff import remat
from nnx.layers.location import locate
from nnx.layers.module import Module


class Remat(Module):
    """A module that keeps its arguments alone for the backward pass; what :func:`nnx.remat` makes of a module.

    Parameters
    ----------
    inner : Module
        Its parameters and buffers are below the path ``inner``.

    Examples
    --------
    >>> import numpy as np, nnx
    >>> block = nnx.remat(nnx.Model([nnx.Linear(2, 2, rng=0), nnx.ReLU()]))
    >>> type(block).__name__, list(block.parameters())
    ('Remat', ['inner.0.weight', 'inner.0.bias'])
    >>> block(np.ones((1, 2), np.float32)).shape
    (1, 2)
    """

    def __init__(self, inner: Module) -> None:
        self.inner = inner

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """Return what the inner module returns."""
        try:
            return _called_again(self.inner, *args, **kwargs)
        except Exception as error:
            locate(error, self.inner)  # what was called is a copy, which has no path
            raise


def _call(inner: Module, *args: Any, **kwargs: Any) -> Any:
    return inner(*args, **kwargs)


_called_again = remat(_call)
