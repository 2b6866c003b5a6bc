"""A module of nnx for a module of PyTorch."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from nnx.errors import ArgumentError
from nnx.io.pytorch.layouts import entries, joined
from nnx.io.pytorch.pair import Convert
from nnx.io.pytorch.parametrized import parametrized
from nnx.io.pytorch.sharing import refuse_hooks, tie
from nnx.io.pytorch.state import load_torch_state_dict
from nnx.io.pytorch.tables import PAIRS
from nnx.layers import Module, freeze


def from_torch(module: Any, also: Mapping[type, Callable[[Any, Convert], Module]] | None = None) -> Module:
    """Return the module of nnx that computes what a module of ``torch.nn`` computes, with copies of its values.

    It takes the arguments of PyTorch's module and returns what that returns, in the same order of axes. It is made on
    the selected backend (:func:`nnx.use_backend`), with the dtypes of the original, and in its mode, training or
    evaluation. Modules that PyTorch shares are shared, parameters that it shares are tied, and those that it does not
    train are frozen.

    Parameters
    ----------
    module : torch.nn.Module
        A layer, loss or container of ``torch.nn``, at any depth. The tables in the documentation list them.
    also : mapping from class to function, optional
        How to convert other classes, such as your own, whose ``forward`` nnx cannot see: a function of such a module
        and of ``convert``, which converts the modules in it. If its values have other names, load them yourself.

    Returns
    -------
    Module

    Raises
    ------
    ArgumentError
        If nnx has no such module, or not with these options, or a module has hooks, which nnx would not run.

    Notes
    -----
    For a model of your own it is often simpler to write it in nnx, with the same names of attributes, and to load its
    weights with :func:`load_torch_state_dict`.

    Examples
    --------
    >>> import nnx, torch  # doctest: +SKIP
    >>> nnx.io.from_torch(torch.nn.Sequential(torch.nn.Linear(2, 3), torch.nn.ReLU()))  # doctest: +SKIP
    Sequential(
      (0): Linear(in_features=2, out_features=3)
      (1): ReLU()
    )
    """
    converter = _Converter(also or {})
    made = converter.convert(module)
    converter.set_modes()
    refuse_hooks(module, also or {})
    load_torch_state_dict(made, converter.without_constants(module))
    tie(module, made)
    frozen = {name for name, parameter in module.named_parameters() if not parameter.requires_grad}
    paths = [source.path for entry in entries(made) if entry.name in frozen for source in entry.sources]
    return freeze(made, *paths) if paths else made


class _Converter:
    """Converts each module once, and remembers the path for errors."""

    def __init__(self, also: Mapping[type, Callable[[Any, Convert], Module]]) -> None:
        self._also = also
        self._made: dict[int, tuple[Any, Module]] = {}  # with the original, so that its id is not used again

    def convert(self, module: Any) -> Module:
        if id(module) not in self._made:
            self._made[id(module)] = (module, self._built(module))
        return self._made[id(module)][1]

    def set_modes(self) -> None:
        """Set training or evaluation mode, of what is inside another module after that."""
        for module, made in reversed(self._made.values()):
            made.train(bool(module.training))

    def without_constants(self, module: Any) -> dict[str, Any]:
        """Return the state of a module without what is no part of the state in nnx, such as class weights."""
        state = dict(module.state_dict())
        for path, inner in module.named_modules(remove_duplicate=False):
            if id(inner) in self._made and (pair := PAIRS.get(type(inner).__name__)):
                for name in pair.constants:
                    state.pop(joined(path, name), None)
        return state

    def _built(self, module: Any) -> Module:
        kind = type(module)
        for base in kind.__mro__:
            if base in self._also:
                return self._also[base](module, self.convert)
        if hasattr(module, "parametrizations"):
            return parametrized(module, self.convert, PAIRS)
        name = kind.__name__
        if not kind.__module__.startswith("torch.nn.") or name not in PAIRS:
            raise ArgumentError(
                f"expected a module of torch.nn that nnx has too, got {kind.__module__}.{name}; pass a function that "
                f"converts it, from_torch(module, also={{{name}: function}}), or write it in nnx and load its weights "
                "with load_torch_state_dict"
            )
        return PAIRS[name].build(module, self.convert)
