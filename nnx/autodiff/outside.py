"""What stays Python when a step is recorded: calls that a record makes again as they are, such as an optimizer's."""

import threading
from typing import Any

from nnx.errors import UsageError


class _Active(threading.local):
    recorder: Any = None
    """The record that is being made in this thread, or None; see :mod:`nnx.replay`."""


ACTIVE = _Active()
"""A method that changes more than the arrays it is given asks this first, and hands its call to the record:
``if ACTIVE.recorder is not None: return ACTIVE.recorder.outside(self.step, gradients)``."""


def refuse_recording(owner: Any, method: str) -> None:
    """Raise UsageError if a step is being recorded: what such a method adds up would be arrays of the record."""
    if ACTIVE.recorder is not None:
        name = type(owner).__name__
        raise UsageError(
            f"{name}.{method} cannot be part of a step that nnx.compile records, which would not keep what {name} adds "
            "up; call it after the compiled step"
        )
