"""Stochastic gradient descent."""

from collections.abc import Mapping

from nnx.functional.checks import as_learning_rate
from nnx.layers import Module
from nnx.types import Array


class SGD:
    r"""Stochastic gradient descent: :math:`w \leftarrow w - \gamma \nabla_w`.

    Parameters
    ----------
    model : Module
        Whose parameters are updated.
    learning_rate : float
        The step size :math:`\gamma`.

    Raises
    ------
    ArgumentError
        If the learning rate is not a finite number >= 0, or on a step if gradients are missing.

    Examples
    --------
    >>> import numpy as np, nnx
    >>> model = nnx.Linear(1, 1, bias=False, initializer=nnx.initializers.Constant(3.0))
    >>> optimizer = nnx.SGD(model, learning_rate=0.5)
    >>> optimizer.step({"weight": np.ones((1, 1), np.float32)})
    >>> model.weight
    array([[2.5]], dtype=float32)
    """

    def __init__(self, model: Module, learning_rate: float) -> None:
        self.model = model
        self.learning_rate = learning_rate

    @property
    def learning_rate(self) -> float:
        """The step size; it may be changed between steps."""
        return self._learning_rate

    @learning_rate.setter
    def learning_rate(self, value: float) -> None:
        self._learning_rate = as_learning_rate(value)

    def step(self, gradients: Mapping[str, Array]) -> None:
        """Take one step.

        Parameters
        ----------
        gradients : mapping from dotted path to array
            One for each parameter, as :func:`nnx.value_and_grad` returns.
        """
        rate = self.learning_rate
        self.model.update_parameters(lambda weight, gradient: weight - rate * gradient, gradients)
