"""Computing in float32 what torch would add up in 16 bits."""

import functools
from collections.abc import Callable
from typing import Any

import torch

Body = Callable[..., Any]


def in_float32_on_host(body: Body) -> Body:
    """Make a body compute 16-bit arrays in the host's memory in float32, and round its results once; a decorator.

    There torch adds up some gradients in 16 bits: for a layer normalization of 4,096 examples of bfloat16, the gradient
    of the bias stops at 256. It rounds the states of a recurrent layer at each step, averages and interpolates in 16
    bits, and has some functions for float32 and float64 alone.
    """

    @functools.wraps(body)
    def widened(*args: Any, **options: Any) -> Any:
        narrow = next((arg.dtype for arg in args if _is_narrow_on_host(arg)), None)
        if narrow is None:
            return body(*args, **options)
        output = body(*(arg.float() if _is_narrow_on_host(arg) else arg for arg in args), **options)
        return tuple(part.to(narrow) for part in output) if isinstance(output, tuple) else output.to(narrow)

    return widened


def _is_narrow_on_host(x: Any) -> bool:
    return x is not None and x.dtype in (torch.float16, torch.bfloat16) and x.device.type == "cpu"
