"""Native bodies for NumPy arrays: without wrappers around reductions, and in place where the memory is new.

The arguments of a body are plain arrays. The cotangent that its pullback is given may still be traced, when the
pullback itself is differentiated, and must then only be used through operators and its own namespace.
"""

from nnx.kernels.numpy import attention as attention
from nnx.kernels.numpy import batch_statistics as batch_statistics
from nnx.kernels.numpy import classification as classification
from nnx.kernels.numpy import convolutions as convolutions
from nnx.kernels.numpy import dense as dense
from nnx.kernels.numpy import elementwise as elementwise
from nnx.kernels.numpy import gelu as gelu
from nnx.kernels.numpy import normalization as normalization
from nnx.kernels.numpy import pooling as pooling
from nnx.kernels.numpy import rectifiers as rectifiers
from nnx.kernels.numpy import recurrent as recurrent
from nnx.kernels.numpy import regularization as regularization
from nnx.kernels.numpy import softmaxes as softmaxes
