"""Computing in float32 what is given in 16 bits."""

import functools
from collections.abc import Callable, Sequence
from typing import Any, ParamSpec, TypeVar

from nnx.autodiff import Pullback
from nnx.autodiff.primitives import PullbackRule
from nnx.backend import dtype_name, is_array, is_floating, namespace
from nnx.types import Array, DType

P = ParamSpec("P")
R = TypeVar("R")


def in_float32(function: Callable[P, R]) -> Callable[P, R]:
    """Make a function compute in float32 if its arrays are of float16 or bfloat16, and round its result once.

    A decorator under ``@primitive``; :func:`rule_in_float32` is its counterpart for the pullback. Arrays that differ in
    dtype are passed on as they are, so that the function's own check finds them.
    """

    @functools.wraps(function)
    def widened(*args: Any, **options: Any) -> Any:
        narrow = narrow_dtype(args)
        if narrow is None:
            return function(*args, **options)
        return cast(function(*widen(args, narrow), **options), narrow)

    return widened


def rule_in_float32(rule: PullbackRule) -> PullbackRule:
    """Make a pullback rule, and the pullback that it returns, compute in float32 where :func:`in_float32` does."""

    @functools.wraps(rule)
    def widened(wanted: Sequence[Any], *args: Any, **options: Any) -> tuple[Array, Pullback]:
        narrow = narrow_dtype(args)
        if narrow is None:
            return rule(wanted, *args, **options)
        output, of_wide = rule(wanted, *widen(args, narrow), **options)

        def pullback(cotangent: Array) -> Sequence[Array | None]:
            found = of_wide(namespace(cotangent).astype(cotangent, namespace(cotangent).float32))
            return [None if part is None else cast(part, narrow) for part in found]

        return cast(output, narrow), pullback

    return widened


def narrow_dtype(args: Sequence[Any]) -> DType | None:
    """Return the dtype of the floating-point arguments if it is the same for all, and has 16 bits."""
    dtype = getattr(args[0], "dtype", None)
    if getattr(dtype, "itemsize", 4) != 2:
        return None
    floats = [arg.dtype for arg in args if is_array(arg) and is_floating(arg)]
    return dtype if floats and all(found == dtype for found in floats) else None


def widen(args: Sequence[Any], narrow: DType) -> list[Any]:
    """Return the arguments, with arrays of the narrow dtype converted to float32."""
    return [
        namespace(arg).astype(arg, namespace(arg).float32) if is_array(arg) and arg.dtype == narrow else arg
        for arg in args
    ]


def cast(x: Array, dtype: DType) -> Array:
    """Return an array in a dtype of its own library."""
    xp = namespace(x)
    return x if x.dtype == dtype else xp.astype(x, getattr(xp, dtype_name(dtype)))
