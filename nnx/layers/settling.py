"""Settle open sizes, as in ``Linear(None, 10)``, from the first input."""

from typing import Any

from nnx.autodiff import stop_gradient
from nnx.errors import UsageError
from nnx.layers.location import locate
from nnx.layers.node import RUNNING
from nnx.layers.plan import plan_of


def settle_below(module: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
    """If a size below a model is open, run its ``forward`` once on plain arrays: each layer settles when it is called.

    Buffers are set back afterwards, since the actual call follows.
    """
    if not plan_of(module).unsettled:
        return
    before = [(buffer, buffer.snapshot()) for buffer in module.buffers().values()]
    outer, outer_buffers = RUNNING.models, RUNNING.buffers
    RUNNING.models, RUNNING.buffers = [module, outer, None], before
    try:
        module.forward(*stop_gradient(args), **stop_gradient(kwargs))
    except Exception as error:
        error.add_note("while open sizes were settled: a layer with an open size takes it from a call of that layer")
        locate(error, module)
        raise
    finally:
        RUNNING.models, RUNNING.buffers = outer, outer_buffers
        for buffer, value in reversed(before):  # one that comes twice ends with its first value
            buffer.value = value
        if outer_buffers is not None:
            outer_buffers += before


def settle_itself(module: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
    """Settle the sizes of a layer that is called, even inside a running model, which may not be changed otherwise."""
    if module._is_copy:
        raise UsageError(
            f"the sizes of this {type(module).__name__} are not settled yet; call the model once on data before it "
            "is traced or looked at"
        )
    outer, RUNNING.models = RUNNING.models, None
    try:
        module.settle(*stop_gradient(args), **stop_gradient(kwargs))
        if RUNNING.buffers is not None:  # those that were just made, such as running statistics
            RUNNING.buffers += [(buffer, buffer.snapshot()) for buffer in module.buffers().values()]
    except Exception as error:
        locate(error, module, args)
        raise
    finally:
        RUNNING.models = outer
