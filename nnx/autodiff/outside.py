"""What stays Python when a step is recorded: calls that a record makes again as they are, such as an optimizer's."""

import threading
from typing import Any


class _Active(threading.local):
    recorder: Any = None
    """The record that is being made in this thread, or None; see :mod:`nnx.replay`."""


ACTIVE = _Active()
"""A method that changes more than the arrays it is given asks this first, and hands its call to the record:
``if ACTIVE.recorder is not None: return ACTIVE.recorder.outside(self.step, gradients)``."""
