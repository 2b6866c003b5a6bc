"""The sampling layer of a variational autoencoder."""

from typing import Any

from nnx import functional
from nnx.autodiff import stop_gradient
from nnx.backend import normal
from nnx.functional.checks import expect_real, expect_shape
from nnx.layers.drawing import Drawing
from nnx.types import Array


class Reparameterization(Drawing):
    r"""Sample :math:`N(\mu, v)` as a differentiable function of mean and variance: :math:`\mu + \sqrt{v}\,z`.

    Parameters
    ----------
    seed : int, optional
        The seed of the noise :math:`z`; by default drawn by ``rng``.
    rng : int or NumPy Generator, optional
        By default the system's entropy.

    Attributes
    ----------
    seed, calls : Buffer
        The seed, and the number of draws, which determine the noise; see :class:`nnx.Dropout`.

    Notes
    -----
    In evaluation mode it returns the mean.
    Source: D. P. Kingma and M. Welling, "Auto-encoding variational Bayes", ICLR 2014.

    Examples
    --------
    >>> import numpy as np, nnx
    >>> nnx.Reparameterization(seed=0)(np.zeros((4, 2)), np.ones((4, 2))).shape
    (4, 2)
    """

    def __init__(self, seed: int | None = None, *, rng: Any = None) -> None:
        super().__init__(seed=seed, rng=rng)

    def forward(self, mean: Array, variance: Array) -> Array:
        """Map mean and variance, both (batch, latent), to a sample of that shape."""
        if not self.training:
            expect_real(mean, "mean")
            expect_shape(variance, tuple(mean.shape), "variance", "as the mean has")
            return mean
        noise = normal(tuple(mean.shape), like=stop_gradient(mean), **self.next_draw("noise", mean))
        return functional.reparameterize(mean, variance, noise)
