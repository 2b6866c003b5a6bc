"""Data sets, batches and transforms."""

from nnx.data.base import Source
from nnx.data.collation import collate
from nnx.data.dataset import Dataset
from nnx.data.embedded import load_digits
from nnx.data.idx import read_idx, write_idx
from nnx.data.loader import DataLoader
from nnx.data.mnist import load_mnist
from nnx.data.orders import WeightedSampler
from nnx.data.sample_key import SampleKey
from nnx.data.sources import as_dataset
from nnx.data.streams import Stream
from nnx.data.transforms import index_to_one_hot, normalize, train_validation_split

__all__ = [
    "DataLoader",
    "Dataset",
    "SampleKey",
    "Source",
    "Stream",
    "WeightedSampler",
    "as_dataset",
    "collate",
    "index_to_one_hot",
    "load_digits",
    "load_mnist",
    "normalize",
    "read_idx",
    "train_validation_split",
    "write_idx",
]
