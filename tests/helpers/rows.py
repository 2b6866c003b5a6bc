"""One table of everything that can be differentiated, a row each, for the battery in ``tests/test_battery.py``.

A new function, layer or loss joins the battery by its row here.
"""

import zlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

import nnx
from nnx import functional as F

CLASSES = 3


@dataclass(frozen=True)
class Row:
    """What is called, on what, and what PyTorch calls it.

    ``inputs`` are differentiated, ``constants`` (targets, noise) are not; both are made by a NumPy generator, and
    ``call`` takes them in this order, for a layer after the module that ``make`` returns. ``torch`` takes the
    module torch, for a layer a dict of its parameters, and the same arrays.
    ``batch`` says how a batch of n follows from n batches of one: "concat", "sum" or "mean"; the arrays at the
    places ``unbatched`` have no batch axis.
    """

    id: str
    call: Callable[..., Any]
    inputs: Callable[[np.random.Generator], tuple[Any, ...]]
    torch: Callable[..., Any]
    constants: Callable[[np.random.Generator], tuple[Any, ...]] = lambda rng: ()
    make: Callable[[str], nnx.Module] | None = None
    batch: str | None = "concat"
    unbatched: tuple[int, ...] = ()
    repr: str | None = None
    loss: bool = False

    def rng(self) -> np.random.Generator:
        return np.random.default_rng(zlib.crc32(self.id.encode()))

    def subject(self, library: Any, dtype: str) -> tuple[Callable[..., Any], list[Any]]:
        """Return a function of what is differentiated, and its arguments, on an array library."""
        rng = self.rng()
        arrays = [library.asarray(x, dtype) for x in self.inputs(rng)]
        constants = [library.asarray(c, dtype if c.dtype.kind == "f" else "int64") for c in self.constants(rng)]
        if self.make is None:
            return (lambda *inputs: self.call(*inputs, *constants)), arrays
        with nnx.use_backend(library.spec):
            module = self.make(dtype)
        return (lambda module, *inputs: self.call(module, *inputs, *constants)), [module, *arrays]


def normal(*shapes: tuple[int, ...]) -> Callable[[np.random.Generator], tuple[Any, ...]]:
    return lambda rng: tuple(rng.normal(size=shape) for shape in shapes)


def positive(*shapes: tuple[int, ...]) -> Callable[[np.random.Generator], tuple[Any, ...]]:
    return lambda rng: tuple(rng.uniform(0.5, 2.0, shape) for shape in shapes)


def off_zero(*shapes: tuple[int, ...]) -> Callable[[np.random.Generator], tuple[Any, ...]]:
    def draw(rng: np.random.Generator) -> tuple[Any, ...]:
        values = [rng.normal(size=shape) for shape in shapes]
        return tuple(value + np.copysign(0.1, value) for value in values)

    return draw


def both(*parts: Callable[[np.random.Generator], tuple[Any, ...]]) -> Callable[[np.random.Generator], tuple[Any, ...]]:
    return lambda rng: tuple(array for part in parts for array in part(rng))


def labels(*shape: int, ignored: int | None = None) -> Callable[[np.random.Generator], tuple[Any, ...]]:
    def draw(rng: np.random.Generator) -> tuple[Any, ...]:
        drawn = rng.integers(CLASSES, size=shape)
        if ignored is not None:
            drawn.reshape(-1)[1] = ignored
        return (drawn,)

    return draw


def one_hot(*shape: int, axis: int = -1) -> Callable[[np.random.Generator], tuple[Any, ...]]:
    return lambda rng: (np.moveaxis(np.eye(CLASSES)[rng.integers(CLASSES, size=shape)], -1, axis),)


def probabilities(*shape: int) -> Callable[[np.random.Generator], tuple[Any, ...]]:
    return lambda rng: (rng.dirichlet(np.ones(CLASSES), size=shape),)


def _linear(torch, x, weight, bias=None):
    y = x @ weight
    return y if bias is None else y + bias


def _reduced(values, reduction):
    return {"none": lambda: values, "sum": values.sum, "mean": values.mean}[reduction]()


def _kl(torch, mean, variance, reduction="mean"):
    d = torch.distributions
    one = d.Normal(torch.zeros_like(mean), torch.ones_like(mean))
    return _reduced(d.kl_divergence(d.Normal(mean, variance.sqrt()), one).sum(1), reduction)


def _last(torch, logits, *rest, **options):
    return torch.nn.functional.cross_entropy(torch.movedim(logits, -1, 1), *rest, **options)


def _differentiable_weights(torch, logits, weight, target):
    # PyTorch does not differentiate for the class weights, so the definition itself.
    log_p = torch.log_softmax(logits, 1)[torch.arange(len(target)), target]
    return -(weight[target] * log_p).sum() / weight[target].sum()


FUNCTIONS = [
    Row("linear", F.linear, normal((4, 3), (3, 2), (2,)), _linear, unbatched=(1, 2)),
    Row("linear-without-bias", F.linear, normal((4, 3), (3, 2)), _linear, unbatched=(1,)),
    Row("linear-3d", F.linear, normal((4, 2, 3), (3, 2), (2,)), _linear, unbatched=(1, 2)),
    Row("linear-1d", F.linear, normal((3,), (3, 2), (2,)), _linear, batch=None),
    Row("relu", F.relu, off_zero((4, 3)), lambda torch, x: torch.relu(x)),
    Row("sigmoid", F.sigmoid, normal((4, 3)), lambda torch, x: torch.sigmoid(x)),
    Row("exponential", F.exponential, normal((4, 3)), lambda torch, x: torch.exp(x)),
    Row("softmax", F.softmax, normal((4, 3)), lambda torch, x: torch.softmax(x, -1)),
    Row("softmax-1d", F.softmax, normal((3,)), lambda torch, x: torch.softmax(x, -1), batch=None),
    Row(
        "softmax-axis-1",
        lambda x: F.softmax(x, axis=1),
        normal((4, 3, 2)),
        lambda torch, x: torch.softmax(x, 1),
    ),
    Row("log_softmax", F.log_softmax, normal((4, 3)), lambda torch, x: torch.log_softmax(x, -1)),
    Row(
        "log_softmax-axis-0",
        lambda x: F.log_softmax(x, axis=0),
        normal((4, 3)),
        lambda torch, x: torch.log_softmax(x, 0),
        batch=None,
    ),
    Row("erf", F.erf, lambda rng: (rng.normal(size=(4, 3)) * 2,), lambda torch, x: torch.special.erf(x)),
    Row("logsumexp", F.logsumexp, normal((4, 3)), lambda torch, x: torch.logsumexp(x, (0, 1)), batch=None),
    Row(
        "logsumexp-axis-1",
        lambda x: F.logsumexp(x, axis=1, keepdims=True),
        normal((4, 3, 2)),
        lambda torch, x: torch.logsumexp(x, 1, keepdim=True),
    ),
    Row(
        "one_hot",  # it has no derivative itself, so a product with it
        lambda x, index: x * F.one_hot(index, CLASSES, dtype=nnx.backend.dtype_name(x.dtype)),
        normal((4, CLASSES)),
        lambda torch, x, index: x * torch.nn.functional.one_hot(index, CLASSES).to(x.dtype),
        labels(4),
    ),
    Row(
        "gather",
        lambda x, index: F.gather(x, index, axis=1),
        normal((4, CLASSES, 2)),
        lambda torch, x, index: torch.gather(x, 1, index),
        labels(4, 5, 2),
    ),
    Row(
        "index_add",
        lambda x, values, index: F.index_add(x, index, values, axis=1),
        normal((4, CLASSES, 2), (4, 5, 2)),
        lambda torch, x, values, index: torch.index_add(x, 1, index, values),
        labels(5),
        unbatched=(2,),
    ),
    Row(
        "reparameterize",
        F.reparameterize,
        both(normal((4, 3)), positive((4, 3)), normal((4, 3))),
        lambda torch, mean, variance, noise: mean + torch.sqrt(variance) * noise,
    ),
    *(
        Row(
            f"mse-{reduction}",
            lambda x, t, r=reduction: F.mse(x, t, reduction=r),
            normal((4, 3), (4, 3)),
            lambda torch, x, t, r=reduction: torch.nn.functional.mse_loss(x, t, reduction=r),
            batch={"none": "concat"}.get(reduction, reduction),
        )
        for reduction in ("mean", "sum", "none")
    ),
    *(
        Row(
            f"mses-{reduction}",
            lambda x, t, r=reduction: F.mses(x, t, reduction=r),
            both(normal((4, CLASSES)), probabilities(4)),
            lambda torch, x, t, r=reduction: torch.nn.functional.mse_loss(torch.softmax(x, 1), t, reduction=r),
            batch={"none": "concat"}.get(reduction, reduction),
        )
        for reduction in ("mean", "sum", "none")
    ),
    Row(
        "mses-axis-last",
        lambda x, t: F.mses(x, t, axis=-1),
        both(normal((4, 2, CLASSES)), probabilities(4, 2)),
        lambda torch, x, t: torch.nn.functional.mse_loss(torch.softmax(x, -1), t),
        batch="mean",
    ),
    *(
        Row(
            f"kl-{reduction}",
            lambda m, v, r=reduction: F.kl_divergence_standard_normal(m, v, reduction=r),
            both(normal((4, 3)), positive((4, 3))),
            lambda torch, m, v, r=reduction: _kl(torch, m, v, r),
            batch={"none": "concat"}.get(reduction, reduction),
        )
        for reduction in ("mean", "sum", "none")
    ),
]


def cross_entropy_row(
    id: str,
    inputs: Callable[[np.random.Generator], tuple[Any, ...]],
    constants: Callable[[np.random.Generator], tuple[Any, ...]] = lambda rng: (),
    *,
    batch: str | None,
    weighted: bool = False,
    last: bool = False,
    **options: Any,
) -> Row:
    """Return a row; with ``weighted`` the first constant is the weight of the classes, which comes last in a call."""

    def call(logits, *rest):
        weight, target = rest if weighted else (None, *rest)
        return F.cross_entropy(logits, target, weight, axis=-1 if last else 1, **options)

    def by_torch(torch, logits, *rest):
        weight, target = rest if weighted else (None, *rest)
        function = _last if last else lambda torch, *args, **kw: torch.nn.functional.cross_entropy(*args, **kw)
        return function(torch, logits, target, weight, **options)

    unbatched = (1,) if weighted else ()
    return Row(f"cross_entropy-{id}", call, inputs, by_torch, constants, batch=batch, unbatched=unbatched)


LOGITS = normal((4, CLASSES))
WEIGHT = positive((CLASSES,))
IMAGES = normal((2, CLASSES, 2, 2))

FUNCTIONS += [
    cross_entropy_row("mean", LOGITS, labels(4), batch="mean"),
    cross_entropy_row("sum", LOGITS, labels(4), batch="sum", reduction="sum"),
    cross_entropy_row("none", LOGITS, labels(4), batch="concat", reduction="none"),
    cross_entropy_row("one-hot", LOGITS, one_hot(4), batch="mean"),
    cross_entropy_row("probabilities", both(LOGITS, probabilities(4)), batch="mean"),
    cross_entropy_row("probabilities-none", both(LOGITS, probabilities(4)), batch="concat", reduction="none"),
    cross_entropy_row("probabilities-smooth", both(LOGITS, probabilities(4)), batch="mean", label_smoothing=0.1),
    cross_entropy_row("probabilities-weight", LOGITS, both(WEIGHT, probabilities(4)), weighted=True, batch="mean"),
    cross_entropy_row("weight", LOGITS, both(WEIGHT, labels(4)), weighted=True, batch=None),
    cross_entropy_row("weight-sum", LOGITS, both(WEIGHT, labels(4)), weighted=True, batch="sum", reduction="sum"),
    cross_entropy_row("weight-none", LOGITS, both(WEIGHT, labels(4)), weighted=True, batch="concat", reduction="none"),
    cross_entropy_row("ignore", LOGITS, labels(4, ignored=-100), batch=None),
    cross_entropy_row("ignore-other", LOGITS, labels(4, ignored=7), batch=None, ignore_index=7),
    cross_entropy_row("ignore-none", LOGITS, labels(4, ignored=-100), batch="concat", reduction="none"),
    cross_entropy_row("smooth", LOGITS, labels(4), batch="mean", label_smoothing=0.2),
    cross_entropy_row(
        "smooth-weight-ignore",
        LOGITS,
        both(WEIGHT, labels(4, ignored=-100)),
        weighted=True,
        batch=None,
        label_smoothing=0.2,
    ),
    cross_entropy_row("images", IMAGES, labels(2, 2, 2), batch="mean"),
    cross_entropy_row("images-one-hot", IMAGES, one_hot(2, 2, 2, axis=1), batch="mean"),
    cross_entropy_row(
        "images-weight", IMAGES, both(WEIGHT, labels(2, 2, 2)), weighted=True, batch="concat", reduction="none"
    ),
    cross_entropy_row("last", normal((4, 2, CLASSES)), labels(4, 2), batch="mean", last=True),
    Row(
        "cross_entropy-differentiable-weight",
        lambda logits, weight, target: F.cross_entropy(logits, target, weight),
        both(LOGITS, WEIGHT),
        _differentiable_weights,
        labels(4),
        batch=None,
    ),
]

FUNCTIONS += [
    *(
        Row(
            f"einsum-{name}",
            lambda *xs, s=subscripts: F.einsum(s, *xs),
            normal(*shapes),
            lambda torch, *xs, s=subscripts: torch.einsum(s, *xs),
            batch=batch,
            unbatched=unbatched,
        )
        for name, subscripts, shapes, batch, unbatched in (
            ("product", "bij,bjk->bik", ((4, 2, 3), (4, 3, 2)), "concat", ()),
            ("implicit", "ij,jk", ((4, 3), (3, 2)), "concat", (1,)),
            ("trace", "bii->b", ((4, 3, 3),), "concat", ()),
            ("three", "bi,ij,bj->b", ((4, 3), (3, 2), (4, 2)), "concat", (1,)),
        )
    ),
    Row(
        "pad",
        lambda x: F.pad(x, [(0, 0), (1, 2)], value=0.5),
        normal((4, 3)),
        lambda torch, x: torch.nn.functional.pad(x, (1, 2), value=0.5),
    ),
    Row(
        "sliding_window",
        lambda x: F.sliding_window(x, 3, axis=1, step=2),
        normal((4, 8, 2)),
        lambda torch, x: x.unfold(1, 3, 2),
    ),
]


def _layer(id: str, make: Callable[[str], nnx.Module], inputs: Any, torch: Any, **options: Any) -> Row:
    return Row(f"layer-{id}", lambda module, *xs: module(*xs), inputs, torch, make=make, **options)


def _mlp(dtype: str) -> nnx.Module:
    rng = np.random.default_rng(3)
    first, last = nnx.Linear(3, 4, rng=rng, dtype=dtype), nnx.Linear(4, 2, rng=rng, dtype=dtype)
    return nnx.Model([first, nnx.Sequential([nnx.Sigmoid(), last]), nnx.Softmax()])


def _mlp_torch(torch, p, x):
    hidden = torch.sigmoid(x @ p["0.weight"] + p["0.bias"])
    return torch.softmax(hidden @ p["1.1.weight"] + p["1.1.bias"], -1)


def _tied(dtype: str) -> nnx.Module:
    shared = nnx.Linear(3, 3, rng=5, dtype=dtype)
    return nnx.Sequential([shared, nnx.Sigmoid(), shared])


def _tied_torch(torch, p, x):
    return torch.sigmoid(x @ p["0.weight"] + p["0.bias"]) @ p["0.weight"] + p["0.bias"]


LAYERS = [
    _layer(
        "Linear",
        lambda dtype: nnx.Linear(3, 2, rng=0, dtype=dtype),
        normal((4, 3)),
        lambda torch, p, x: torch.nn.functional.linear(x, p["weight"].T, p["bias"]),
        repr="Linear(in_features=3, out_features=2)",
    ),
    _layer(
        "Linear-without-bias",
        lambda dtype: nnx.Linear(3, 2, bias=False, rng=0, dtype=dtype),
        normal((4, 3)),
        lambda torch, p, x: torch.nn.functional.linear(x, p["weight"].T),
        repr="Linear(in_features=3, out_features=2, bias=False)",
    ),
    _layer(
        "Linear-3d",
        lambda dtype: nnx.Linear(3, 2, rng=0, dtype=dtype),
        normal((4, 2, 3)),
        lambda torch, p, x: torch.nn.functional.linear(x, p["weight"].T, p["bias"]),
    ),
    _layer("ReLU", lambda _: nnx.ReLU(), off_zero((4, 3)), lambda torch, p, x: torch.relu(x), repr="ReLU()"),
    _layer("Sigmoid", lambda _: nnx.Sigmoid(), normal((4, 3)), lambda torch, p, x: torch.sigmoid(x), repr="Sigmoid()"),
    _layer(
        "Exponential", lambda _: nnx.Exponential(), normal((4, 3)), lambda torch, p, x: x.exp(), repr="Exponential()"
    ),
    _layer(
        "Softmax", lambda _: nnx.Softmax(), normal((4, 3)), lambda torch, p, x: torch.softmax(x, -1), repr="Softmax()"
    ),
    _layer(
        "Softmax-axis-1",
        lambda _: nnx.Softmax(axis=1),
        normal((4, 3, 2)),
        lambda torch, p, x: torch.softmax(x, 1),
        repr="Softmax(axis=1)",
    ),
    _layer(
        "Reparameterization-eval",
        lambda _: nnx.Reparameterization(seed=7).eval(),
        both(normal((4, 3)), positive((4, 3))),
        lambda torch, p, mean, variance: mean + 0.0 * variance,
        repr="Reparameterization(seed=7)",
    ),
    _layer(
        "Sequential",
        _mlp,
        normal((4, 3)),
        _mlp_torch,
        repr="Sequential(\n  (0): Linear(in_features=3, out_features=4)\n  (1): Sequential(\n    (0): Sigmoid()\n"
        "    (1): Linear(in_features=4, out_features=2)\n  )\n  (2): Softmax()\n)",
    ),
    _layer("Sequential-tied", _tied, normal((4, 3)), _tied_torch),
]


def _loss(id: str, loss: nnx.Loss, inputs: Any, torch: Any, constants: Any = lambda rng: (), **options: Any) -> Row:
    return Row(f"loss-{id}", loss, inputs, torch, constants, loss=True, batch="mean", **options)


LOSSES = [
    _loss(
        "MSE",
        nnx.MSE(),
        normal((4, 3)),
        lambda torch, x, t: torch.nn.functional.mse_loss(x, t),
        normal((4, 3)),
        repr="MSE(reduction='mean')",
    ),
    _loss(
        "MSES",
        nnx.MSES(),
        LOGITS,
        lambda torch, x, t: torch.nn.functional.mse_loss(torch.softmax(x, 1), t),
        one_hot(4),
        repr="MSES(reduction='mean', axis=1)",
    ),
    _loss(
        "CrossEntropy",
        nnx.CrossEntropy(label_smoothing=0.1),
        LOGITS,
        lambda torch, x, t: torch.nn.functional.cross_entropy(x, t, label_smoothing=0.1),
        labels(4),
        repr="CrossEntropy(reduction='mean', weight=None, axis=1, ignore_index=-100, label_smoothing=0.1)",
    ),
    _loss(
        "KLDivergenceStandardNormal",
        nnx.KLDivergenceStandardNormal(),
        both(normal((4, 3)), positive((4, 3))),
        _kl,
        repr="KLDivergenceStandardNormal(reduction='mean')",
    ),
]

ROWS = [*FUNCTIONS, *LAYERS, *LOSSES]
