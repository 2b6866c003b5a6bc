"""Replace a file atomically, so that an interruption leaves either the old one or the new one."""

import errno
import os
import re
import secrets
import stat
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from nnx.errors import ArgumentError
from nnx.io.locking import HAS_LOCKS, open_locked

_TEMPORARY = re.compile(r"\..+\.[0-9a-f]{8}\.nnx-tmp")
_DAY = 24 * 60 * 60.0
_ADVICE = {
    **dict.fromkeys((errno.ENOSPC, errno.EDQUOT, errno.EFBIG), "free some space, or choose another folder"),
    **dict.fromkeys((errno.EACCES, errno.EPERM, errno.EROFS), "choose a folder that you may write to"),
    errno.ENOENT: "create the folder first",
    errno.ENOTDIR: "choose a path whose folders are folders",
    errno.ENAMETOOLONG: "choose a shorter name",
}


@contextmanager
def replacing(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Yield a temporary path in the same folder; at the end of the block that file replaces ``path``.

    If the block is left by an exception, including ``Ctrl-C``, the temporary file is removed and ``path`` stays as it
    was. If the process is killed, the temporary file stays until the next call for a file of that folder, which removes
    those that no living process holds.

    Parameters
    ----------
    path : str or path
        A file, or a link to one; it need not exist.

    Yields
    ------
    pathlib.Path
        Where to write. The file exists already, and is empty.

    Raises
    ------
    ArgumentError
        If there is something else than a file, such as a folder or a device.
    OSError
        If the file cannot be written or replaced, with advice in its text.

    Notes
    -----
    The file and then the folder are synced, so that after a power failure there is either the old file or the new one,
    as far as the disk keeps what it has confirmed. A temporary file is locked (``flock``) while it is written, which
    tells the living from the dead across containers too, where process numbers would not. Windows has no such lock:
    there a temporary file counts as left over after a day.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     with replacing(f"{folder}/notes.txt") as temporary:
    ...         _ = temporary.write_text("whole")
    ...     Path(folder, "notes.txt").read_text()
    'whole'
    """
    path = Path(os.path.realpath(path))
    # Not tempfile, whose files only their owner may read: the permissions would stay with the result.
    temporary = path.parent / f".{path.name[:40]}.{secrets.token_hex(4)}.nnx-tmp"
    try:
        with advising(path, temporary):
            if path.exists() and not path.is_file():
                raise ArgumentError(f"{path}: expected the path of a file, got {kind_of(path.stat().st_mode)}")
            remove_leftovers(path.parent)
            with _locked(temporary):
                yield temporary
                with open(temporary, "rb+") as file:
                    os.fsync(file.fileno())  # otherwise a power failure could leave the new name without the content
                os.replace(temporary, path)
            sync_folder(path.parent)
    finally:
        with suppress(OSError):  # such as a folder that has gone, whose error is under way
            temporary.unlink(missing_ok=True)


@contextmanager
def advising(path: Path, *others: Path, advice: str | None = None) -> Iterator[None]:
    """Add advice to an error of the system about a path, or about no path, such as that of a full disk.

    Parameters
    ----------
    path : pathlib.Path
        What the error is to name.
    *others : pathlib.Path
        What it may be about instead.
    advice : str, optional
        For every error in the block; by default it depends on the kind.

    Raises
    ------
    OSError
        With the same number.
    """
    try:
        yield
    except OSError as error:
        if advice is None and error.filename in (None, *map(str, (path, *others)), path, *others):
            advice = _ADVICE.get(error.errno or 0)
        if advice is None:
            raise
        raise OSError(error.errno, f"{os.strerror(error.errno or 0)}; {advice}", str(path)) from error


def remove_leftovers(folder: Path) -> None:
    """Remove the temporary files that killed processes left in a folder."""
    with suppress(OSError):  # a folder that cannot be read or changed says so when the new file is made
        for name in os.listdir(folder):
            if _TEMPORARY.fullmatch(name):
                with suppress(OSError):
                    _remove_if_dead(folder / name)


def sync_folder(folder: Path) -> None:
    """Make sure that the names in a folder are on the disk."""
    if os.name != "posix":  # Windows opens no folders
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOTSUP):  # some network file systems sync files only
            raise
    finally:
        os.close(descriptor)


def kind_of(mode: int) -> str:
    """Say what a path leads to, from the mode that ``os.stat`` returns."""
    names = ((stat.S_ISDIR, "a folder"), (stat.S_ISFIFO, "a named pipe"), (stat.S_ISSOCK, "a socket"))
    return next((name for test, name in names if test(mode)), "a device")


@contextmanager
def _locked(temporary: Path) -> Iterator[None]:
    """Create a file and lock it during the block."""
    descriptor = open_locked(temporary, os.O_CREAT | os.O_EXCL)
    if not HAS_LOCKS:
        os.close(descriptor)  # Windows cannot replace a file that is open
        yield
        return
    try:
        yield
    finally:
        os.close(descriptor)


def _remove_if_dead(path: Path) -> None:
    if not HAS_LOCKS:
        if time.time() - path.stat().st_mtime > _DAY:
            path.unlink()
        return
    descriptor = open_locked(path, os.O_NOFOLLOW)
    try:
        path.unlink()
    finally:
        os.close(descriptor)
