"""Optimizers: a row for each set of hyperparameters that takes a path of its own."""

from dataclasses import dataclass, field
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
    batch: None = None

    def build(self, model: nnx.Module) -> nnx.optimizers.Optimizer:
        return self.make(model, self.learning_rate, **self.options)

    def build_torch(self, torch: Any, parameters: list[Any]) -> Any:
        options = self.options if self.torch_options is None else self.torch_options
        return getattr(torch.optim, self.torch)(parameters, lr=self.learning_rate, **options)


def _sgd(id: str, **options: Any) -> OptimizerRow:
    numbers = {"momentum": 0.0, "nesterov": False, "weight_decay": 0.0} | options
    shown = ", ".join(f"{name}={value!r}" for name, value in numbers.items())
    return OptimizerRow(id, nnx.SGD, "SGD", options, repr=f"SGD(learning_rate=0.1, {shown})")


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
]
