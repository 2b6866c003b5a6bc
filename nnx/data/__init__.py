"""Data sets, batches and transforms."""

from nnx.data.array_file import ArrayFile
from nnx.data.base import Source
from nnx.data.collation import collate
from nnx.data.composing import Compose, RandomTransform, Transform
from nnx.data.csv_table import read_csv
from nnx.data.dataset import Dataset
from nnx.data.embedded import load_digits
from nnx.data.idx import read_idx, write_idx
from nnx.data.image_files import read_image
from nnx.data.image_folder import ImageFolder
from nnx.data.image_transforms import RandomCrop, RandomErasing, RandomFlip
from nnx.data.labels import OneHot, class_weights, index_to_one_hot
from nnx.data.loader import DataLoader
from nnx.data.mixing import CutMix, Mixup
from nnx.data.mnist import load_mnist
from nnx.data.normalizing import Normalize, normalize
from nnx.data.npz import load_npz
from nnx.data.orders import WeightedSampler
from nnx.data.rotation import RandomRotation
from nnx.data.sample_key import SampleKey
from nnx.data.sequences import Windows
from nnx.data.sources import as_dataset
from nnx.data.splits import k_fold, split, train_validation_split
from nnx.data.streams import Stream
from nnx.data.subsets import Subset
from nnx.data.vocabulary import CharacterVocabulary

__all__ = [
    "ArrayFile",
    "CharacterVocabulary",
    "Compose",
    "CutMix",
    "DataLoader",
    "Dataset",
    "ImageFolder",
    "Mixup",
    "Normalize",
    "OneHot",
    "RandomCrop",
    "RandomErasing",
    "RandomFlip",
    "RandomRotation",
    "RandomTransform",
    "SampleKey",
    "Source",
    "Stream",
    "Subset",
    "Transform",
    "WeightedSampler",
    "Windows",
    "as_dataset",
    "class_weights",
    "collate",
    "index_to_one_hot",
    "k_fold",
    "load_digits",
    "load_mnist",
    "load_npz",
    "normalize",
    "read_csv",
    "read_idx",
    "read_image",
    "split",
    "train_validation_split",
    "write_idx",
]
