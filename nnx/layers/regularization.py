"""Layers that drop parts of their input in training: elements, channels or whole examples."""

from typing import Any

from nnx import functional
from nnx.errors import ShapeError
from nnx.functional.checks import as_probability, expect_real
from nnx.layers.drawing import Drawing
from nnx.types import Array


class _Dropping(Drawing):
    """What the layers of this file share: nothing happens in evaluation mode."""

    def __init__(self, probability: float = 0.5, *, seed: int | None = None, rng: Any = None) -> None:
        super().__init__(seed=seed, rng=rng)
        self.probability = as_probability(probability, "probability")

    def forward(self, x: Array) -> Array:
        """Map an array to one of the same shape; in evaluation mode it is the array itself."""
        self._check(x)
        if not self.training or self.probability == 0.0:
            return x
        return self._drop(x, probability=self.probability, **self.next_draw("dropout", x))

    def _check(self, x: Array) -> None:
        expect_real(x)

    def _drop(self, x: Array, **options: Any) -> Array:
        return functional.dropout(x, **options)


class Dropout(_Dropping):
    r"""Set random elements to zero in training, and scale the others by :math:`1 / (1 - p)`.

    Another mask is drawn at each call, the same on every backend. In evaluation mode the output is the input.

    Parameters
    ----------
    probability : float
        That an element is dropped, :math:`p` in [0, 1].
    seed : int, optional
        Of the masks; by default drawn by ``rng``. Layers with one seed draw the same masks: give each its own, or pass
        one generator to all.
    rng : int or NumPy Generator, optional
        Draws the seed; by default the system's entropy.

    Attributes
    ----------
    seed, calls : Buffer
        The seed, and the number of draws. They determine the masks, and are saved with the model, so that a run goes on
        with the masks that it would have had.

    Raises
    ------
    ArgumentError
        If the probability is not in [0, 1], or the seed is not an integer >= 0.
    DTypeError
        On a call, if the input holds integers or complex numbers.

    Notes
    -----
    See :func:`nnx.functional.dropout`.
    Source: N. Srivastava et al., "Dropout: a simple way to prevent neural networks from overfitting", JMLR 2014.

    Examples
    --------
    >>> import numpy as np, nnx
    >>> layer = nnx.Dropout(0.5, seed=0)
    >>> layer(np.ones(4, np.float32))
    array([2., 0., 0., 0.], dtype=float32)
    >>> layer.eval()(np.ones(4, np.float32))
    array([1., 1., 1., 1.], dtype=float32)
    """


class ChannelDropout(_Dropping):
    """Drop whole channels of (batch, channels, ...) in training, each example its own.

    Neighboring pixels are alike, so that single ones can be guessed from the others; a channel cannot.

    Parameters
    ----------
    probability : float
        That a channel is dropped.
    axis : int
        That of the channels; default 1.
    seed, rng
        As in :class:`Dropout`, and so are the buffers.

    Raises
    ------
    ArgumentError
        If the probability is not in [0, 1], or the seed is not an integer >= 0.
    ShapeError
        On a call, if the input has no axis of channels beside that of the batch.
    DTypeError
        On a call, if the input holds integers or complex numbers.

    Notes
    -----
    Source: J. Tompson et al., "Efficient object localization using convolutional networks", CVPR 2015.

    Examples
    --------
    >>> import numpy as np, nnx
    >>> nnx.ChannelDropout(0.5, seed=0)(np.ones((1, 3, 2), np.float32))
    array([[[2., 2.],
            [0., 0.],
            [0., 0.]]], dtype=float32)
    """

    def __init__(self, probability: float = 0.5, *, axis: int = 1, seed: int | None = None, rng: Any = None) -> None:
        super().__init__(probability, seed=seed, rng=rng)
        self.axis = axis

    def _check(self, x: Array) -> None:
        expect_real(x)
        if x.ndim < 2 or not -x.ndim < self.axis < x.ndim or self.axis == 0:
            raise ShapeError(
                f"expected input (batch, channels, ...) with channels at axis {self.axis}, got {tuple(x.shape)}"
            )

    def _drop(self, x: Array, **options: Any) -> Array:
        return functional.dropout(x, axes=(0, self.axis), **options)


class AlphaDropout(_Dropping):
    """Dropout for networks of SELU, which keeps mean 0 and variance 1; see :func:`nnx.functional.alpha_dropout`.

    Parameters
    ----------
    probability : float
        That an element is set to the lower limit of SELU, in [0, 1].
    seed, rng
        As in :class:`Dropout`, and so are the buffers.

    Raises
    ------
    ArgumentError
        If the probability is not in [0, 1], or the seed is not an integer >= 0.
    DTypeError
        On a call, if the input holds integers or complex numbers.

    Notes
    -----
    Source: G. Klambauer et al., "Self-normalizing neural networks", NeurIPS 2017.

    Examples
    --------
    >>> import numpy as np, nnx
    >>> nnx.AlphaDropout(0.5, seed=0)(np.zeros(4, np.float32)).round(2)
    array([ 0.78, -0.78, -0.78, -0.78], dtype=float32)
    """

    def _drop(self, x: Array, **options: Any) -> Array:
        return functional.alpha_dropout(x, **options)


class DropPath(_Dropping):
    """Stochastic depth: drop whole examples of the input in training, at the end of a residual branch.

    ``x + drop_path(branch(x))`` then leaves out the branch for random examples, and scales it by ``1 / (1 - p)`` for
    the others.

    Parameters
    ----------
    probability : float
        That an example is dropped.
    seed, rng
        As in :class:`Dropout`, and so are the buffers.

    Raises
    ------
    ArgumentError
        If the probability is not in [0, 1], or the seed is not an integer >= 0.
    ShapeError
        On a call, if the input has no axis.
    DTypeError
        On a call, if the input holds integers or complex numbers.

    Notes
    -----
    Source: G. Huang et al., "Deep networks with stochastic depth", ECCV 2016.

    Examples
    --------
    >>> import numpy as np, nnx
    >>> nnx.DropPath(0.5, seed=0)(np.ones((3, 2), np.float32))
    array([[2., 2.],
           [0., 0.],
           [0., 0.]], dtype=float32)
    """

    def _check(self, x: Array) -> None:
        expect_real(x)
        if x.ndim == 0:
            raise ShapeError("expected input (batch, ...), got ()")

    def _drop(self, x: Array, **options: Any) -> Array:
        return functional.dropout(x, axes=(0,), **options)
