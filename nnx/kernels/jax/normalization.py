"""Normalizations compiled by XLA, which fuses the operations of the portable body and of its derivative."""

from collections.abc import Callable
from typing import Any

from nnx.autodiff import Primitive
from nnx.functional import batch_norm, batch_norm_training, group_norm, instance_norm, layer_norm, rms_norm
from nnx.functional.batch_statistics import channels_of_batch, given_channels
from nnx.functional.normalization import last_axes, of_groups, of_instances
from nnx.functional.standardization import Layout
from nnx.kernels.jax.automatic import native


def _register(function: Primitive[..., Any], layout_of: Callable[..., Layout]) -> None:
    def check(*args: Any, **options: Any) -> None:
        layout_of(*args, **options)

    native(function, check)(function.function)


_register(layer_norm, last_axes)
_register(rms_norm, last_axes)
_register(group_norm, of_groups)
_register(instance_norm, of_instances)
_register(batch_norm, given_channels)
_register(batch_norm_training, channels_of_batch)
