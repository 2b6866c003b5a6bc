"""Every class of ``torch.nn`` that nnx has too."""

from nnx.io.pytorch.activations import ACTIVATIONS
from nnx.io.pytorch.losses import LOSSES
from nnx.io.pytorch.normalization import NORMALIZATION
from nnx.io.pytorch.pair import Table
from nnx.io.pytorch.sequences import SEQUENCES
from nnx.io.pytorch.simple_layers import LAYERS
from nnx.io.pytorch.spatial_layers import SPATIAL
from nnx.io.pytorch.transformers import TRANSFORMERS

PAIRS: Table = {**LAYERS, **ACTIVATIONS, **SPATIAL, **NORMALIZATION, **SEQUENCES, **TRANSFORMERS, **LOSSES}
