"""Functions of an array library with their rules from the tables."""

import functools
from collections.abc import Callable
from typing import Any

from nnx.autodiff.primitives import Primitive
from nnx.autodiff.rules.kinds import Rule
from nnx.autodiff.rules.signatures import Signature
from nnx.autodiff.views import remember


class LibraryFunction(Primitive[..., Any]):
    """A function of the standard with its rule from the tables, bound to one library.

    The rule has two forms. The one for plain values calls the library's function directly; the other calls this
    primitive again, so that an enclosing trace sees it.
    """

    def __init__(self, name: str, function: Callable[..., Any], rule: Rule, signature: Signature | None) -> None:
        # Arrays are positional-only in the standard.
        super().__init__(
            function,
            name=name,
            retraced=False,
            takes_keywords=False,
            may_hide_traced=False,
            may_have_kernels=False,
        )
        self.fresh = rule.fresh
        self.rule, self.plain_rule = rule.bind(self), rule.bind(function)
        self.tangent_rule, self.plain_tangent_rule = rule.bind_tangent(self), rule.bind_tangent(function)
        self.signature = signature


def bind(name: str, function: Callable[..., Any], rule: Rule, signature: Signature | None = None) -> LibraryFunction:
    """Return a library's function as a primitive with a rule; it refuses arguments that the signature does not name."""
    return LibraryFunction(name, function, rule, signature)


def remembering(function: LibraryFunction) -> Callable[..., Any]:
    """Return a function whose result may show the memory of its first argument, and is then remembered."""

    @functools.wraps(function, updated=())
    def remembered(x: Any, /, *args: Any, **options: Any) -> Any:
        made = function(x, *args, **options)
        remember(made, x)
        return made

    return remembered
