"""Optimizers: a row for each set of hyperparameters that takes a path of its own."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

import nnx
from rows.record import Capability

Formula = Callable[..., list[Any]]


@dataclass(frozen=True)
class OptimizerRow:
    """An optimizer with hyperparameters, those of PyTorch's, and how it prints itself.

    Where PyTorch has no such optimizer, ``formula(weights, gradients, learning_rate, **options)`` takes a list of
    weights and, for each step, a list of gradients, all of NumPy, and returns the weights after all steps.
    """

    id: str
    make: type[nnx.optimizers.Optimizer]
    torch: str = ""
    options: dict[str, Any] = field(default_factory=dict)
    torch_options: dict[str, Any] | None = None
    learning_rate: float = 0.1
    repr: str | None = None
    torch_groups: Callable[[list[Any]], list[Any]] = lambda parameters: parameters
    formula: Formula | None = None
    keeps_wide_state: bool = True
    batch: None = None

    def build(self, model: nnx.Module) -> nnx.optimizers.Optimizer:
        return self.make(model, self.learning_rate, **self.options)

    def trajectory(self, weights: list[Any], gradients: list[list[Any]], torch: Any) -> list[Any]:
        """Return the weights after all steps, as PyTorch or the formula has them."""
        if self.formula is not None:
            return self.formula(weights, gradients, self.learning_rate, **self.options)
        options = self.options if self.torch_options is None else self.torch_options
        before = torch.get_default_dtype()
        torch.set_default_dtype(torch.float64)  # in which NAdam keeps the product of its momenta
        try:
            return self._steps_of_torch(weights, gradients, torch, options)
        finally:
            torch.set_default_dtype(before)

    def _steps_of_torch(
        self, weights: list[Any], gradients: list[list[Any]], torch: Any, options: dict[str, Any]
    ) -> list[Any]:
        tensors = [torch.tensor(w) for w in weights]
        optimizer = getattr(torch.optim, self.torch)(self.torch_groups(tensors), lr=self.learning_rate, **options)
        for of_step in gradients:
            for tensor, gradient in zip(tensors, of_step, strict=True):
                tensor.grad = torch.tensor(gradient)
            optimizer.step()
        return [tensor.numpy() for tensor in tensors]


def capability(name: str, *rows: OptimizerRow, torch: str | None = None) -> Capability:
    """Return the record of an optimizer."""
    return Capability(
        name,
        "gradients by dotted path, one for each parameter",
        torch or ("the formula" if rows[0].formula else f"torch.optim.{rows[0].torch}"),
        dtypes=("half", "real"),
        derivatives="-",
        rows=rows,
    )


def _lion(
    weights: Sequence[Any],
    gradients: Sequence[Sequence[Any]],
    learning_rate: float,
    betas: tuple[float, float] = (0.9, 0.99),
    weight_decay: float = 0.0,
) -> list[Any]:
    """Program 1 of Chen et al., 2023."""
    found = []
    for i, w in enumerate(weights):
        m = np.zeros_like(w)
        for of_step in gradients:
            update = np.sign(betas[0] * m + (1 - betas[0]) * of_step[i])
            m = m * betas[1] + of_step[i] * (1 - betas[1])
            w = w - learning_rate * (update + weight_decay * w)
        found.append(w)
    return found


def _lamb(
    weights: Sequence[Any],
    gradients: Sequence[Sequence[Any]],
    learning_rate: float,
    betas: tuple[float, float] = (0.9, 0.999),
    eps: float = 1e-6,
    weight_decay: float = 0.01,
) -> list[Any]:
    """Algorithm 2 of You et al., 2020, with both moments in closed form: as weighted sums of all gradients so far."""
    found = []
    for i, w in enumerate(weights):
        given = np.stack([of_step[i] for of_step in gradients])
        for t in range(1, len(given) + 1):
            age = np.arange(t)[::-1].reshape(-1, *[1] * w.ndim)
            m, v = (
                np.sum((1 - beta) * beta**age * given[:t] ** power, axis=0) / (1 - beta**t)
                for power, beta in enumerate(betas, 1)
            )
            u = m / (np.sqrt(v) + eps) + weight_decay * w
            sizes = np.linalg.norm(w), np.linalg.norm(u)
            w = w - learning_rate * (sizes[0] / sizes[1] if all(sizes) else 1.0) * u
        found.append(w)
    return found


def _muon(
    weights: Sequence[Any],
    gradients: Sequence[Sequence[Any]],
    learning_rate: float,
    adamw: str = "",
    momentum: float = 0.95,
    nesterov: bool = True,
    weight_decay: float = 0.1,
    match_rms_adamw: bool = True,
    betas: tuple[float, float] = (0.9, 0.999),
    eps: float = 1e-8,
) -> list[Any]:
    """Muon by singular values, of which the iteration is a polynomial, for (in, out) matrices; and AdamW."""
    found = []
    for i, w in enumerate(weights):
        m, v = np.zeros_like(w), np.zeros_like(w)
        is_matrix = w.ndim > 1
        decay = momentum if is_matrix else betas[0]
        for t, of_step in enumerate(gradients, 1):
            g = of_step[i]
            m, v = m + (1 - decay) * (g - m), betas[1] * v + (1 - betas[1]) * g * g
            if is_matrix:
                u, s, vt = np.linalg.svd(g + momentum * (m - g) if nesterov else m, full_matrices=False)
                s = s / np.linalg.norm(s)
                for _ in range(5):
                    s = 3.4445 * s - 4.7750 * s**3 + 2.0315 * s**5
                rows, columns = w.shape
                scale = 0.2 * max(rows, columns) ** 0.5 if match_rms_adamw else max(1, columns / rows) ** 0.5
                change = scale * (u * s) @ vt
            else:
                change = m / (1 - betas[0] ** t) / (np.sqrt(v / (1 - betas[1] ** t)) + eps)
            w = w - learning_rate * (change + weight_decay * w)
        found.append(w)
    return found


_BETAS = "betas=(0.9, 0.999), eps=1e-08"


def _sgd(id: str, **options: Any) -> OptimizerRow:
    numbers = {"momentum": 0.0, "nesterov": False, "weight_decay": 0.0} | options
    shown = ", ".join(f"{name}={value!r}" for name, value in numbers.items())
    return OptimizerRow(id, nnx.SGD, "SGD", options, repr=f"SGD(learning_rate=0.1, {shown})")


def _row(
    make: type[nnx.optimizers.Optimizer], what: str = "", rate: float = 0.01, shown: str | None = None, **options: Any
) -> OptimizerRow:
    name = make.__name__
    text = None if shown is None else f"{name}(learning_rate={rate!r}, {shown})"
    return OptimizerRow(f"{name}-{what}" if what else name, make, name, options, learning_rate=rate, repr=text)


def _without_decay(parameters: list[Any]) -> list[Any]:
    """The second of the three parameters, 0.bias, does not decay."""
    return [{"params": parameters[::2]}, {"params": parameters[1:2], "weight_decay": 0.0}]


_OTHER = {"betas": (0.5, 0.9), "eps": 1e-4, "weight_decay": 0.1}

CAPABILITIES = [
    capability(
        "SGD",
        _sgd("SGD"),
        _sgd("SGD-decay", weight_decay=0.01),
        _sgd("SGD-momentum", momentum=0.9),
        _sgd("SGD-momentum-decay", momentum=0.9, weight_decay=0.01),
        _sgd("SGD-nesterov", momentum=0.5, nesterov=True, weight_decay=0.01),
    ),
    capability(
        "Adam",
        _row(nnx.Adam, shown=f"{_BETAS}, weight_decay=0.0, amsgrad=False"),
        _row(nnx.Adam, "decay", **_OTHER),
        _row(nnx.Adam, "amsgrad", amsgrad=True, betas=(0.5, 0.6)),
    ),
    capability(
        "AdamW",
        _row(nnx.AdamW, shown=f"{_BETAS}, weight_decay=0.01, amsgrad=False"),
        replace(
            _row(nnx.AdamW, "no-decay", weight_decay=0.5, amsgrad=True, no_decay="*bias"),
            torch_options={"weight_decay": 0.5, "amsgrad": True},
            torch_groups=_without_decay,
        ),
    ),
    capability(
        "NAdam",
        _row(nnx.NAdam, shown=f"{_BETAS}, weight_decay=0.0, momentum_decay=0.004"),
        _row(nnx.NAdam, "decay", **_OTHER, momentum_decay=0.5),
        _row(nnx.NAdam, "constant", momentum_decay=0.0),
    ),
    capability(
        "RAdam",
        _row(nnx.RAdam, shown=f"{_BETAS}, weight_decay=0.0"),
        _row(nnx.RAdam, "decay", **_OTHER),
        _row(nnx.RAdam, "never-rectified", betas=(0.9, 0.5)),
    ),
    capability(
        "Adamax",
        _row(nnx.Adamax, shown=f"{_BETAS}, weight_decay=0.0"),
        _row(nnx.Adamax, "decay", **_OTHER),
    ),
    capability(
        "RMSprop",
        _row(nnx.RMSprop, shown="rho=0.99, momentum=0.0, centered=False, eps=1e-08, weight_decay=0.0"),
        replace(
            _row(nnx.RMSprop, "momentum", rho=0.9, momentum=0.5, eps=1e-3, weight_decay=0.1),
            torch_options={"alpha": 0.9, "momentum": 0.5, "eps": 1e-3, "weight_decay": 0.1},
        ),
        _row(nnx.RMSprop, "centered", centered=True),
        _row(nnx.RMSprop, "centered-momentum", centered=True, momentum=0.9),
    ),
    capability(
        "Adagrad",
        _row(nnx.Adagrad, rate=0.1, shown="initial_accumulator_value=0.0, eps=1e-10, weight_decay=0.0"),
        _row(nnx.Adagrad, "decay", rate=0.1, initial_accumulator_value=0.5, eps=1e-3, weight_decay=0.1),
    ),
    capability(
        "Adadelta",
        _row(nnx.Adadelta, rate=1.0, shown="rho=0.9, eps=1e-06, weight_decay=0.0"),
        _row(nnx.Adadelta, "decay", rate=0.5, rho=0.5, eps=1e-3, weight_decay=0.1),
    ),
    capability(
        "Lion",
        replace(_row(nnx.Lion, shown="betas=(0.9, 0.99), weight_decay=0.0"), formula=_lion),
        replace(_row(nnx.Lion, "decay", betas=(0.5, 0.9), weight_decay=0.1), formula=_lion),
    ),
    capability(
        "LAMB",
        replace(_row(nnx.LAMB, shown="betas=(0.9, 0.999), eps=1e-06, weight_decay=0.01"), formula=_lamb),
        replace(_row(nnx.LAMB, "no-decay", betas=(0.5, 0.9), eps=1e-4, weight_decay=0.0), formula=_lamb),
    ),
    capability(
        "Adafactor",
        _row(
            nnx.Adafactor,
            shown="beta2_decay=-0.8, eps=(None, 0.001), clip_threshold=1.0, weight_decay=0.0, relative_step=True, "
            "scale_parameter=True",
        ),
        replace(
            _row(nnx.Adafactor, "decay", 0.5, beta2_decay=-0.5, eps=(0.1, 0.5), clip_threshold=1.5, weight_decay=0.1),
            torch_options={"beta2_decay": -0.5, "eps": (0.1, 0.5), "d": 1.5, "weight_decay": 0.1},
        ),
    ),
    capability(
        "Muon",
        replace(
            _row(
                nnx.Muon,
                shown="momentum=0.95, weight_decay=0.1, betas=(0.9, 0.999), eps=1e-08, nesterov=True, "
                "match_rms_adamw=True, orthogonalize=True, coefficients=(3.4445, -4.775, 2.0315), iterations=5, "
                "adamw=None",
            ),
            formula=_muon,
        ),
        replace(
            _row(
                nnx.Muon,
                "original",
                momentum=0.5,
                nesterov=False,
                match_rms_adamw=False,
                weight_decay=0.0,
                adamw="*bias",
            ),
            formula=_muon,
        ),
        torch="torch.optim.Muon",
    ),
    Capability(
        "LBFGS",
        "a function that returns the value and the gradients",
        "torch.optim.LBFGS",
        dtypes=("half", "real"),
        derivatives="-",
        rows=(),  # no row of the battery, whose steps take gradients: tests/optimizers/test_lbfgs.py
    ),
]
