"""Replace a file atomically, so that an interruption leaves either the old one or the new one."""

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def replacing(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Yield a temporary path in the same folder; at the end of the block that file replaces ``path``.

    If the block is left by an exception, including ``Ctrl-C``, the temporary file is removed and ``path`` stays as it
    was.

    Parameters
    ----------
    path : str or path

    Yields
    ------
    pathlib.Path
        Where to write.

    Raises
    ------
    OSError
        If the file cannot be written or replaced.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     with replacing(f"{folder}/notes.txt") as temporary:
    ...         _ = temporary.write_text("whole")
    ...     Path(folder, "notes.txt").read_text()
    'whole'
    """
    path = Path(path)
    # Not tempfile, whose files only their owner may read: the permissions would stay with the result.
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}.tmp")
    try:
        yield temporary
        with open(temporary, "rb+") as file:
            os.fsync(file.fileno())  # otherwise a power failure could leave the new name without the content
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
