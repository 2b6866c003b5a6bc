"""What a workload is, and a training step as data."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np

Step = Callable[[], Any]
Makers = Mapping[str, Callable[[], Step]]
Sizes = Mapping[str, Any]


@dataclass(frozen=True)
class Target:
    """What nnx's time should be at most, relative to contestants by name: those of the issue that asked for them.

    ``ours`` is ``"replayed"``, ``"eager"``, or ``"best"`` for the faster of the two.
    """

    ours: str
    relative_to: Mapping[str, float]


@dataclass(frozen=True)
class Workload:
    """One thing to compute.

    Attributes
    ----------
    name : str
        As in the table.
    build : callable
        ``build(**sizes)`` returns a function for each contestant that makes its step; one whose library is not
        installed raises ImportError.
    sizes, quick : mapping
        What is measured, and tiny ones for a smoke run.
    targets : tuple of Target
    tolerance : float
        By how much what is compared may differ, relative to its largest element.
    is_training : bool
        Whether a step changes something, so that the compared values must move.
    """

    name: str
    build: Callable[..., Makers]
    sizes: Sizes
    quick: Sizes
    targets: tuple[Target, ...] = ()
    tolerance: float = 1e-4
    is_training: bool = True


@dataclass(frozen=True)
class Rule:
    """An optimizer by its name, which is the same in nnx and PyTorch, with its numbers."""

    name: str
    rate: float
    options: Mapping[str, float] = field(default_factory=dict)

    @property
    def state_size(self) -> int:
        """Arrays of state for each parameter."""
        return {"SGD": int("momentum" in self.options), "Adam": 2, "AdamW": 2}[self.name]


@dataclass(frozen=True)
class Task:
    """A step of training by cross-entropy, described once.

    Attributes
    ----------
    model : callable
        Returns nnx's model with the initial weights, always the same ones.
    of_torch : callable
        Returns PyTorch's module of the same architecture; its weights are set from nnx's model.
    of_jax : callable
        ``of_jax(weights, buffers, x) -> (logits, buffers)``, plain JAX on dicts from nnx's paths to arrays.
    x, target : NumPy arrays
        The batch; the target has class indices.
    rule : Rule
        The optimizer.
    products : sequence of Product
        The matrix products that no implementation can leave out, for the floor.
    """

    model: Callable[[], Any]
    of_torch: Callable[[], Any]
    of_jax: Callable[..., Any]
    x: np.ndarray
    target: np.ndarray
    rule: Rule
    products: tuple[Any, ...] = ()

    @cached_property
    def weights(self) -> dict[str, np.ndarray]:
        """The initial weights by nnx's paths."""
        return {path: np.array(weight) for path, weight in self.model().parameters().items()}

    @cached_property
    def buffers(self) -> dict[str, np.ndarray]:
        """Running statistics by nnx's paths."""
        state = self.model().state_dict()
        arrays = {path: np.asarray(value) for path, value in state.items() if path not in self.weights}
        return {path: array for path, array in arrays.items() if array.dtype.kind == "f"}
