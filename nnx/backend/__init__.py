"""Array libraries: their namespaces and devices, transfer between them, random numbers, and who owns an array.

Only this folder and ``nnx/kernels`` may name an array library.
"""

from nnx.backend.deferring import foreign_function, operator_of_ufunc
from nnx.backend.device_memory import peak_of_device
from nnx.backend.host_memory import keep_freed_memory
from nnx.backend.in_place import (
    add_into,
    copied,
    count_writes,
    divide_into,
    is_immutable,
    maximum_into,
    multiply_into,
    read_only,
    renewed,
    unrecorded,
)
from nnx.backend.indexing import accumulation_dtype, add_rows, copy_of_indices, scatter_add
from nnx.backend.inspection import (
    device_kind,
    is_beside,
    is_cheap_to_read,
    is_compiling,
    is_finite,
    is_floating,
    is_real_floating,
    is_symbolic,
    is_view,
    memory_key,
    owner_of_memory,
    widest_dtype,
)
from nnx.backend.namespaces import is_array, library_name, namespace
from nnx.backend.random import (
    generator,
    keep_mask,
    normal,
    random_bits,
    rounded_probability,
    scaled_mask,
    uniform,
)
from nnx.backend.reductions import summed
from nnx.backend.registry import BACKENDS, available_backends, backend_of
from nnx.backend.row_draws import words_by_row
from nnx.backend.selection import get_backend, use_backend
from nnx.backend.settings import overflow_allowed
from nnx.backend.small_floats import SMALL_FLOATS, small_float
from nnx.backend.tiers import use_kernels
from nnx.backend.transfer import (
    asarray,
    device_of,
    dtype_name,
    host_full,
    missing_dtype,
    one_like,
    to_device,
    to_numpy,
)
from nnx.backend.waiting import waiting_for

__all__ = [
    "BACKENDS",
    "SMALL_FLOATS",
    "accumulation_dtype",
    "add_into",
    "add_rows",
    "asarray",
    "available_backends",
    "backend_of",
    "copied",
    "copy_of_indices",
    "count_writes",
    "device_kind",
    "device_of",
    "divide_into",
    "dtype_name",
    "foreign_function",
    "generator",
    "get_backend",
    "host_full",
    "is_array",
    "is_beside",
    "is_cheap_to_read",
    "is_compiling",
    "is_finite",
    "is_floating",
    "is_immutable",
    "is_real_floating",
    "is_symbolic",
    "is_view",
    "keep_freed_memory",
    "keep_mask",
    "library_name",
    "maximum_into",
    "memory_key",
    "missing_dtype",
    "multiply_into",
    "namespace",
    "normal",
    "one_like",
    "operator_of_ufunc",
    "overflow_allowed",
    "owner_of_memory",
    "peak_of_device",
    "random_bits",
    "read_only",
    "renewed",
    "rounded_probability",
    "scaled_mask",
    "scatter_add",
    "small_float",
    "summed",
    "to_device",
    "to_numpy",
    "uniform",
    "unrecorded",
    "use_backend",
    "use_kernels",
    "waiting_for",
    "widest_dtype",
    "words_by_row",
]
