"""Optimizers: a row for each set of hyperparameters that takes a path of its own."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import nnx
from rows.record import Capability


@dataclass(frozen=True)
class OptimizerRow:
    """An optimizer with hyperparameters, those of PyTorch's, and how it prints itself."""

    id: str
    make: type[nnx.optimizers.Optimizer]
    torch: str
    options: dict[str, Any] = field(default_factory=dict)
    torch_options: dict[str, Any] | None = None
    learning_rate: float = 0.1
    repr: str | None = None
    torch_groups: Callable[[list[Any]], list[Any]] = lambda parameters: parameters
    keeps_wide_state: bool = False
    batch: None = None

    def build(self, model: nnx.Module) -> nnx.optimizers.Optimizer:
        return self.make(model, self.learning_rate, **self.options)

    def build_torch(self, torch: Any, parameters: list[Any]) -> Any:
        options = self.options if self.torch_options is None else self.torch_options
        return getattr(torch.optim, self.torch)(self.torch_groups(parameters), lr=self.learning_rate, **options)


_BETAS = "betas=(0.9, 0.999), eps=1e-08"


def _sgd(id: str, **options: Any) -> OptimizerRow:
    numbers = {"momentum": 0.0, "nesterov": False, "weight_decay": 0.0} | options
    shown = ", ".join(f"{name}={value!r}" for name, value in numbers.items())
    return OptimizerRow(id, nnx.SGD, "SGD", options, keeps_wide_state=True, repr=f"SGD(learning_rate=0.1, {shown})")


def _adam(id: str, make: type[nnx.optimizers.Optimizer] = nnx.Adam, **options: Any) -> OptimizerRow:
    return OptimizerRow(id, make, make.__name__, options, learning_rate=0.01, keeps_wide_state=True)


def _without_decay(parameters: list[Any]) -> list[Any]:
    """The second of the three parameters, 0.bias, does not decay."""
    return [{"params": parameters[::2]}, {"params": parameters[1:2], "weight_decay": 0.0}]


CAPABILITIES = [
    Capability(
        "SGD",
        "gradients by dotted path, one for each parameter",
        "torch.optim.SGD",
        dtypes=("half", "real"),
        derivatives="-",
        rows=(
            _sgd("SGD"),
            _sgd("SGD-decay", weight_decay=0.01),
            _sgd("SGD-momentum", momentum=0.9),
            _sgd("SGD-momentum-decay", momentum=0.9, weight_decay=0.01),
            _sgd("SGD-nesterov", momentum=0.5, nesterov=True, weight_decay=0.01),
        ),
    ),
    Capability(
        "Adam",
        "gradients by dotted path, one for each parameter",
        "torch.optim.Adam",
        dtypes=("half", "real"),
        derivatives="-",
        rows=(
            replace(_adam("Adam"), repr=f"Adam(learning_rate=0.01, {_BETAS}, weight_decay=0.0, amsgrad=False)"),
            _adam("Adam-decay", betas=(0.5, 0.9), eps=1e-4, weight_decay=0.1),
        ),
    ),
    Capability(
        "AdamW",
        "gradients by dotted path, one for each parameter",
        "torch.optim.AdamW",
        dtypes=("half", "real"),
        derivatives="-",
        rows=(
            replace(
                _adam("AdamW", nnx.AdamW), repr=f"AdamW(learning_rate=0.01, {_BETAS}, weight_decay=0.01, amsgrad=False)"
            ),
            replace(
                _adam("AdamW-no-decay", nnx.AdamW, weight_decay=0.5, no_decay="*bias"),
                torch_options={"weight_decay": 0.5},
                torch_groups=_without_decay,
            ),
        ),
    ),
]
