"""Native bodies for JAX arrays: XLA's own implementations, compiled once for each shape, and differentiated by JAX."""

from nnx.kernels.jax import activations as activations
from nnx.kernels.jax import attention as attention
from nnx.kernels.jax import classification as classification
from nnx.kernels.jax import convolutions as convolutions
from nnx.kernels.jax import embeddings as embeddings
from nnx.kernels.jax import normalization as normalization
from nnx.kernels.jax import pooling as pooling
from nnx.kernels.jax import recurrent as recurrent
