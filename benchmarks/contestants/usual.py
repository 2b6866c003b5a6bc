"""Those that run each task of training: nnx, PyTorch, JAX and the floor."""

from functools import partial

from benchmarks.contestants import floor, of_jax, of_nnx, of_torch
from benchmarks.workload import Makers, Task


def training(task: Task) -> Makers:
    """Return a maker of the step of each."""
    return {
        **of_nnx.training(task),
        "torch": partial(of_torch.training_step, task),
        "jax": partial(of_jax.training_step, task),
        "floor": partial(floor.training_floor, task),
    }
