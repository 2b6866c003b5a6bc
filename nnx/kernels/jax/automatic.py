"""Make a kernel of one function in JAX: compiled forward and gradients, and the hand-over to the portable body."""

from collections.abc import Callable, Sequence
from typing import Any

import jax
from jax import numpy as jnp

from nnx.autodiff import Primitive, Pullback, TracedArray
from nnx.autodiff.dispatch import Declined

Body = Callable[..., Any]
Check = Callable[..., Declined | None]


def native(function: Primitive[..., Any], check: Check, *, device: str | None = None) -> Callable[[Body], Body]:
    """Register a body in JAX as the native kernel of a primitive; a decorator.

    Parameters
    ----------
    function : Primitive
        The body takes its arguments and returns its output, an array or a tuple of them. It is compiled once for each
        shape, dtype and set of options, so it cannot look at values.
    check : callable
        Called with the arguments before the body, outside of what is compiled. It raises the portable body's errors,
        usually by calling the same function, and returns :class:`Declined` for what the body does not handle, else
        ``None``.
    device : {"cpu", "cuda"}, optional
        Default any.
    """

    def register(body: Body) -> Body:
        def run(slots: tuple[int, ...], options: _Options, *args: Any) -> Any:
            def of_leaves(*leaves: Any) -> Any:
                found = list(args)
                for i, leaf in zip(slots, leaves, strict=True):
                    found[i] = leaf
                return body(*found, **options.named)

            return jax.vjp(of_leaves, *(args[i] for i in slots)) if slots else of_leaves()

        compiled = jax.jit(run, static_argnums=(0, 1))

        def rule(wanted: Sequence[Any], *args: Any, **options: Any) -> tuple[Any, Pullback] | Declined:
            if (declined := check(*args, **options)) is not None:
                return declined
            slots = tuple(i for i, arg in enumerate(args) if wanted[i] and arg is not None)
            made = compiled(slots, _Options(options), *args)
            if not slots:
                return made, lambda g: (None,) * len(args)
            output, jax_pullback = made
            shapes = [(part.shape, part.dtype) for part in output] if isinstance(output, tuple) else []

            def pullback(g: Any) -> Sequence[Any]:
                if type(g) is TracedArray or (shapes and TracedArray in map(type, g)):
                    return function.portable_pullback(wanted, *args, **options)(g)
                if shapes:  # of several outputs; None where no cotangent arrived
                    g = tuple(jnp.zeros(*like) if part is None else part for part, like in zip(g, shapes, strict=True))
                found: list[Any] = [None] * len(args)
                now = tuple(k for k, i in enumerate(slots) if wanted[i])  # it may have been narrowed
                for k, cotangent in zip(now, _apply(jax_pullback, g, now), strict=True):
                    found[slots[k]] = cotangent
                return found

            return output, pullback

        function.kernel("jax", device=device, fresh=True)(rule)  # JAX's arrays cannot be written
        return body

    return register


class _Options:
    """Options of a call as part of a key of JAX's cache: equal in value and in type, since 1 == 1.0 == True."""

    def __init__(self, named: dict[str, Any]) -> None:
        self.named = named
        self._key = repr(sorted(named.items()))

    def __eq__(self, other: object) -> bool:
        return type(other) is _Options and other._key == self._key

    def __hash__(self) -> int:
        return hash(self._key)


def _parts(pullback: Any, g: Any, now: tuple[int, ...]) -> list[Any]:
    cotangents = pullback(g)
    return [cotangents[k] for k in now]  # XLA computes no other


_apply: Any = jax.jit(_parts, static_argnums=2)
