"""Compilers that array libraries have of their own."""

import importlib
from collections.abc import Callable
from typing import Any

ENGINES = {"jax": ("jax", "jit")}
"""For a library, the module and function that compile a function of arrays from its own record of the calls."""


def engine_for(library: str) -> Callable[..., Any] | None:
    """Return the compiler of a library, a function of functions over dicts and lists of arrays; None if it has none."""
    if library not in ENGINES:
        return None
    module, name = ENGINES[library]
    engine: Callable[..., Any] = getattr(importlib.import_module(module), name)
    return engine
