"""Command-line options that the examples share: the folder for plots, the data, the array library, a quick run."""

import argparse
from pathlib import Path
from typing import Any

import nnx

EXAMPLES = Path(__file__).parent


def option_parser(description: str | None, data: bool = False, training: bool = False) -> argparse.ArgumentParser:
    """Return a parser with ``--out``; ``--data`` for an example with images; ``--backend`` and more if it trains."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=EXAMPLES / "output", metavar="DIR", help="folder for the plot")
    if data:
        parser.add_argument("--data", type=Path, metavar="DIR", help="folder with MNIST; default: embedded 8x8 digits")
    if training:
        parser.add_argument("--backend", default="numpy", help="array library and device: numpy, torch, cupy:0, ...")
        parser.add_argument("--quick", action="store_true", help="a small model and a few steps, to see that it runs")
        parser.add_argument("--seed", type=int, default=0, help="of the initial weights and the order of the data")
    return parser


def load_images(directory: Path | None) -> tuple[Any, Any]:
    """Return images, as rows of pixels in [0, 1], and their digits: the embedded ones, or MNIST from a folder."""
    if directory is None:
        return nnx.data.load_digits()
    has_training_set = any(directory.glob("train-images-idx3-ubyte*"))
    return nnx.data.load_mnist(directory, download=False, split="train" if has_training_set else "test")


def load_square_images(directory: Path | None) -> tuple[Any, Any]:
    """Return images (count, 1, side, side) with mean 0 and standard deviation 1, and their digits as int32."""
    x, y = load_images(directory)
    side = round(x.shape[1] ** 0.5)
    return nnx.data.normalize(x).reshape(-1, 1, side, side), y.astype("int32")  # JAX has no int64 by default


def load_text(path: Path | None) -> str:
    """Return the text of a file, such as Tiny Shakespeare; by default the pages of nnx's own documentation."""
    paths = [path] if path else sorted((EXAMPLES.parent / "docs").glob("*.md"))
    return "\n".join(page.read_text("utf-8") for page in paths)
