"""Machine code on disk. Numba's own cache asks only whether the file of a loop has changed, and may end a call."""

import functools
import os
from contextlib import suppress
from hashlib import sha256
from pathlib import Path
from typing import Any


class Kept:
    """A cache of Numba's for one loop, which is stale too once a file has changed that the loop may take parts from.

    Parameters
    ----------
    cache : object
        Of Numba; what is changed in it is not public, so AttributeError tells that it is another version's.
    """

    def __init__(self, cache: Any) -> None:
        files = cache._cache_file
        self._cache, self._index = cache, files._index_path
        files._source_stamp = (files._source_stamp, _digest())

    def __getattr__(self, name: str) -> Any:
        """Return what else there is in the cache."""
        return getattr(self._cache, name)

    def load_overload(self, signature: Any, context: Any) -> Any:
        """Return what was kept; None if there is nothing, or the files cannot be read."""
        try:
            return self._cache.load_overload(signature, context)
        except Exception:  # whatever unpickling half a file raises
            return None

    def save_overload(self, signature: Any, made: Any) -> None:
        """Keep machine code, if it can be written; the call goes on without."""
        try:
            self._cache.save_overload(signature, made)
        except Exception:  # such as a full disk
            # The index may name a file already that could not be written, and that is there from another time.
            with suppress(OSError):
                os.remove(self._index)


@functools.cache
def _digest() -> bytes:
    """Return a digest of all loops, and of the kernels that they share formulas with."""
    here = Path(__file__).parent
    sources = sorted([*here.glob("*.py"), *(here.parent / "numpy").glob("*.py")])
    if not sources:
        raise FileNotFoundError("the sources are not there")
    digest = sha256()
    for path in sources:
        content = path.read_bytes()
        digest.update(f"{path.name} {len(content)}\n".encode() + content)
    return digest.digest()
