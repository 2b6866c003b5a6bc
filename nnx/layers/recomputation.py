"""Functions and modules that are run again in the backward pass instead of keeping their residuals."""

from collections.abc import Callable
from typing import Any

from nnx.autodiff.recomputation import recomputed
from nnx.layers.location import locate
from nnx.layers.module import Module
from nnx.layers.settling import settle_below, settle_itself


def remat(function: Callable[..., Any]) -> Callable[..., Any]:
    """Return a function that keeps only its arguments for the backward pass, which then computes the residuals again.

    This saves the memory of the residuals, and costs the time of another run. The gradient is the same bit for bit,
    provided that ``function`` is deterministic and each argument is used by one such call only; the gradient of an
    argument of several calls is summed in another order, which may change the last bit. For the second run the buffers
    of modules are set back, so that the noise is the same.

    Parameters
    ----------
    function : callable
        Takes arrays, modules and trees of them by position, and constants by name; returns an array or a tree. A module
        becomes a module with the same parameters, under the name ``inner``.

    Returns
    -------
    callable

    Raises
    ------
    TraceError
        On a call, if ``function`` uses a traced array that is not among its arguments, whose derivative would be lost.

    Notes
    -----
    Source: T. Chen et al., "Training deep nets with sublinear memory cost", arXiv:1604.06174.

    Examples
    --------
    >>> import numpy as np, nnx
    >>> block = nnx.remat(lambda x: nnx.namespace(x).tanh(x) ** 2)
    >>> float(nnx.grad(block)(np.asarray(0.0)))
    0.0
    """
    return Remat(function) if isinstance(function, Module) else recomputed(function)


class Remat(Module):
    """A module that keeps only its arguments for the backward pass; :func:`nnx.remat` makes it from a module.

    Parameters
    ----------
    inner : Module
        Its parameters and buffers are under the path ``inner``.

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
        if not self.inner.is_settled:
            settle_itself(self.inner, args, kwargs)
        settle_below(self.inner, args, kwargs)
        try:
            return _called_again(self.inner, *args, **kwargs)
        except Exception as error:
            locate(error, self.inner)  # the module that was called is a copy, which has no path
            raise


def _call(inner: Module, *args: Any, **kwargs: Any) -> Any:
    return inner(*args, **kwargs)


_called_again = recomputed(_call)
