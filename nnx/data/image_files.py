"""Read images with Pillow."""

from typing import Any

import numpy as np

from nnx.data.files import Path, open_file
from nnx.errors import DataError, MissingExtraError
from nnx.types import Array

MAX_PIXELS = 2**26
"""How many pixels an image may have by default: 67 million, which take 0.8 GB as float32, and 1.2 GB while read."""


def open_image(path: Path, max_pixels: int = MAX_PIXELS) -> Any:
    """Read an image file as an image of Pillow, upright, and what is transparent in it on white.

    Parameters
    ----------
    path : str or path
        Of any format that Pillow can read. Of several pictures in one file the first is taken.
    max_pixels : int
        A larger image is refused before it is decoded.

    Raises
    ------
    DataError
        If the file cannot be read, is damaged or no image, or has no or too many pixels.
    MissingExtraError
        If Pillow is not installed.
    """
    try:
        from PIL import Image, ImageOps, UnidentifiedImageError
    except ImportError as error:
        raise MissingExtraError(
            f"expected Pillow to read {path}, got: {error}; install it with: pip install 'nnx-array[cli]'"
        ) from error
    with open_file(path, "image file") as file:
        try:
            image = Image.open(file)
            _check_size(image.size, path, max_pixels)
            image.load()
            upright = ImageOps.exif_transpose(image)
            if not upright.has_transparency_data or upright.mode[0] in "IF":
                return upright
            paper = Image.new("RGBA", upright.size, "white")
            return Image.alpha_composite(paper, upright.convert("RGBA"))
        except DataError:
            raise
        except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
            raise DataError(f"{path}: expected at most {max_pixels} pixels, got many more ({error})") from error
        except UnidentifiedImageError as error:
            raise DataError(
                f"{path}: expected an image file that Pillow can read, got no format that it knows, "
                "or an image without pixels; check what the file is"
            ) from error
        except Exception as error:  # decoders raise all kinds of errors on damaged files
            reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
            raise DataError(f"{path}: expected an image file that Pillow can read, got: {reason}") from error


def read_image(
    path: Path, channels: int = 3, size: tuple[int, int] | None = None, max_pixels: int = MAX_PIXELS
) -> Array:
    """Read an image file as an array: float32 in [0, 1], shape (channels, height, width).

    Parameters
    ----------
    path : str or path
    channels : {1, 3}
        Brightness, or red, green and blue.
    size : (height, width), optional
        To which the image is resized, whatever its proportions are: bilinear and, where it gets smaller, averaged over
        all pixels that become one.
    max_pixels : int

    Raises
    ------
    DataError
        As :func:`open_image`, and if the image has more than 8 bits a channel, which Pillow would cut off.
    """
    image = open_image(path, max_pixels)
    if image.mode[0] in "IF":
        raise DataError(f"{path}: expected an image of 8 bits a channel, got Pillow's mode {image.mode}; convert it")
    image = image.convert("L" if channels == 1 else "RGB")
    if size is not None and (size[1], size[0]) != image.size:
        image = image.resize((size[1], size[0]), 2)  # Resampling.BILINEAR
    stored = np.atleast_3d(np.asarray(image)).transpose(2, 0, 1)
    pixels = stored.astype(np.float32, order="C")
    pixels /= np.float32(255)  # in place: a large image is in memory as float32 once
    return pixels


def _check_size(size: tuple[int, int], path: Path, max_pixels: int) -> None:
    width, height = size
    if not width * height:
        raise DataError(f"{path}: expected an image with pixels, got {width} x {height}")
    if width * height > max_pixels:
        raise DataError(
            f"{path}: expected at most {max_pixels} pixels, got {width} x {height}; make the image smaller, "
            "or pass a larger max_pixels"
        )
