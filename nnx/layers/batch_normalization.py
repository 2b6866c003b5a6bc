"""Batch normalization: by the statistics of the batch in training, by running ones in evaluation."""

import math
from typing import Any

from nnx import functional
from nnx.autodiff import stop_gradient
from nnx.backend import accumulation_dtype, namespace
from nnx.functional.batch_statistics import expect_dtype_of_statistic
from nnx.functional.checks import as_probability
from nnx.layers.channel_normalization import ChannelNormalization
from nnx.layers.open_sizes import InitialValues
from nnx.layers.parameter import Buffer
from nnx.types import Array, DType


class _BatchNorm(ChannelNormalization):
    running_mean: Buffer
    running_variance: Buffer

    def __init__(
        self,
        num_features: int | None,
        *,
        eps: float = 1e-5,
        momentum: float | None = 0.1,
        affine: bool = True,
        bias: bool = True,
        track_statistics: bool = True,
        axis: int = 1,
        dtype: DType | str = "float32",
    ) -> None:
        self.momentum = None if momentum is None else as_probability(momentum, "momentum")
        self.track_statistics = track_statistics
        super().__init__(num_features, eps=eps, affine=affine, bias=bias, axis=axis, dtype=dtype)

    def _make_parameters(self, size: int, values: InitialValues) -> None:
        super()._make_parameters(size, values)
        if self.track_statistics:
            for name, initial in (("running_mean", 0.0), ("running_variance", 1.0)):
                array = values.full((size,), initial)
                wide = namespace(array).astype(array, accumulation_dtype(array), copy=False)
                setattr(self, name, Buffer(wide, wide=True))
            self.num_batches = Buffer(0)

    def forward(self, x: Array) -> Array:
        """Map an input to one of the same shape."""
        self._expect_form(x, self.num_features)
        options: dict[str, Any] = {"axis": self.axis, "eps": self.eps}
        if not self.track_statistics:
            return functional.batch_norm_training(x, self.weight, self.bias, **options)[0]
        mean, variance = self.running_mean.value, self.running_variance.value
        if not self.training or 0 in x.shape:  # an empty batch has no statistics to follow
            return functional.batch_norm(x, mean, variance, self.weight, self.bias, **options)
        expect_dtype_of_statistic(x, mean, "running_mean")
        y, of_mean, of_variance = functional.batch_norm_training(x, self.weight, self.bias, **options)
        self._follow(stop_gradient(of_mean), stop_gradient(of_variance), math.prod(x.shape) // self.num_features)
        return y

    def _follow(self, mean: Array, variance: Array, size: int) -> None:
        """Let the running statistics follow those of a batch of this many values a channel."""
        number = self.num_batches.value + 1
        rate = 1.0 / number if self.momentum is None else self.momentum
        for buffer, new in ((self.running_mean, mean), (self.running_variance, variance * (size / (size - 1)))):
            old = buffer.value
            buffer.value = (1.0 - rate) * old + rate * namespace(new, old).astype(new, old.dtype, copy=False)
        self.num_batches.value = number


class BatchNorm1d(_BatchNorm):
    """Batch normalization of (batch, num_features) or (batch, num_features, length); see :class:`BatchNorm2d`.

    Examples
    --------
    >>> import numpy as np, nnx
    >>> layer = nnx.BatchNorm1d(2)
    >>> layer(np.asarray([[1.0, 3.0], [5.0, 3.0]], np.float32)).round(2)
    array([[-1.,  0.],
           [ 1.,  0.]], dtype=float32)
    >>> layer.running_mean.value, layer.running_variance.value
    (array([0.3, 0.3], dtype=float32), array([1.7, 0.9], dtype=float32))
    """

    _forms = ("", "length")


class BatchNorm2d(_BatchNorm):
    r"""Batch normalization: :math:`y = w (x - m) / \sqrt{v + \epsilon} + b` for each channel.

    In training mode :math:`m` and :math:`v` are mean and variance of the batch, over all examples and positions; in
    evaluation mode they are running statistics, which follow those of the batches in training.

    Parameters
    ----------
    num_features : int or None
        The number of channels; ``None`` takes it from the first input.
    eps : float
        :math:`\epsilon`, added to the variance.
    momentum : float or None
        The weight of a new batch in the running statistics, in [0, 1]; the old ones have 1 minus it, which other
        libraries call momentum. ``None`` weighs all batches alike.
    affine : bool
        Whether there are a weight and a bias.
    bias : bool
        Whether there is a bias, if there is a weight.
    track_statistics : bool
        Whether there are running statistics; without them evaluation mode uses those of the batch too.
    axis : int
        That of the channels: default 1, -1 where they are last.
    dtype : dtype or str
        Of parameters and statistics; default float32. The statistics of a type of 16 bits are in float32.

    Attributes
    ----------
    weight, bias : array, shape (num_features,), or None
        Initially 1 and 0.
    running_mean, running_variance : Buffer, array of shape (num_features,)
        Initially 0 and 1. The running variance is the unbiased one; the batch itself is normalized by the biased one.
    num_batches : Buffer, int
        How many batches the statistics come from.

    Raises
    ------
    ShapeError
        On a call, if the input is not (batch, num_features, height, width), or in training has one value a channel.
    DTypeError
        On a call, if the input holds integers or complex numbers, or its dtype is not that of the weight.
    ArgumentError
        If ``num_features`` is less than 1, ``eps`` is negative or ``momentum`` is not in [0, 1].

    Notes
    -----
    ``model[1].eval()`` after ``model.train()`` freezes the statistics of one layer.
    See :func:`nnx.functional.batch_norm_training` and :func:`nnx.functional.batch_norm`.
    Source: S. Ioffe and C. Szegedy, "Batch normalization", ICML 2015.

    Examples
    --------
    >>> import numpy as np, nnx
    >>> layer = nnx.BatchNorm2d(3)
    >>> layer(np.ones((5, 3, 4, 4), np.float32)).shape
    (5, 3, 4, 4)
    >>> list(layer.state_dict())
    ['weight', 'bias', 'running_mean', 'running_variance', 'num_batches']
    """

    _forms = ("height width",)


class BatchNorm3d(_BatchNorm):
    """Batch normalization of (batch, num_features, depth, height, width); see :class:`BatchNorm2d`.

    Examples
    --------
    >>> import numpy as np, nnx
    >>> nnx.BatchNorm3d(2)(np.ones((2, 2, 3, 4, 4), np.float32)).shape
    (2, 2, 3, 4, 4)
    """

    _forms = ("depth height width",)
