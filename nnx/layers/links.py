"""Which output a gradient was made for, so that it is not sent back through another call of the model.

A model holds the origins of its last output, a loss that of its prediction, and the gradient that a loss returns is
linked to the latter. So is the gradient of an input that is the output of another model, in a chain of them. All links
are weak, so that they keep no array alive. The results of arithmetic are not linked.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from nnx.backend.links import Links
from nnx.errors import UsageError
from nnx.tree import tree_flatten
from nnx.types import Array, Tree


class Origin:
    """Stands for an array that a gradient may be made for, and may outlive it.

    Attributes
    ----------
    is_recorded : bool
        Whether the array is the output of a model that kept its pullback.
    """

    is_recorded: bool = False


_ORIGINS = Links()  # for outputs and predictions, their Origin
MADE_FOR = Links()
"""For a gradient, the :class:`Origin` of the array that it was made for."""


def origin_of(array: Array) -> Origin | None:
    """Return the one origin of an array, or ``None`` if the array supports no weak references."""
    found: Origin | None = _ORIGINS.setdefault(array, Origin())
    return found


def record_output(output: Tree) -> dict[str, Origin | None]:
    """Mark the arrays of an output as recorded, and return their origins by path for :func:`refuse_foreign`."""
    origins = {}
    for path, leaf in (tree_flatten(output) if isinstance(output, (tuple, list, dict)) else {"": output}).items():
        origins[path] = origin = origin_of(leaf)
        if origin is not None:
            origin.is_recorded = True
    return origins


def link_to_outputs(gradients: Sequence[Array], arrays: Sequence[Array]) -> None:
    """Link the gradients of a call's inputs to those of them that are outputs of a model, as in a chain of models."""
    for gradient, array in zip(gradients, arrays, strict=True):
        origin = _ORIGINS.get(array)
        if origin is not None and origin.is_recorded:
            MADE_FOR.put(gradient, origin)


def refuse_foreign(gradient: Tree, origins: Mapping[str, Any], owner: str) -> None:
    """Raise UsageError if a part of a gradient was made for another array than the one in the last output.

    Parameters
    ----------
    gradient : array or tree
        What was given to ``backward``.
    origins : mapping from path to Origin
        As :func:`record_output` returned them for the last output.
    owner : str
        The name of the model in the error.
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
