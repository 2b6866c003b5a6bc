"""Kernels for NumPy arrays that Numba compiles, where it is installed: the extra ``fast``.

Each is a loop that makes one pass over memory where NumPy makes several. They are compiled at their first call and kept
on disk, next to the source or in the user's cache. They run in one thread, so they are as safe as NumPy's own after a
fork. No multiplication is contracted with an addition, so that a loop rounds as the operations of NumPy do.
"""

from nnx.kernels.numba import activations as activations
from nnx.kernels.numba import batch_statistics as batch_statistics
from nnx.kernels.numba import classification as classification
from nnx.kernels.numba import convolutions as convolutions
from nnx.kernels.numba import dense as dense
from nnx.kernels.numba import gelu as gelu
from nnx.kernels.numba import normalization as normalization
from nnx.kernels.numba import pooling as pooling
from nnx.kernels.numba import recurrent as recurrent
from nnx.kernels.numba import softmaxes as softmaxes
from nnx.kernels.numba import updates as updates
