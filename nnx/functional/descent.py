"""The update rule of gradient descent, over lists of arrays, for ``Module.update`` and ``SGD``."""

from collections.abc import Mapping, Sequence
from typing import Any

from nnx.backend import namespace
from nnx.types import Array

PLAIN: dict[str, Any] = {"momentum": 0.0, "nesterov": False, "weight_decay": 0.0}
"""The hyperparameters of plain gradient descent, except the learning rate."""


def start_velocity(parameters: Sequence[Array], hyperparameters: Mapping[str, Any]) -> dict[str, list[Array]]:
    """Return the state before the first step: with momentum, a velocity of zeros for each parameter."""
    if not hyperparameters["momentum"]:
        return {}
    return {"velocity": [namespace(w).zeros_like(w) for w in parameters]}


def descend(
    gradients: Sequence[Array],
    state: Mapping[str, Sequence[Array]],
    parameters: Sequence[Array],
    step: int,
    hyperparameters: Mapping[str, Any],
) -> tuple[list[Array], dict[str, list[Array]]]:
    r"""Take one step of gradient descent with momentum.

    With learning rate :math:`\gamma`, weight decay :math:`\lambda` and momentum :math:`m`

    .. math::
        g \leftarrow g + \lambda w, \quad v \leftarrow m v + g, \quad w \leftarrow w - \gamma v

    or, with Nesterov's momentum, :math:`w \leftarrow w - \gamma (g + m v)`.

    Parameters
    ----------
    gradients : sequence of arrays
        Not changed.
    state : mapping
        As :func:`start_velocity` returns it; may be overwritten.
    parameters : sequence of arrays
        May be overwritten.
    step : int
        The number of steps before this one.
    hyperparameters : mapping
        ``learning_rate`` and those of ``PLAIN``.

    Returns
    -------
    parameters : list of arrays
    state : dict
    """
    rate = hyperparameters["learning_rate"]
    momentum, decay = hyperparameters["momentum"], hyperparameters["weight_decay"]
    new, velocities = [], []
    for i, w in enumerate(parameters):
        direction = gradients[i]
        if decay:
            direction = direction + decay * w
        if momentum:
            velocity = state["velocity"][i]
            velocity *= momentum  # in place where the library can, else a new array under the name
            velocity += direction
            velocities.append(velocity)
            direction = direction + momentum * velocity if hyperparameters["nesterov"] else velocity
        w -= rate * direction
        new.append(w)
    return new, {"velocity": velocities} if momentum else {}
