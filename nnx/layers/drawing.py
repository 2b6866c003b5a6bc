"""What layers that draw random numbers have in common: a seed and a counter, which are saved with the model."""

import threading
from typing import Any

from nnx.autodiff.recomputation import remembered
from nnx.backend import generator, is_compiling
from nnx.layers.module import Module
from nnx.layers.parameter import Buffer, baked_in
from nnx.types import Array

_ONE_AT_A_TIME = threading.Lock()  # so that no two threads draw the same numbers


class Drawing(Module):
    """A layer whose ``forward`` draws random numbers; the base of :class:`nnx.Dropout` and its like.

    Parameters
    ----------
    seed : int, optional
        By default drawn by ``rng``. Layers of one seed draw the same numbers, so each layer needs its own.
    rng : int or NumPy Generator, optional
        Draws the seed; by default the system's entropy. Pass one generator to all layers.

    Attributes
    ----------
    seed, calls : Buffer
        The seed, and the number of draws. Together they determine the numbers, which are the same on every backend.

    Raises
    ------
    ArgumentError
        If the seed is negative or not an integer.

    Examples
    --------
    >>> import numpy as np, nnx
    >>> class Noise(Drawing):
    ...     def forward(self, x):
    ...         return x + nnx.backend.normal(x.shape, like=x, **self.next_draw("noise", x))
    >>> noise = Noise(seed=0)
    >>> noise(np.zeros(2)).round(2)
    array([-0.06, -0.4 ])
    """

    def __init__(self, *, seed: int | None = None, rng: Any = None) -> None:
        if seed is not None:
            generator(seed)  # for its checks of the seed
        # JAX takes integers of 31 bits as arguments of compiled functions, JSON those of 53.
        drawn = generator(rng).integers(2**53) >> 22 if seed is None else seed
        self.seed = Buffer(int(drawn), constant=True)
        self.calls = Buffer(0)

    def next_draw(self, stream: str, like: Array) -> dict[str, Any]:
        """Return seed, stream and step, as the random functions take them, and count the draw.

        Each call gives a step of its own, except when :func:`nnx.remat` runs a layer again.

        Parameters
        ----------
        stream : str
            Distinguishes the kinds of numbers that a layer draws.
        like : array
            An array of the library that draws.

        Returns
        -------
        dict
            ``{"seed": ..., "stream": ..., "step": ...}``, for example for :func:`nnx.backend.scaled_mask` or
            :func:`nnx.functional.dropout`.

        Raises
        ------
        UsageError
            If ``jax.jit`` compiles the call, and would make a constant of the step.
        """
        if isinstance(self.calls.value, int) and is_compiling(like):
            raise baked_in("counts draws in Python, so each call of the compiled function would draw the same numbers")
        return {"seed": self.seed.value, "stream": stream, "step": remembered(self._advance)}

    def _advance(self) -> Any:
        with _ONE_AT_A_TIME:
            step = self.calls.value
            self.calls.value = step + 1
        return step
