"""Modules and weights from PyTorch and back. PyTorch is not imported to read them: its objects come in as they are."""

from nnx.io.pytorch.modules import from_torch
from nnx.io.pytorch.state import load_torch_state_dict, to_torch_state_dict

__all__ = ["from_torch", "load_torch_state_dict", "to_torch_state_dict"]
