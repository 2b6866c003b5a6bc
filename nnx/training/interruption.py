"""Ctrl-C and SIGTERM while a batch is trained or something is saved: that is finished first, so that it is whole."""

import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


class Interruption:
    """Remembers that a signal came; :meth:`check` raises what Python would have raised at once."""

    def __init__(self, *, shielded: bool = False) -> None:
        self.received: int | None = None
        self.shielded = shielded  # whether the state is being saved: then it takes a third signal to end at once
        self._count = 0

    def __call__(self, number: int, frame: Any) -> None:
        """Take a signal. A second one does not wait for the end of the batch."""
        self._count += 1
        if self.received is not None and (not self.shielded or self._count > 2):
            self._raise()
        self.received = number

    def check(self) -> None:
        """Raise KeyboardInterrupt or SystemExit if a signal came."""
        if self.received is not None:
            self._raise()

    def _raise(self) -> None:
        if self.received == signal.SIGTERM:
            sys.exit(128 + signal.SIGTERM)
        raise KeyboardInterrupt


@contextmanager
def deferred(*, shielded: bool = False) -> Iterator[Interruption]:
    """Defer Ctrl-C and SIGTERM in the block until the next :meth:`Interruption.check`.

    The second signal does not wait; in a shielded block, which saves something, only the third one does not.
    Handlers of the user's own are left alone, and so are all in other threads than the main one, which cannot have any.
    """
    interruption, previous = Interruption(shielded=shielded), {}
    if threading.current_thread() is threading.main_thread():
        for number in (signal.SIGINT, signal.SIGTERM):
            handler = signal.getsignal(number)
            if handler in (signal.SIG_DFL, signal.default_int_handler):
                previous[number] = handler
                signal.signal(number, interruption)
    try:
        yield interruption
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
