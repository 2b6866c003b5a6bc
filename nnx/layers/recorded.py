"""What a module asks when it is called while a step is recorded."""

from typing import Any

from nnx.autodiff.outside import ACTIVE
from nnx.errors import UsageError
from nnx.layers.plan import plan_of


def expect_known(module: Any) -> None:
    """Raise UsageError if a module has state that the record which is being made does not read and write.

    Its weights would be constants of the record, and what it keeps in buffers would be arrays of the record.
    """
    if id(module) in ACTIVE.recorder.known:
        return
    plan = plan_of(module)
    modules = (module, *plan.below)
    if plan.parameters or any(not vars(modules[i])[name].constant for _, i, name in plan.buffers):
        raise UsageError(
            f"{type(module).__name__} is called inside nnx.compile, but the compiled function neither has it as an "
            "argument nor names it, so its weights would stay what they are now; pass it as an argument"
        )
