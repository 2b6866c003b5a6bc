"""Which parameters a function of the user's has."""

import inspect
from collections.abc import Callable
from typing import Any


def takes(function: Callable[..., Any], name: str) -> bool:
    """Return whether a function can be called with an argument of this name; not if it takes all with ``**``.

    Examples
    --------
    >>> takes(lambda batch, key: batch, "key"), takes(lambda batch: batch, "key")
    (True, False)
    """
    try:
        found = inspect.signature(function).parameters.get(name)
    except (TypeError, ValueError):  # a function in C without a signature
        return False
    return found is not None and found.kind in (found.POSITIONAL_OR_KEYWORD, found.KEYWORD_ONLY)
