"""Sizes that were left open, as in ``Linear(None, 10)``, are settled by the first input."""

from typing import Any

from nnx.autodiff import stop_gradient
from nnx.errors import UsageError
from nnx.layers.location import locate
from nnx.layers.node import RUNNING
from nnx.layers.plan import plan_of


def settle_below(module: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
    """Run a model's ``forward`` once on plain arrays if a size below it is open; each layer settles on its own call.

    Buffers are put back: they count the call that follows.
    """
    if not plan_of(module).unsettled:
        return
    before = [(buffer, buffer.snapshot()) for buffer in module.buffers().values()]
    outer = RUNNING.models
    RUNNING.models = [module, outer, None]
    try:
        module.forward(*stop_gradient(args), **stop_gradient(kwargs))
    except Exception as error:
        error.add_note("while open sizes were settled: a layer with an open size takes it from a call of that layer")
        raise
    finally:
        RUNNING.models = outer
        for buffer, value in before:
            buffer.value = value


def settle_itself(module: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
    """Settle the sizes of one layer that is called, whichever models run: it may be changed for that."""
    if module._is_copy:
        raise UsageError(
            f"the sizes of this {type(module).__name__} are not settled yet; call the model once on data before it "
            "is traced or looked at"
        )
    outer, RUNNING.models = RUNNING.models, None
    try:
        module.settle(*stop_gradient(args), **stop_gradient(kwargs))
    except Exception as error:
        locate(error, module, args)
        raise
    finally:
        RUNNING.models = outer
