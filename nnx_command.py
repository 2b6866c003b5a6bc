"""The entry point of the command ``nnx``, outside of the package: Ctrl-C while that is imported leaves no traceback."""

import os
import signal
from typing import Any


def main() -> None:
    """Import nnx and run the command."""
    takes_ctrl_c = signal.getsignal(signal.SIGINT) is signal.default_int_handler  # a job in the background ignores it
    if takes_ctrl_c:
        signal.signal(signal.SIGINT, _leave)
    from nnx.cli.__main__ import main as run

    try:
        if takes_ctrl_c:
            signal.signal(signal.SIGINT, signal.default_int_handler)
        run()
    except KeyboardInterrupt:  # before the command has begun to look for it
        _leave(signal.SIGINT, None)


def _leave(number: int, frame: Any) -> None:
    os.write(2, b"nnx: interrupted\n")
    os._exit(130)
