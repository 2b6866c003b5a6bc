"""The sampling layer of a variational autoencoder."""

from nnx import functional
from nnx.autodiff import stop_gradient
from nnx.backend import generator, normal
from nnx.functional.checks import expect_real, expect_shape
from nnx.layers.module import Module
from nnx.layers.parameter import Buffer
from nnx.types import Array


class Reparameterization(Module):
    r"""Sample :math:`N(\mu, v)` as a differentiable function of mean and variance: :math:`\mu + \sqrt{v}\,z`.

    Parameters
    ----------
    seed : int, optional
        The seed of the noise :math:`z`; by default drawn from the system's entropy. Each such layer of a model needs
        its own seed.

    Attributes
    ----------
    seed, calls : Buffer
        The seed, and the number of draws. Together they determine the noise, which is the same on every backend; they
        are saved with the model.

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

    def __init__(self, seed: int | None = None) -> None:
        if seed is not None:
            generator(seed)  # for its checks of the seed
        self.seed = Buffer(int(generator(None).integers(2**31)) if seed is None else int(seed))
        self.calls = Buffer(0)

    def forward(self, mean: Array, variance: Array) -> Array:
        """Map mean and variance, both (batch, latent), to a sample of that shape."""
        if not self.training:
            expect_real(mean, "mean")
            expect_shape(variance, tuple(mean.shape), "variance", "as the mean has")
            return mean
        step = self.calls.value
        like = stop_gradient(mean)
        noise = normal(tuple(mean.shape), like=like, seed=self.seed.value, stream="noise", step=step)
        sample = functional.reparameterize(mean, variance, noise)
        self.calls.value = step + 1
        return sample
