"""Save and load: checkpoints, weights, PyTorch's modules and weights; files replaced in one piece."""

from nnx.io.checkpoint_folder import CheckpointFolder, CheckpointWarning
from nnx.io.checkpoints import load_checkpoint, save_checkpoint
from nnx.io.files import replacing
from nnx.io.pytorch import from_torch, load_torch_state_dict, to_torch_state_dict
from nnx.io.weights import load_weights, save_weights

__all__ = [
    "CheckpointFolder",
    "CheckpointWarning",
    "from_torch",
    "load_checkpoint",
    "load_torch_state_dict",
    "load_weights",
    "replacing",
    "save_checkpoint",
    "save_weights",
    "to_torch_state_dict",
]
