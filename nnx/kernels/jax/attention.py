"""Attention on JAX arrays: the portable forward and backward pass, each compiled as a whole.

``jax.nn.dot_product_attention`` is the same operations as far as XLA is concerned. Differentiated by JAX it keeps all
weights for the backward pass, though, and where a query may attend to no key it returns the mean of the values.
"""

from collections.abc import Sequence
from typing import Any

import jax

from nnx.autodiff.dispatch import Declined
from nnx.functional import attention
from nnx.functional.attention_checks import check_attention
from nnx.functional.dot_product_attention import Call, backward_pass, forward_pass
from nnx.kernels.jax.automatic import native

_MOST_BLOCKS = 16  # each is compiled on its own


def _check(*arrays: Any, dropout: float = 0.0, **options: Any) -> Declined | None:
    check_attention(*arrays, dropout=dropout, **options)
    return Declined("with dropout each step would be compiled anew") if dropout else None


@native(attention, _check)
def _(*arrays: Any, block: int | None = None, **options: Any) -> Any:
    def call(arrays: Sequence[Any]) -> Call:
        made = Call(*arrays, *(None,) * (5 - len(arrays)), block=block, **options)
        made.rows = max(made.rows, -(-arrays[0].shape[-2] // _MOST_BLOCKS))
        return made

    @jax.custom_vjp  # type: ignore[untyped-decorator]
    def attend(*arrays: Any) -> Any:
        return forward_pass(call(arrays))[0]

    def forward(*arrays: Any) -> Any:
        y, log_totals = forward_pass(call(arrays))
        return y, (arrays, log_totals)

    def backward(residuals: Any, g: Any) -> Any:
        arrays, log_totals = residuals
        wanted = [x is not None and x.dtype != bool for x in arrays]  # XLA leaves out what is not used
        return tuple(backward_pass(call(arrays), wanted, g, log_totals))

    attend.defvjp(forward, backward)
    return attend(*arrays)
