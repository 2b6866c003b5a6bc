"""Training and evaluation mode of many modules at once, put back afterwards."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

from nnx.layers import Module


@contextmanager
def modes_restored(*roots: Any) -> Iterator[None]:
    """Restore the mode of each module at the end of the block: a frozen one may differ from the model."""
    modes = [(module, module.training) for module in _modules(roots)]
    try:
        yield
    finally:
        for module, mode in modes:
            module.training = mode


@contextmanager
def evaluating(*roots: Any) -> Iterator[None]:
    """Put modules into evaluation mode for a block, without dropping what was recorded for a backward pass."""
    with modes_restored(*roots):
        for module in _modules(roots):
            module.training = False
        yield


def _modules(roots: Iterable[Any]) -> Iterator[Module]:
    return (module for root in roots if isinstance(root, Module) for _, module in root.named_modules())
