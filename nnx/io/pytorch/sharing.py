"""What a model of PyTorch has beside its modules: parameters in two places, and hooks."""

from __future__ import annotations

from collections.abc import Container
from typing import Any

from nnx.errors import ArgumentError
from nnx.io.pytorch.layouts import Source, entries
from nnx.layers import Module, Tied

_HOOKS = ("_forward_pre_hooks", "_forward_hooks", "_backward_pre_hooks", "_backward_hooks")


def refuse_hooks(module: Any, also: Container[type]) -> None:
    """Raise ArgumentError if a module is computed by more than its class: by hooks, or a ``forward`` of its own.

    Modules of the classes in ``also`` may have them, since the user converts these.
    """
    for path, inner in module.named_modules():
        if any(kind in also for kind in type(inner).__mro__):
            continue
        found = [name for name in _HOOKS if getattr(inner, name, None)] + ["forward"] * ("forward" in vars(inner))
        if found:
            raise ArgumentError(
                f"expected modules without hooks, which nnx would not run, got {', '.join(found)} of "
                f"{type(inner).__name__} {path!r}; remove them, or use torch.nn.utils.parametrizations"
            )


def tie(module: Any, made: Module) -> None:
    """Tie the values of a model that are one parameter in PyTorch, to the first of them.

    Raises
    ------
    ArgumentError
        If nnx stores one of them as more arrays than the other.
    """
    sources = {entry.name: entry.sources for entry in entries(made)}
    first: dict[int, tuple[str, tuple[Source, ...]]] = {}
    modules = {"": made, **dict(made.named_modules())}
    for name, parameter in module.named_parameters(remove_duplicate=False):
        if name not in sources:
            continue
        owner, theirs = first.setdefault(id(parameter), (name, sources[name]))
        if theirs == sources[name]:  # a module in two places
            continue
        if [source.ones for source in theirs] != [source.ones for source in sources[name]]:
            raise ArgumentError(
                f"expected {name} not to share the parameter of {owner}, which is stored in another way"
            )
        for source, other in zip(sources[name], theirs, strict=True):
            (path, _, attribute), (owner_path, _, shared) = source.path.rpartition("."), other.path.rpartition(".")
            transpose = source.transposed != other.transposed
            setattr(modules[path], attribute, Tied(modules[owner_path], shared, transpose=transpose))
