"""A lock on a run directory, which a process that is killed does not leave behind."""

import importlib
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from nnx.errors import UsageError

fcntl: Any
try:
    fcntl = importlib.import_module("fcntl")
except ImportError:  # Windows, where two processes are not told from each other
    fcntl = None

LOCK = ".lock"


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Hold the lock of a directory for a block; the system gives it back when the process ends, however it ends.

    Raises
    ------
    UsageError
        If another process holds it.
    """
    if fcntl is None:
        yield
        return
    path = folder / LOCK
    descriptor = _open(path)
    try:
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, str(os.getpid()).encode(), 0)
        yield
    finally:
        with suppress(OSError):
            path.unlink()  # before the lock is given back: nobody may lock a file that is then removed
        os.close(descriptor)


def _open(path: Path) -> int:
    """Return the descriptor of the lock's file, locked."""
    while True:
        descriptor = os.open(path, os.O_CREAT | os.O_RDWR, 0o666)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if os.fstat(descriptor).st_nlink:  # else its last holder has removed it meanwhile
                return descriptor
            os.close(descriptor)
        except BlockingIOError:
            holder = os.pread(descriptor, 20, 0).decode(errors="replace")
            os.close(descriptor)
            raise UsageError(
                f"{path.parent}: another process{f' ({holder})' if holder else ''} is training in this directory; wait "
                "for it, or choose another --out"
            ) from None
        except BaseException:
            os.close(descriptor)
            raise
