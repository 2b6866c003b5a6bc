"""PyTorch, eager, with its fused optimizers, in one thread."""

from typing import Any

import numpy as np

import nnx
from benchmarks.workload import Rule, Step, Task


def torch_in_one_thread() -> Any:
    """Import and return PyTorch; raises ImportError where it is not installed."""
    import torch

    torch.set_num_threads(1)
    return torch


def tensor(array: np.ndarray) -> Any:
    """Return a tensor with memory of its own."""
    return torch_in_one_thread().tensor(array)


def optimizer_of(parameters: Any, rule: Rule) -> Any:
    """Return the fused optimizer of some parameters."""
    torch = torch_in_one_thread()
    return getattr(torch.optim, rule.name)(parameters, lr=rule.rate, fused=True, **rule.options)


def module_of(task: Task) -> Any:
    """Return PyTorch's module with the weights of nnx's model."""
    torch_in_one_thread()
    module = task.of_torch()
    state = nnx.io.to_torch_state_dict(task.model())
    module.load_state_dict({name: tensor(np.asarray(value)) for name, value in state.items()})
    return module


def training_step(task: Task) -> Step:
    """Return a step of training. Gradients are freed at its end, as nnx's are, which matters to the peak of memory."""
    torch = torch_in_one_thread()
    module = module_of(task)
    optimizer = optimizer_of(module.parameters(), task.rule)
    x, target = tensor(task.x), tensor(task.target).reshape(-1)

    def step():
        logits = module(x)
        value = torch.nn.functional.cross_entropy(logits.reshape(-1, logits.shape[-1]), target)
        value.backward()
        optimizer.step()
        optimizer.zero_grad()
        return value.detach()

    return step
