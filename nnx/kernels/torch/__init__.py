"""Native bodies for torch arrays: torch's own implementations, differentiated by torch.

Only heavy functions have one: torch takes 30 microseconds to record a call and go back through it, so that for a small
one, such as a linear map, the portable body is quicker. Activations call torch's derivatives without recording.
"""

from nnx.kernels.torch import activations as activations
from nnx.kernels.torch import alignment as alignment
from nnx.kernels.torch import attention as attention
from nnx.kernels.torch import batch_statistics as batch_statistics
from nnx.kernels.torch import classification as classification
from nnx.kernels.torch import convolutions as convolutions
from nnx.kernels.torch import embeddings as embeddings
from nnx.kernels.torch import normalization as normalization
from nnx.kernels.torch import pooling as pooling
from nnx.kernels.torch import recurrent as recurrent
from nnx.kernels.torch import upsampling as upsampling
