"""The signatures of the array API standard (2025.12), as data: what a call may pass, and what a rule may read.

A library's function may take more arguments than the standard names. Rules do not know them, and the derivative would
be silently wrong. So such a call is refused if an argument is traced.
"""

import sys
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from nnx.errors import ArgumentError


class Signature:
    """The parameters of a function of the standard.

    Parameters
    ----------
    positional : str
        Names separated by commas. They are positional-only; those after a ``/`` may be passed by name too, and a ``*``
        in front stands for any number of arguments.
    **options
        Keyword-only parameters and their defaults.

    Attributes
    ----------
    most : int
        How many arguments may be passed by position.

    Examples
    --------
    >>> Signature("x, /, shape", copy=None)
    Signature(x, /, shape, *, copy=None)
    """

    __slots__ = ("_by_name", "_written", "most", "options", "positional")

    def __init__(self, positional: str, **options: Any) -> None:
        only, _, either = positional.partition(", /, ")
        named = either.split(", ") if either else []
        self.positional = [*only.split(", "), *named]
        self.options = options
        self._by_name = frozenset((*named, *options))
        self.most = sys.maxsize if positional[0] == "*" else len(self.positional)  # read in every traced call
        self._written = positional

    @property
    def text(self) -> str:
        """The signature as Python writes it."""
        is_open = self.most == sys.maxsize
        end = [] if is_open or "/" in self._written else ["/"]
        star = ["*"] if self.options and not is_open else []
        shown = [f"{name}={default!r}" for name, default in self.options.items()]
        return ", ".join([self._written, *end, *star, *shown])

    def __repr__(self) -> str:
        return f"Signature({self.text})"

    def refuse(self, name: str, args: Sequence[Any], options: Mapping[str, Any]) -> None:
        """Raise ArgumentError if a call with a traced array passes anything that the standard does not name."""
        unknown = [option for option in options if option not in self._by_name]
        if len(args) > self.most:
            raise ArgumentError(
                f"{name}: expected at most {self.most} arguments by position, as in the standard, got {len(args)}; "
                f"pass options by name, as in {name}({self.text})"
            )
        if not unknown:
            return
        hints = [_INSTEAD[option] for option in unknown if option in _INSTEAD]
        raise ArgumentError(
            f"{name} of a traced array: expected the arguments of the standard, {name}({self.text}), got "
            f"{', '.join(unknown)}, of which the derivative knows nothing" + "".join(f"; {hint}" for hint in hints)
        )


_INSTEAD = {
    "compute_uv": "use linalg.svdvals(x) for the singular values alone",
    "ddof": "use correction",
    "dim": "use axis",
    "keepdim": "use keepdims",
    "where": "use xp.where(condition, x, 0.0)",
}


def _all_of(names: str, positional: str, **options: Any) -> dict[str, Signature]:
    return dict.fromkeys(names.split(), Signature(positional, **options))


_ACCUMULATED = {"axis": None, "dtype": None, "include_initial": False}
_KEPT = {"axis": None, "keepdims": False}
_MADE = {"dtype": None, "device": None}
_ONE_AXIS = {"n": None, "axis": -1, "norm": "backward"}
_SEVERAL_AXES = {"s": None, "axes": None, "norm": "backward"}
_SORTED = {"axis": -1, "descending": False, "stable": True}

_PRODUCTS = {
    **_all_of("matmul", "x1, x2"),
    **_all_of("matrix_transpose", "x"),
    **_all_of("tensordot", "x1, x2", axes=2),
    **_all_of("vecdot", "x1, x2", axis=-1),
}

_MAIN = {
    **_all_of(
        """
        abs acos acosh asin asinh atan atanh bitwise_invert ceil conj cos cosh exp expm1 floor imag isfinite isinf isnan
        log log10 log1p log2 logical_not negative nonzero positive real reciprocal round sign signbit sin sinh sqrt
        square tan tanh trunc unique_all unique_counts unique_inverse unique_values
        """,
        "x",
    ),
    **_all_of(
        """
        add atan2 bitwise_and bitwise_left_shift bitwise_or bitwise_right_shift bitwise_xor copysign divide equal
        floor_divide greater greater_equal hypot less less_equal logaddexp logical_and logical_or logical_xor maximum
        minimum multiply nextafter not_equal pow remainder subtract
        """,
        "x1, x2",
    ),
    **_PRODUCTS,
    **_all_of("all any count_nonzero max mean min", "x", **_KEPT),
    **_all_of("prod sum", "x", axis=None, dtype=None, keepdims=False),
    **_all_of("std var", "x", axis=None, correction=0.0, keepdims=False),
    **_all_of("argmax argmin", "x", **_KEPT),
    **_all_of("argsort sort", "x", **_SORTED),
    **_all_of("concat stack", "arrays", axis=0),
    **_all_of("cumulative_prod cumulative_sum", "x", **_ACCUMULATED),
    **_all_of("empty_like ones_like zeros_like", "x", **_MADE),
    **_all_of("expand_dims squeeze", "x, /, axis"),
    **_all_of("finfo iinfo", "type"),
    **_all_of("tril triu", "x", k=0),
    "asarray": Signature("obj", dtype=None, device=None, copy=None),
    "astype": Signature("x, dtype", copy=True, device=None),
    "broadcast_arrays": Signature("*arrays"),
    "broadcast_shapes": Signature("*shapes"),
    "broadcast_to": Signature("x, /, shape"),
    "can_cast": Signature("from_, to"),
    "clip": Signature("x, /, min, max"),
    "diff": Signature("x", axis=-1, n=1, prepend=None, append=None),
    "flip": Signature("x", axis=None),
    "full_like": Signature("x, /, fill_value", **_MADE),
    "isin": Signature("x1, x2", invert=False),
    "meshgrid": Signature("*arrays", indexing="xy"),
    "moveaxis": Signature("x, source, destination"),
    "permute_dims": Signature("x, /, axes"),
    "repeat": Signature("x, repeats", axis=None),
    "reshape": Signature("x, /, shape", copy=None),
    "result_type": Signature("*arrays_and_dtypes"),
    "roll": Signature("x, /, shift", axis=None),
    "searchsorted": Signature("x1, x2", side="left", sorter=None),
    "take": Signature("x, indices", axis=None),
    "take_along_axis": Signature("x, indices", axis=-1),
    "tile": Signature("x, repetitions"),
    "unstack": Signature("x", axis=0),
    "where": Signature("condition, x1, x2"),
}

_LINALG = {
    **_PRODUCTS,
    **_all_of("cross", "x1, x2", axis=-1),
    **_all_of("det eig eigh eigvals eigvalsh inv slogdet svdvals", "x"),
    **_all_of("outer solve", "x1, x2"),
    **_all_of("matrix_rank pinv", "x", rtol=None),
    "cholesky": Signature("x", upper=False),
    "diagonal": Signature("x", offset=0),
    "matrix_norm": Signature("x", keepdims=False, ord="fro"),
    "matrix_power": Signature("x, n"),
    "qr": Signature("x", mode="reduced"),
    "svd": Signature("x", full_matrices=True),
    "trace": Signature("x", offset=0, dtype=None),
    "vector_norm": Signature("x", axis=None, keepdims=False, ord=2),
}

_FFT = {
    **_all_of("fft hfft ifft ihfft irfft rfft", "x", **_ONE_AXIS),
    **_all_of("fftn ifftn irfftn rfftn", "x", **_SEVERAL_AXES),
    **_all_of("fftshift ifftshift", "x", axes=None),
}

SIGNATURES: dict[str, Signature] = {
    **_MAIN,
    **{f"linalg.{name}": signature for name, signature in _LINALG.items()},
    **{f"fft.{name}": signature for name, signature in _FFT.items()},
}
"""By the names that the tables of rules use."""


def check_rule(name: str, parameters: Iterable[str], reads: Iterable[tuple[str, Any]]) -> None:
    """Check a rule against the signature of its function, once, when the tables are built.

    A parameter with a wrong name would get its default in every call, and the derivative would be silently wrong.

    Parameters
    ----------
    name : str
        The function's name in the tables.
    parameters : iterable of str
        The rule's names for the positional parameters.
    reads : iterable of (str, object)
        Name and default of each parameter of its small functions.

    Raises
    ------
    ArgumentError
        If a parameter, the order of the parameters or a default is not that of the standard.
    """
    signature = SIGNATURES[name]
    # A rule may list only the leading parameters, and an adapter may make an option positional, as for asarray.
    positional = [parameter for parameter in parameters if parameter not in signature.options]
    if positional != signature.positional[: len(positional)]:
        raise ArgumentError(
            f"the rule of {name} has the positional parameters {', '.join(positional)}, where the standard has "
            f"{name}({signature.text})"
        )
    for parameter, default in reads:
        if parameter in signature.options:
            if default != signature.options[parameter]:
                raise ArgumentError(
                    f"the rule of {name} has the default {parameter}={default!r}, where the standard has "
                    f"{name}({signature.text})"
                )
        elif parameter not in signature.positional:
            raise ArgumentError(
                f"the rule of {name} asks for {parameter!r}, which is no parameter of {name}({signature.text})"
            )


def check_composition(name: str, function: Any) -> None:
    """Check a composed function, whose first parameter is the namespace, against the signature of its name."""
    code = function.__code__  # inspect.signature would take 50 times as long, at import
    options = code.co_varnames[code.co_argcount : code.co_argcount + code.co_kwonlyargcount]
    defaults = function.__kwdefaults__ or {}
    check_rule(name, code.co_varnames[1 : code.co_argcount], [(option, defaults.get(option)) for option in options])
