"""The update rule of gradient descent, over lists of arrays, for ``Module.update`` and ``SGD``."""

from collections.abc import Mapping, Sequence
from itertools import repeat
from typing import Any

from nnx.backend.blocks import PerParameter, fused_as, spread, wide_zeros
from nnx.types import Array

PLAIN: dict[str, Any] = {"momentum": 0.0, "nesterov": False, "weight_decay": 0.0}
"""The hyperparameters of plain gradient descent, except the learning rate."""


def start_velocity(parameters: Sequence[Array], hyperparameters: Mapping[str, Any]) -> dict[str, list[Array]]:
    """Return the state before the first step: with momentum, a velocity of zeros for each parameter."""
    if not any(PerParameter.of(hyperparameters["momentum"], 1)):
        return {}
    return {"velocity": [wide_zeros(w) for w in parameters]}


@fused_as("descend")
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
    new, kept = [], []
    differs = PerParameter in map(type, hyperparameters.values())  # asked here: a plain step enters no further function
    options = spread(hyperparameters) if differs else repeat(hyperparameters)
    velocities = state.get("velocity", repeat(None))
    for w, direction, velocity, own in zip(parameters, gradients, velocities, options, strict=False):
        momentum, decay = own["momentum"], own["weight_decay"]
        if decay:
            direction = direction + decay * w
        if momentum:
            velocity *= momentum  # in place where the library can, else a new array under the name
            velocity += direction
            direction = direction + momentum * velocity if own["nesterov"] else velocity
        kept.append(velocity)
        w -= own["learning_rate"] * direction
        new.append(w)
    return new, {"velocity": kept} if state else {}
