"""Say where in a model a value stopped being finite."""

from collections.abc import Mapping
from typing import Any, NoReturn

from nnx.backend import is_finite
from nnx.errors import DataError, NonFiniteError
from nnx.layers import Module, layer_outputs
from nnx.training.step import parts_of
from nnx.tree import tree_flatten
from nnx.types import Tree

_ADVICE = "use a smaller learning rate, or check the data"


def raise_not_finite(model: Module, loss: Any, batch: Tree, value: float, where: str) -> NoReturn:
    """Raise NonFiniteError with what went wrong first: the input, a layer, the loss or the target.

    The model must be in the state that it had before the batch.
    """
    what = f"the loss became {value} in {where}"
    try:
        args, kwargs, target, weight = parts_of(batch)
    except DataError:  # a batch that only an objective of the user's own understands
        raise NonFiniteError(f"{what}; {_ADVICE}") from None
    _blame(model, args, kwargs, what)
    name = getattr(loss, "__name__", type(loss).__name__)
    wrong = [which for which, part in (("target", target), ("sample_weight", weight)) if not_finite(part) is not None]
    cause, advice = f"{name} overflowed", _ADVICE
    if wrong:
        cause, advice = f"the {wrong[0]} holds NaN or infinity", "check the data"
    raise NonFiniteError(f"{what}, though the output of every layer is finite: {cause}; {advice}")


def raise_not_finite_gradient(path: str | None, value: float, where: str) -> NoReturn:
    """Raise NonFiniteError for a gradient, by the path of its parameter if that is known."""
    what = "a gradient" if path is None else f"the gradient of {path!r}"
    raise NonFiniteError(
        f"{what} became NaN or infinite in {where}, though the loss was {value:g}: some derivative is infinite there, "
        'such as that of a root at 0; keep away from such points, or skip the batch with not_finite="skip"'
    )


def expect_finite_outputs(
    model: Module, args: tuple[Any, ...], kwargs: Mapping[str, Any], outputs: Tree, where: str
) -> None:
    """Raise NonFiniteError if an output is NaN or infinite, with what went wrong first."""
    if not_finite(outputs) is not None:
        what = f"the output became NaN or infinite in {where}"
        _blame(model, args, kwargs, what, "check the data and the weights")
        raise NonFiniteError(f"{what}; check the data and the weights")


def not_finite(tree: Tree) -> str | None:
    """Return the path of the first array that holds NaN or infinity."""
    return next((path for path, leaf in tree_flatten(tree).items() if not is_finite(leaf)), None)


def _blame(model: Module, args: tuple[Any, ...], kwargs: Mapping[str, Any], what: str, advice: str = _ADVICE) -> None:
    """Raise NonFiniteError if the input or the output of a layer is not finite."""
    if (wrong := not_finite((args, kwargs))) is not None:
        which = "" if len(tree_flatten((args, kwargs))) == 1 else f" at {wrong.partition('.')[2]!r}"
        raise NonFiniteError(f"{what}: the input{which} holds NaN or infinity; check the data")
    for path, layer, output in layer_outputs(model, *args, **kwargs):
        if not_finite(output) is not None:
            cause = not_finite(layer.parameters())
            error = NonFiniteError(
                f"{what}, and the output of this layer was the first not finite"
                + ("" if cause is None else f": its parameter {cause!r} was not finite before that batch")
                + f"; {advice}"
            )
            error.layer, error.module_path = type(layer).__name__, tuple(path.split(".")) if path else ()
            raise error
