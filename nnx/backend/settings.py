"""Settings of the current thread or task: from a call on, or for the length of a ``with`` block."""

from contextvars import ContextVar, Token
from types import TracebackType
from typing import Any, Self


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
