"""Freeze parameters: they are saved and moved, and neither differentiated nor updated."""

from typing import TypeVar

from nnx.errors import ArgumentError
from nnx.layers.module import Module
from nnx.layers.patterns import as_patterns, chosen
from nnx.layers.plan import freeze_slots, usable_plan

M = TypeVar("M", bound=Module)


def freeze(model: M, *patterns: str) -> M:
    """Take parameters out of training, in place.

    A frozen parameter has no gradient, and nothing is computed or kept for one; optimizers do not update it, and have
    no state for it. It is still among ``parameters()``, is saved, loaded and moved. Transforms take it for a constant.

    Parameters
    ----------
    model : Module
    *patterns : str
        Paths of parameters, or of modules for all below them, with ``*`` for any text: ``"encoder"``,
        ``"blocks.?.attention.*"``, ``"*bias"``. Without one, all parameters of the model.

    Returns
    -------
    Module
        The model.

    Raises
    ------
    ArgumentError
        If a pattern matches no parameter.
    UsageError
        If the model has open sizes: call it once on data before.

    Notes
    -----
    ``repr``, ``summary`` and ``config`` of the model show what is frozen, and :func:`nnx.from_config` restores it; a
    ``state_dict`` holds values alone. Buffers are not frozen: the running statistics of a layer stand still after
    ``layer.eval()``. An optimizer with a state is made after freezing, and again after a change.

    Examples
    --------
    >>> import numpy as np, nnx
    >>> model = nnx.Model([nnx.Linear(3, 4, rng=0), nnx.ReLU(), nnx.Linear(4, 2, rng=1)])
    >>> list(nnx.freeze(model, "0").trainable_parameters())
    ['2.weight', '2.bias']
    >>> x = np.ones((5, 3), np.float32)
    >>> list(nnx.grad(lambda model: nnx.functional.mse(model(x), x[:, :2]))(model))
    ['2.weight', '2.bias']
    """
    return _set_frozen(model, patterns, "freeze")


def unfreeze(model: M, *patterns: str) -> M:
    """Take frozen parameters back into training, in place; the arguments are those of :func:`nnx.freeze`.

    Examples
    --------
    >>> import nnx
    >>> layer = nnx.freeze(nnx.Linear(3, 2))
    >>> list(nnx.unfreeze(layer, "bias").trainable_parameters())
    ['bias']
    """
    return _set_frozen(model, patterns, "unfreeze")


def _set_frozen(model: M, patterns: tuple[str, ...], what: str) -> M:
    if not isinstance(model, Module):
        raise ArgumentError(f"expected a model, got {type(model).__name__}; write nnx.{what}(model, 'encoder')")
    model._refuse_change(what)
    plan = usable_plan(model)
    wanted = chosen(plan.all_paths, as_patterns(patterns, what), what) if patterns else plan.all_paths
    freeze_slots(model, wanted, what == "freeze")
    return model
