"""Command-line options that the examples share: the folder for plots, and which handwritten digits to use."""

import argparse
from pathlib import Path
from typing import Any

import nnx


def option_parser(description: str | None, data: bool = False) -> argparse.ArgumentParser:
    """Return a parser with ``--out``, and ``--data`` for an example that learns from images."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    output = Path(__file__).parent / "output"
    parser.add_argument("--out", type=Path, default=output, metavar="DIR", help="folder for the plot")
    if data:
        parser.add_argument("--data", type=Path, metavar="DIR", help="folder with MNIST; default: embedded 8x8 digits")
    return parser


def load_images(directory: Path | None) -> tuple[Any, Any]:
    """Return images, as rows of pixels in [0, 1], and their digits: the embedded ones, or MNIST from a folder."""
    if directory is None:
        return nnx.data.load_digits()
    has_training_set = any(directory.glob("train-images-idx3-ubyte*"))
    return nnx.data.load_mnist(directory, download=False, split="train" if has_training_set else "test")
