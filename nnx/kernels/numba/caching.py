"""Machine code on disk. Numba's own cache asks only whether the file of a loop has changed, and may end a call."""

import functools
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
        self._cache, self._index, self._load_index = cache, Path(files._index_path), files._load_index
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
        with suppress(Exception):  # such as a full disk
            self._remove_what_is_stale()
            self._cache.save_overload(signature, made)

    def _remove_what_is_stale(self) -> None:
        """Make sure that an index names no old file: one is written before the file that it names, by the same name."""
        try:
            if self._load_index():
                return
        except Exception:  # half an index
            self._index.unlink(missing_ok=True)
        for path in self._index.parent.glob(f"{self._index.stem}.*.nbc"):
            path.unlink(missing_ok=True)


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
