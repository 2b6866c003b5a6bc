"""Activations, as functions and as layers; the elementwise ones are a table."""

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

import nnx
from nnx import functional as F
from rows.draws import normal
from rows.record import Capability, Draw, Row, Wrong, layer

KINKS = (-3.0, -1.0, 0.0, 1.0, 3.0, 6.0)


def off_kinks(*shapes: tuple[int, ...]) -> Draw:
    """Draw numbers on both sides of all kinks, and not within 0.1 of one."""

    def draw(rng: np.random.Generator) -> tuple[Any, ...]:
        values = [rng.uniform(-4.5, 7.5, shape) for shape in shapes]
        for kink in KINKS:
            values = [np.where(np.abs(x - kink) < 0.1, kink + np.copysign(0.1, x - kink), x) for x in values]
        return tuple(values)

    return draw


def _elementwise(
    name: str, kind: type[nnx.Module], torch_name: str, options: dict[str, Any] | None = None, **renamed: str
) -> list[Capability]:
    """Return the records of a function and its layer, each with a row for the defaults and one for the options."""

    def reference(torch: Any, x: Any, **options: Any) -> Any:
        function = torch
        for part in torch_name.split("."):
            function = getattr(function, part)
        return function(x, **{renamed.get(key, key): value for key, value in options.items()})

    if kind is nnx.Hardsigmoid:  # torch's own has no second derivative

        def reference(torch: Any, x: Any) -> Any:
            return torch.nn.functional.relu6(x + 3.0) / 6.0

    function: Callable[..., Any] = getattr(F, name)
    draw = off_kinks((4, 3))
    shown = ", ".join(f"{key}={value!r}" for key, value in (options or {}).items())
    rows = [Row(name, function, draw, reference)]
    layers = [layer(kind.__name__, lambda _: kind(), draw, _without(reference), repr=f"{kind.__name__}()")]
    if options:
        rows.append(Row(f"{name}-options", partial(function, **options), draw, partial(reference, **options)))
        layers.append(
            layer(
                f"{kind.__name__}-options",
                lambda _: kind(**options),
                draw,
                _without(partial(reference, **options)),
                repr=f"{kind.__name__}({shown})",
            )
        )
    in_torch = f"torch.nn.{kind.__name__}" if kind is not nnx.Exponential else "torch.exp"
    dtypes = ("half", "real", "complex") if kind is nnx.Exponential else ("half", "real")
    return [
        Capability(f"functional.{name}", "x of any shape", f"torch.{torch_name}", rows=tuple(rows), dtypes=dtypes),
        Capability(kind.__name__, "x of any shape", in_torch, rows=tuple(layers), dtypes=dtypes),
    ]


def _without(reference: Callable[..., Any]) -> Callable[..., Any]:
    """Return a reference that is given the layer's parameters too, of which there are none."""
    return lambda torch, parameters, x: reference(torch, x)


ELEMENTWISE = [
    ("relu", nnx.ReLU, "relu"),
    ("leaky_relu", nnx.LeakyReLU, "nn.functional.leaky_relu", {"slope": 0.2}),
    ("hardtanh", nnx.Hardtanh, "nn.functional.hardtanh", {"low": 0.0, "high": 3.0}),
    ("relu6", nnx.ReLU6, "nn.functional.relu6"),
    ("hardsigmoid", nnx.Hardsigmoid, "nn.functional.hardsigmoid"),
    ("exponential", nnx.Exponential, "exp"),
    ("elu", nnx.ELU, "nn.functional.elu", {"alpha": 0.5}),
    ("selu", nnx.SELU, "selu"),
    ("celu", nnx.CELU, "celu", {"alpha": 0.5}),
    ("sigmoid", nnx.Sigmoid, "sigmoid"),
    ("log_sigmoid", nnx.LogSigmoid, "nn.functional.logsigmoid"),
    ("softplus", nnx.Softplus, "nn.functional.softplus", {"beta": 2.0}),
    ("tanh", nnx.Tanh, "tanh"),
    ("softsign", nnx.Softsign, "nn.functional.softsign"),
    ("gelu", nnx.GELU, "nn.functional.gelu", {"approximate": "tanh"}),
    ("silu", nnx.SiLU, "nn.functional.silu"),
    ("mish", nnx.Mish, "nn.functional.mish"),
    ("hardswish", nnx.Hardswish, "nn.functional.hardswish"),
]
_RENAMED = {"slope": "negative_slope", "low": "min_val", "high": "max_val"}


def _along_axis(name: str, kind: type[nnx.Module], reference: Callable[..., Any], in_torch: str) -> list[Capability]:
    """Return the records of a function of one array along an axis, and of its layer."""
    function: Callable[..., Any] = getattr(F, name)
    last, second = normal((4, 6)), normal((3, 4, 2))
    return [
        Capability(
            f"functional.{name}",
            "x with the axis",
            f"torch.{in_torch[0]}",
            wrong=Wrong(((),), r"expected an array that has axis -1, got one with 0 axes"),
            rows=(
                Row(name, function, last, lambda torch, x: reference(torch, x, -1)),
                Row(f"{name}-1d", function, normal((6,)), lambda torch, x: reference(torch, x, -1), batch=None),
                Row(f"{name}-axis-1", partial(function, axis=1), second, lambda torch, x: reference(torch, x, 1)),
            ),
        ),
        Capability(
            kind.__name__,
            "x with the axis",
            f"torch.{in_torch[1]}",
            wrong=Wrong(((),), rf"{kind.__name__}: expected an array that has axis -1, got one with 0 axes"),
            rows=(
                layer(
                    kind.__name__,
                    lambda _: kind(),
                    last,
                    lambda torch, p, x: reference(torch, x, -1),
                    repr=f"{kind.__name__}()",
                ),
                layer(
                    f"{kind.__name__}-axis-1",
                    lambda _: kind(axis=1),
                    second,
                    lambda torch, p, x: reference(torch, x, 1),
                    repr=f"{kind.__name__}(axis=1)",
                ),
            ),
        ),
    ]


def _swiglu(torch: Any, x: Any, axis: int) -> Any:
    a, b = torch.chunk(x, 2, axis)
    return torch.nn.functional.silu(a) * b


ALONG_AXIS = [
    ("softmax", nnx.Softmax, lambda torch, x, axis: torch.softmax(x, axis), ("softmax(x, axis)", "nn.Softmax(axis)")),
    (
        "log_softmax",
        nnx.LogSoftmax,
        lambda torch, x, axis: torch.log_softmax(x, axis),
        ("log_softmax(x, axis)", "nn.LogSoftmax(axis)"),
    ),
    ("glu", nnx.GLU, lambda torch, x, axis: torch.nn.functional.glu(x, axis), ("nn.functional.glu(x, axis)", "nn.GLU")),
    ("swiglu", nnx.SwiGLU, _swiglu, ("nn.functional.silu(a) * b", "nn.SiLU, on one of two halves")),
]


def _prelu(torch: Any, x: Any, weight: Any) -> Any:
    return torch.nn.functional.prelu(x, weight)


def _by_channel(torch: Any, p: Any, x: Any) -> Any:
    return _prelu(torch, x, p["weight"])


def _with_slopes(shape: tuple[int, ...], count: int = 3) -> Draw:
    return lambda rng: (*off_kinks(shape)(rng), rng.uniform(0.1, 0.4, count))


_WRONG = r"expected weight of shape \(1,\) or \(5,\), as axis 1 of the input, got \(3,\)"
_SLOPES = nnx.initializers.Uniform(0.1, 0.4)

CAPABILITIES = [
    *(record for entry in ELEMENTWISE for record in _elementwise(*entry, **_RENAMED)),
    Capability(
        "functional.prelu",
        "x (batch, channels, ...), weight (channels) or (1)",
        "torch.nn.functional.prelu",
        wrong=Wrong(((4, 5), (3,)), _WRONG),
        rows=(
            Row(
                "prelu",
                F.prelu,
                lambda rng: (*off_kinks((4, 3))(rng), rng.uniform(0.1, 0.4, 3)),
                _prelu,
                unbatched=(1,),
            ),
            Row(
                "prelu-one",
                F.prelu,
                lambda rng: (*off_kinks((4, 3))(rng), rng.uniform(0.1, 0.4, 1)),
                _prelu,
                unbatched=(1,),
            ),
            Row(
                "prelu-last-axis",
                partial(F.prelu, axis=-1),
                _with_slopes((4, 2, 3)),
                lambda torch, x, weight: torch.where(x > 0, x, weight * x),
                unbatched=(1,),
            ),
        ),
    ),
    Capability(
        "PReLU",
        "x (batch, channels, ...)",
        "torch.nn.PReLU",
        wrong=Wrong(((4, 5),), "PReLU: " + _WRONG),
        rows=(
            layer(
                "PReLU-channels",
                lambda dtype: nnx.PReLU(3, initializer=_SLOPES, rng=0, dtype=dtype),
                off_kinks((4, 3, 2)),
                _by_channel,
            ),
            layer("PReLU", lambda dtype: nnx.PReLU(dtype=dtype), off_kinks((4, 3)), _by_channel, repr="PReLU()"),
        ),
    ),
    *(record for entry in ALONG_AXIS for record in _along_axis(*entry)),
]
