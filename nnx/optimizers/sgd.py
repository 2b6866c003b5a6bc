"""Stochastic gradient descent."""

from collections.abc import Mapping, Sequence
from typing import Any

from nnx.errors import ArgumentError
from nnx.functional.descent import descend, start_velocity
from nnx.layers import Module
from nnx.optimizers.hyperparameters import Rate
from nnx.optimizers.optimizer import Optimizer


class SGD(Optimizer):
    r"""Stochastic gradient descent, optionally with momentum.

    .. math::
        g \leftarrow \nabla_w + \lambda w, \quad v \leftarrow m v + g, \quad w \leftarrow w - \gamma v

    With Nesterov's momentum the last step is :math:`w \leftarrow w - \gamma (g + m v)`. The velocity :math:`v` starts
    at zero.

    Parameters
    ----------
    model : Module
        The model to update.
    learning_rate : float or schedule
        The step size :math:`\gamma`; it may be changed between steps.
    momentum : float
        :math:`m`. With 0, the default, there is no state.
    nesterov : bool
        Whether to use Nesterov's momentum.
    weight_decay : float
        :math:`\lambda`, the factor of the L2 penalty, whose gradient is added.
    groups : sequence of dicts
        Hyperparameters of some parameters, as in :class:`nnx.optimizers.Optimizer`.

    Raises
    ------
    ArgumentError
        If a number is negative or not finite, ``nesterov`` is true without momentum, or ``model`` is not a module.

    Notes
    -----
    As in PyTorch, the learning rate multiplies the velocity and is not part of it. Source of Nesterov's form:
    I. Sutskever et al., "On the importance of initialization and momentum in deep learning", ICML 2013.

    Examples
    --------
    >>> import numpy as np, nnx
    >>> model = nnx.Linear(1, 1, bias=False, initializer=nnx.initializers.Constant(3.0))
    >>> optimizer = nnx.SGD(model, learning_rate=0.5, momentum=0.9)
    >>> optimizer.step({"weight": np.ones((1, 1), np.float32)})
    >>> model.weight
    array([[2.5]], dtype=float32)
    >>> optimizer.state_dict()
    {'step': 1, 'velocity.weight': array([[1.]], dtype=float32)}
    """

    flushed = frozenset({"velocity"})
    init = staticmethod(start_velocity)
    rule = staticmethod(descend)

    def __init__(
        self,
        model: Module,
        learning_rate: Rate,
        *,
        momentum: float = 0.0,
        nesterov: bool = False,
        weight_decay: float = 0.0,
        groups: Sequence[Mapping[str, Any]] = (),
    ) -> None:
        if nesterov and not momentum:
            raise ArgumentError("nesterov needs a momentum > 0, such as momentum=0.9")
        super().__init__(
            model, learning_rate, groups=groups, momentum=momentum, nesterov=nesterov, weight_decay=weight_decay
        )
