"""Locks on files, which the system gives back when a process ends, however it ends."""

import importlib
import os
from contextlib import nullcontext, suppress
from pathlib import Path
from typing import Any

fcntl: Any = importlib.import_module("fcntl") if os.name == "posix" else None
HAS_LOCKS = fcntl is not None
"""Whether processes can be told from each other by what they hold; on Windows they cannot."""


def open_locked(path: Path, flags: int) -> int:
    """Open a file, lock it (``flock``), and return its descriptor; closing that gives the lock back.

    Parameters
    ----------
    path : pathlib.Path
    flags : int
        Those of ``os.open``; the file is opened to read and write. With ``os.O_EXCL`` it is a new one, which others
        hold for a moment at most: that is waited for, and a file system without locks is no error.

    Returns
    -------
    descriptor : int
        Without a lock on Windows.

    Raises
    ------
    BlockingIOError
        If another process holds the lock.
    OSError
        If the file cannot be opened, or not locked.
    """
    is_new = bool(flags & os.O_EXCL)
    while True:
        descriptor = os.open(path, flags | os.O_RDWR, 0o666)
        try:
            if not HAS_LOCKS:
                return descriptor
            with suppress(OSError) if is_new else nullcontext():
                fcntl.flock(descriptor, fcntl.LOCK_EX | (0 if is_new else fcntl.LOCK_NB))
            if _is_file_of(path, descriptor):  # else somebody removed it before it was locked
                return descriptor
        except BaseException:
            os.close(descriptor)
            raise
        os.close(descriptor)


def _is_file_of(path: Path, descriptor: int) -> bool:
    try:
        return os.path.samestat(os.stat(path), os.fstat(descriptor))
    except FileNotFoundError:
        return False
