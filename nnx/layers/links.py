"""Which output a gradient was made for, so that it is not carried back through another call of a model.

A model holds the origins of its last output, a loss that of its prediction, and a gradient that a loss made is linked
to the latter. All of it is weak: no array lives longer for it. What went through arithmetic is not linked.
"""

from collections.abc import Mapping
from typing import Any

from nnx.backend.links import Links
from nnx.errors import UsageError
from nnx.tree import tree_flatten
from nnx.types import Array, Tree


class Origin:
    """Stands for an array that a gradient may be made for, and outlives it.

    Attributes
    ----------
    is_recorded : bool
        The array is an output of a model that can go backward from it.
    """

    is_recorded: bool = False


_ORIGINS = Links()  # of outputs and predictions: their own Origin
MADE_FOR = Links()
"""Of a gradient: the :class:`Origin` of the array that it was made for."""


def origin_of(array: Array) -> Origin | None:
    """Return what stands for an array: one for each; ``None`` if the array takes no weak reference."""
    found: Origin | None = _ORIGINS.setdefault(array, Origin())
    return found


def record_output(output: Tree) -> dict[str, Origin | None]:
    """Return the origins of an output's arrays by path, marked as recorded: what :func:`refuse_foreign` takes."""
    origins = {}
    for path, leaf in (tree_flatten(output) if isinstance(output, (tuple, list, dict)) else {"": output}).items():
        origins[path] = origin = origin_of(leaf)
        if origin is not None:
            origin.is_recorded = True
    return origins


def refuse_foreign(gradient: Tree, origins: Mapping[str, Any], owner: str) -> None:
    """Raise UsageError if a part of a gradient was made for another array than that of the last output.

    Parameters
    ----------
    gradient : array or tree
        What was given to ``backward``.
    origins : mapping from path to Origin
        As :func:`record_output` returned them for the last output.
    owner : str
        What the error calls the model.
    """
    given = tree_flatten(gradient) if isinstance(gradient, (tuple, list, dict)) else {"": gradient}
    for path, part in given.items():
        made_for, own = MADE_FOR.get(part), origins.get(path)
        if made_for is not None and own is not None and made_for is not own:
            where = f" at {path!r}" if path else ""
            raise UsageError(
                f"the gradient{where} was made for another array than the last output of this {owner}, which was "
                "perhaps called again since; go backward before the next call, evaluate after model.eval(), and hand "
                "the loss the output itself"
            )
