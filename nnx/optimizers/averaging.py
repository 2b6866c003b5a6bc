"""Averages of a model's weights over the steps of training, which often generalize better than the last weights."""

from nnx.functional.checks import as_integer, as_share
from nnx.layers import Module
from nnx.optimizers.hyperparameters import as_flag
from nnx.optimizers.weight_average import WeightAverage


class EMA(WeightAverage):
    r"""Exponential moving average of the weights.

    .. math:: \bar{w} \leftarrow \bar{w} + (1 - \beta)(w - \bar{w})

    Parameters
    ----------
    model : Module
        The model that is trained.
    decay : float
        :math:`\beta` in [0, 1); the average is over about :math:`1 / (1 - \beta)` updates.
    warm_up : bool
        Whether :math:`\beta` is at most :math:`(1 + n) / (10 + n)` after :math:`n` updates, so that the first weights
        are soon forgotten.
    buffers : bool
        Whether floating-point buffers are averaged too.

    Notes
    -----
    The average begins as the weights of the first update. Source: B. T. Polyak and A. B. Juditsky, "Acceleration of
    stochastic approximation by averaging", 1992. Without ``warm_up`` it is PyTorch's ``AveragedModel`` with
    ``get_ema_multi_avg_fn``; with it, TensorFlow's ``ExponentialMovingAverage`` with ``num_updates``.

    Examples
    --------
    >>> import numpy as np, nnx
    >>> model = nnx.Linear(1, 1, bias=False, initializer=nnx.initializers.Constant(4.0))
    >>> optimizer, average = nnx.SGD(model, learning_rate=1.0), nnx.EMA(model, decay=0.5, warm_up=False)
    >>> for _ in range(2):
    ...     optimizer.step({"weight": np.ones((1, 1), np.float32)})
    ...     average.update()
    >>> with average.applied():
    ...     model.weight
    array([[2.5]], dtype=float32)
    >>> model.weight
    array([[2.]], dtype=float32)
    """

    def __init__(self, model: Module, decay: float = 0.999, *, warm_up: bool = True, buffers: bool = False) -> None:
        super().__init__(model, buffers=buffers)
        self.decay = as_share(decay, "decay")
        self.warm_up = as_flag(warm_up, "warm_up")

    def share(self) -> float:
        """Return one minus the decay of this update."""
        n = self.averaged
        return 1.0 - (min(self.decay, (1 + n) / (10 + n)) if self.warm_up else self.decay)


class SWA(WeightAverage):
    r"""Stochastic weight averaging: the mean of the weights after some steps.

    .. math:: \bar{w} = \frac{1}{k} \sum_{i=1}^{k} w_{t_i}, \quad
        t_i \in \{\text{start}, \text{start} + \text{every}, \ldots\}

    Parameters
    ----------
    model : Module
        The model that is trained.
    start : int
        The number of updates after which the weights are first averaged; usually three quarters of the run. With 0 the
        first are those after ``every`` updates.
    every : int
        The number of updates from one to the next; usually those of an epoch, or of a cycle of the learning rate.
    buffers : bool
        Whether floating-point buffers are averaged too.

    Notes
    -----
    Running statistics of the model do not fit averaged weights exactly. To measure them again, run the training data
    through the model in training mode in the block of :meth:`applied`, and evaluate or save there.

    Source: P. Izmailov et al., "Averaging weights leads to wider optima and better generalization", UAI 2018.

    Examples
    --------
    >>> import numpy as np, nnx
    >>> model = nnx.Linear(1, 1, bias=False, initializer=nnx.initializers.Constant(8.0))
    >>> optimizer, average = nnx.SGD(model, learning_rate=1.0), nnx.SWA(model, start=2, every=2)
    >>> for _ in range(6):
    ...     optimizer.step({"weight": np.ones((1, 1), np.float32)})
    ...     average.update()
    >>> average.parameters(), average.averaged
    ({'weight': array([[4.]], dtype=float32)}, 3)
    """

    def __init__(self, model: Module, start: int = 0, every: int = 1, *, buffers: bool = False) -> None:
        super().__init__(model, buffers=buffers)
        self.start, self.every = as_integer(start, "start", 0), as_integer(every, "every", 1)

    def share(self) -> float | None:
        """Return the share of one in all, or ``None`` before the start and between."""
        past = self.updates - self.start
        return None if past < 0 or past % self.every else 1.0 / (self.averaged + 1)
