"""Type aliases for annotations."""

from typing import Any, TypeAlias

Array: TypeAlias = Any
"""An array of any library that follows the Python array API standard, or a traced one.

Array libraries have no static type in common, so to a type checker an array is ``Any``.
"""

Namespace: TypeAlias = Any
"""An array API namespace, such as ``array_api_compat.numpy``; the code always names it ``xp``."""

DType: TypeAlias = Any
"""A dtype object of some namespace, such as ``xp.float32``."""

Device: TypeAlias = Any
"""A device object of some namespace."""

Shape: TypeAlias = tuple[int, ...]
"""The length of each axis."""

Tree: TypeAlias = Any
"""An array, a module, or nested dicts, lists and tuples of them."""
