"""Patterns of dotted paths, such as ``"encoder.*"``, which choose parameters or layers of a model.

A pattern is one of :mod:`fnmatch`: ``*`` stands for any characters, dots included, ``?`` for one, ``[abc]`` for one of
these. It matches a path or the beginning of one, up to a dot: ``"encoder"`` matches ``"encoder.0.weight"``.
"""

from collections.abc import Iterable, Sequence
from fnmatch import fnmatchcase
from functools import lru_cache
from typing import Any

from nnx.errors import ArgumentError


def as_patterns(patterns: Any, name: str) -> tuple[str, ...]:
    """Return one or several patterns as a tuple; raises ArgumentError if they are something else."""
    found = (patterns,) if isinstance(patterns, str) else tuple(patterns) if isinstance(patterns, Iterable) else (None,)
    if not all(isinstance(pattern, str) for pattern in found):
        raise ArgumentError(f"expected {name} to be patterns of paths, such as '*bias', got {patterns!r}")
    return found


@lru_cache(maxsize=64)
def chosen(paths: Sequence[str], patterns: tuple[str, ...], name: str) -> frozenset[str]:
    """Return those of some paths, a tuple, that match a pattern.

    Raises
    ------
    ArgumentError
        If a pattern matches none.
    """
    found: set[str] = set()
    for pattern in patterns:
        matched = {path for path in paths if _matches(path, pattern)}
        if not matched:
            raise ArgumentError(
                f"{name}: expected patterns of paths, got {pattern!r}, which matches none of {', '.join(paths)}"
            )
        found |= matched
    return frozenset(found)


def _matches(path: str, pattern: str) -> bool:
    ends = [i for i, character in enumerate(path) if character == "."]
    return any(fnmatchcase(path[:end], pattern) for end in (*ends, len(path)))
