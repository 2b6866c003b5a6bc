"""A lock on a run directory, which a process that is killed does not leave behind."""

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from nnx.errors import UsageError
from nnx.io.locking import HAS_LOCKS, open_locked

LOCK = ".lock"


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Hold the lock of a directory for a block; the system gives it back when the process ends, however it ends.

    Raises
    ------
    UsageError
        If another process holds it.
    """
    if not HAS_LOCKS:
        yield
        return
    path = folder / LOCK
    try:
        descriptor = open_locked(path, os.O_CREAT)
    except BlockingIOError:
        raise UsageError(
            f"{folder}: another process{_holder(path)} is training in this directory; wait for it, or choose another "
            "--out"
        ) from None
    try:
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, str(os.getpid()).encode(), 0)
        yield
    finally:
        with suppress(OSError):
            path.unlink()  # before the lock is given back: nobody may lock a file that is then removed
        os.close(descriptor)


def _holder(path: Path) -> str:
    """Return the number of the process that has written it into a lock, as text behind a word."""
    with suppress(OSError):  # it has just ended
        if number := path.read_text(errors="replace")[:20]:
            return f" ({number})"
    return ""
