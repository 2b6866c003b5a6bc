"""Change the gradients before the update: clip them, add noise."""

from collections.abc import Mapping

from nnx.errors import ArgumentError
from nnx.functional.checks import as_integer, as_positive
from nnx.optimizers import add_noise, clip_by_global_norm, clip_by_value
from nnx.optimizers.hyperparameters import Rate, as_rate, rate_at
from nnx.training import Callback, Trainer
from nnx.types import Array


class ClipGradients(Callback):
    """Clips the gradients by value, by their global norm, or by the value first and then the norm.

    Parameters
    ----------
    norm : float, optional
        The limit of :func:`nnx.clip_by_global_norm`.
    value : float, optional
        The limit of :func:`nnx.clip_by_value`.

    Raises
    ------
    ArgumentError
        If there is no limit, or one is not a finite number > 0.

    Examples
    --------
    >>> import numpy as np, nnx
    >>> model = nnx.Linear(1, 1, bias=False, initializer=nnx.initializers.Constant(100.0))
    >>> clip = nnx.callbacks.ClipGradients(norm=1.0)
    >>> trainer = nnx.Trainer(model, nnx.MSE(), nnx.SGD(model, learning_rate=1.0), callbacks=[clip])
    >>> x = np.ones((1, 1), np.float32)
    >>> _ = trainer.fit((x, x), epochs=1)
    >>> model.weight
    array([[99.]], dtype=float32)
    """

    def __init__(self, *, norm: float | None = None, value: float | None = None) -> None:
        if norm is None and value is None:
            raise ArgumentError("expected a limit, norm=1.0 or value=1.0, got none")
        self.norm = None if norm is None else as_positive(norm, "norm")
        self.value = None if value is None else as_positive(value, "value")

    def on_gradients(self, trainer: Trainer, gradients: Mapping[str, Array]) -> Mapping[str, Array]:
        """Return clipped gradients."""
        if self.value is not None:
            gradients = clip_by_value(gradients, self.value)
        if self.norm is not None:
            gradients = clip_by_global_norm(gradients, self.norm)
        return gradients


class GradientNoise(Callback):
    """Adds normal noise to the gradients, a function of the seed and of the number of the step.

    Parameters
    ----------
    std : float or schedule
        The standard deviation, or a function of the step, such as one of :mod:`nnx.schedules`.
    seed : int
        Zero or more.

    Raises
    ------
    ArgumentError
        If the standard deviation is not a finite number >= 0, or the seed not an integer >= 0.

    Notes
    -----
    As :func:`nnx.add_noise`, where the source is.

    Examples
    --------
    >>> import nnx
    >>> noise = nnx.callbacks.GradientNoise(lambda step: (0.01 / (1 + step) ** 0.55) ** 0.5)
    """

    def __init__(self, std: Rate, seed: int = 0) -> None:
        self.std = as_rate(std, "std")
        self.seed = as_integer(seed, "seed", 0)

    def on_gradients(self, trainer: Trainer, gradients: Mapping[str, Array]) -> Mapping[str, Array]:
        """Return gradients with noise."""
        return add_noise(gradients, rate_at(self.std, trainer.step, "std"), seed=self.seed, step=trainer.step)
