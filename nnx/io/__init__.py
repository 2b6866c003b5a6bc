"""Save and load: weights in the safetensors format, and files that are replaced atomically."""

from nnx.io.files import replacing
from nnx.io.weights import load_weights, save_weights

__all__ = ["load_weights", "replacing", "save_weights"]
