"""Put another module in the place of one that a model has."""

from typing import Any, TypeVar

from nnx.errors import ArgumentError
from nnx.layers.collecting import expect_module
from nnx.layers.module import Module
from nnx.layers.node import Node
from nnx.layers.plan import plan_of

M = TypeVar("M", bound=Module)


def replace(model: M, path: str, module: Module) -> M:
    """Put a module in the place of the one at a path, in place.

    One that stands in several places is replaced in all of them. The new module is set to the mode, training or
    evaluation, of the old one.

    Parameters
    ----------
    model : Module
    path : str
        The dotted path of a module, as in :meth:`nnx.Module.named_modules`.
    module : Module
        It may contain the one that it replaces.

    Returns
    -------
    Module
        The model.

    Raises
    ------
    ArgumentError
        If the model has no module at this path, or the new one is none.

    Examples
    --------
    >>> import nnx
    >>> model = nnx.Model([nnx.Linear(8, 4, rng=0), nnx.Model([nnx.ReLU(), nnx.Linear(4, 10, rng=1)])])
    >>> nnx.replace(model, "1.1", nnx.Linear(4, 3, rng=2))[1][1]
    Linear(in_features=4, out_features=3)
    """
    model._refuse_change("replace")
    expect_module(module, path)
    plan = plan_of(model)
    if path not in plan.module_paths[1:]:
        known = ", ".join(plan.module_paths[1:])
        raise ArgumentError(f"expected the path of a module in the model, got {path!r}; there are: {known}")
    old = plan.below[plan.module_paths.index(path) - 1]
    module.train(old.training)
    for holder in (model, *plan.below):
        for name in holder._child_names:
            value = vars(holder)[name]
            changed = _with(module, old, value)
            if changed is not value:
                setattr(holder, name, changed)
    return model


def _with(module: Any, old: Any, value: Any) -> Any:
    """Return the value of an attribute with a module replaced; in lists and dicts, in place."""
    if value is old:
        return module
    if isinstance(value, Node):
        return value
    if isinstance(value, (list, dict)):
        for key, item in [*value.items()] if isinstance(value, dict) else [*enumerate(value)]:
            changed = _with(module, old, item)
            if changed is not item:
                value[key] = changed
        return value
    if isinstance(value, tuple):
        items = [_with(module, old, item) for item in value]
        if any(a is not b for a, b in zip(items, value, strict=True)):
            return type(value)(*items) if hasattr(value, "_fields") else type(value)(items)
    return value
