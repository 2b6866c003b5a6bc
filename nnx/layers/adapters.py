"""Low-rank adapters: fine-tune a linear layer by a change of its weight that has few parameters."""

from typing import Any, ClassVar, TypeVar

from nnx import functional
from nnx.backend import generator, namespace
from nnx.errors import ArgumentError
from nnx.functional.checks import as_integer, as_nonnegative
from nnx.initializers import Initializer
from nnx.layers.freezing import freeze
from nnx.layers.linear import Linear
from nnx.layers.module import Module
from nnx.layers.open_sizes import InitialValues
from nnx.layers.parameter import Parameter
from nnx.layers.patterns import as_patterns, chosen
from nnx.layers.surgery import replace
from nnx.types import Array

M = TypeVar("M", bound=Module)


class LoRA(Module):
    r"""A linear layer with a low-rank change of its weight: :math:`y = x W + b + \frac{\alpha}{r} x A B`.

    The layer itself is frozen, and only :math:`A` and :math:`B` are trained. At first :math:`B` is zero, so that the
    output is that of the layer.

    Parameters
    ----------
    base : Linear
        The layer, which is frozen in place; its parameters are under the path ``base``.
    rank : int
        :math:`r`, the number of columns of :math:`A`.
    alpha : float, optional
        :math:`\alpha`; default ``rank``, for a factor of 1.
    initializer : Initializer, optional
        Draws :math:`A`; default :class:`nnx.initializers.HeNormal`.
    rng : int or NumPy Generator, optional
        Source of :math:`A`; by default the system's entropy.

    Attributes
    ----------
    base : Linear
    down : array, shape (in_features, rank)
        :math:`A`.
    up : array, shape (rank, out_features)
        :math:`B`.

    Raises
    ------
    ArgumentError
        If ``base`` is not a :class:`Linear`, has an open size, or a weight that is tied to another; if ``rank`` is not
        an integer of at least 1, or ``alpha`` is negative or not finite.

    Notes
    -----
    Source: E. Hu et al., "LoRA: Low-rank adaptation of large language models", ICLR 2022.

    Examples
    --------
    >>> import numpy as np, nnx
    >>> layer = nnx.LoRA(nnx.Linear(8, 4, rng=0), rank=2, rng=1)
    >>> list(layer.parameters()), list(layer.trainable_parameters())
    (['down', 'up', 'base.weight', 'base.bias'], ['down', 'up'])
    """

    _freezes: ClassVar[bool] = True

    def __init__(
        self,
        base: Linear,
        rank: int,
        alpha: float | None = None,
        *,
        initializer: Initializer | None = None,
        rng: Any = None,
    ) -> None:
        if not isinstance(base, Linear) or base._ties:
            what = "a tied one, " if isinstance(base, Linear) else ""
            raise ArgumentError(f"expected a Linear layer to adapt, got {what}{base!r}")
        if not base.is_settled:
            raise ArgumentError(f"expected a Linear layer to adapt, got one with an open size, {base}; call it on data")
        self.rank = as_integer(rank, "rank", 1)
        self.alpha = None if alpha is None else as_nonnegative(alpha, "alpha")
        self.base = freeze(base)
        weight: Any = base.weight
        rows, columns = weight.shape
        values = InitialValues(initializer, rng, weight.dtype, weight)
        self.down: Array = Parameter(values.drawn((rows, self.rank), rows, self.rank))
        self.up: Array = Parameter(values.full((self.rank, columns), 0.0))

    @property
    def factor(self) -> float:
        r"""The factor of the change, :math:`\alpha / r`."""
        return 1.0 if self.alpha is None else self.alpha / self.rank

    def forward(self, x: Array) -> Array:
        """Map (..., in_features) to (..., out_features)."""
        return self.base(x) + functional.linear(self.factor * functional.linear(x, self.down), self.up)

    def merge(self) -> Linear:
        r"""Add the change to the weight of the layer, which becomes :math:`W + \frac{\alpha}{r} A B`; return the layer.

        The change is then zero, so that the output stays the same up to rounding. The layer is still frozen.
        """
        self._refuse_change("merge")
        up = self.up
        self.base.weight = self.base.weight + self.factor * (self.down @ up)
        self.up = namespace(up).zeros_like(up)
        return self.base


def add_lora(
    model: M,
    *patterns: str,
    rank: int,
    alpha: float | None = None,
    initializer: Initializer | None = None,
    rng: Any = None,
) -> M:
    """Put a :class:`LoRA` around linear layers of a model, in place.

    These layers are frozen by it, and the others are not: call ``nnx.freeze(model)`` before to train the adapters
    alone.

    Parameters
    ----------
    model : Module
    *patterns : str
        Patterns of the paths of the layers, as in :func:`nnx.freeze`; those of other layers that match are left as they
        are, and so are linear layers with a weight that is tied to that of another. Without a pattern, all linear
        layers.
    rank, alpha, initializer, rng
        Those of each :class:`LoRA`; one generator for all.

    Returns
    -------
    Module
        The model, whose parameter ``"0.weight"`` now has the path ``"0.base.weight"``. So a state that was saved before
        is loaded before.

    Raises
    ------
    ArgumentError
        If a pattern matches no linear layer, or the model is a linear layer itself.

    Examples
    --------
    >>> import nnx
    >>> model = nnx.Model([nnx.Linear(8, 4, rng=0), nnx.ReLU(), nnx.Linear(4, 2, rng=1)])
    >>> list(nnx.add_lora(nnx.freeze(model), "0", rank=2, rng=2).trainable_parameters())
    ['0.down', '0.up']
    >>> nnx.merge_lora(model)[0]
    Linear(in_features=8, out_features=4, frozen=['weight', 'bias'])
    """
    found = {path: module for path, module in model.named_modules() if isinstance(module, Linear)}
    adapted = {id(module.base) for _, module in model.named_modules() if isinstance(module, LoRA)}
    free = {path: m for path, m in found.items() if path and id(m) not in adapted and not m._ties}
    if not free:
        raise ArgumentError(
            f"expected a model with linear layers that have no adapter yet and no tie, got a {type(model).__name__}"
            + ("; write nnx.LoRA(layer, rank)" if isinstance(model, Linear) else "")
        )
    wanted = chosen(tuple(free), as_patterns(patterns, "add_lora"), "add_lora") if patterns else free.keys()
    drawing = generator(rng)
    for path, module in free.items():
        if path in wanted:
            replace(model, path, LoRA(module, rank, alpha, initializer=initializer, rng=drawing))
    return model


def merge_lora(model: M) -> M:
    """Replace every :class:`LoRA` in a model by its layer with the change added to the weight, in place.

    Returns
    -------
    Module
        The model, with the paths that it had before. The layers are still frozen; :func:`nnx.unfreeze` ends that.
    """
    while found := next(((path, m) for path, m in model.named_modules() if path and isinstance(m, LoRA)), None):
        replace(model, found[0], found[1].merge())
    return model
