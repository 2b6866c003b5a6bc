"""Settings of the current thread or task: from a call on, or for the length of a ``with`` block."""

from contextlib import AbstractContextManager
from contextvars import ContextVar, Token
from types import TracebackType
from typing import Any, Self

import numpy as np


class Setting:
    """Base class of settings: sets a context variable at once, and restores it at the end of a ``with`` block."""

    def __init__(self, variable: ContextVar[Any], value: Any) -> None:
        self._variable = variable
        self._token: Token[Any] | None = variable.set(value)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._token is not None:  # a token can be used once; a second block has nothing to restore
            self._variable.reset(self._token)
            self._token = None


def overflow_allowed() -> AbstractContextManager[Any]:
    """Return a block in which NumPy warns neither of an overflow nor of what is computed with its infinities.

    For computations whose results are looked at afterwards. Other libraries never warn.

    Examples
    --------
    >>> with overflow_allowed():
    ...     np.asarray([1e5], np.float32).astype(np.float16)
    array([inf], dtype=float16)
    """
    return np.errstate(over="ignore", invalid="ignore")
