"""The data set that comes with the package."""

import numpy as np

from nnx.data.idx import read_idx
from nnx.types import Array


def load_digits() -> tuple[Array, Array]:
    """Return 1,797 handwritten digits of 8x8 pixels, without using the network.

    Returns
    -------
    x : NumPy array of float32, shape (batch, pixels) = (1797, 64)
        Ink per pixel in [0, 1]: the counts 0 to 16 of the source, divided by 16.
    y : NumPy array of int32, shape (batch,)
        The digit, 0 to 9.

    Notes
    -----
    Both are in the host's memory; :func:`nnx.to_device` moves them.

    Source: E. Alpaydin and C. Kaynak, "Optical Recognition of Handwritten Digits", UCI Machine Learning
    Repository, 1998, doi 10.24432/C50P49 (its test part), CC BY 4.0; see ``LICENSE.txt`` beside the files.

    Examples
    --------
    >>> x, y = load_digits()
    >>> x.shape, y[:10].tolist()
    ((1797, 64), [0, 1, 2, 3, 4, 5, 6, 7, 8, 9])
    """
    images = _read("images-idx3-ubyte.gz")
    x = images.reshape(images.shape[0], -1) / np.float32(16)
    return x, _read("labels-idx1-ubyte.gz").astype(np.int32)


def _read(name: str) -> Array:
    from importlib import resources  # slow to import, and only this needs it

    with resources.as_file(resources.files("nnx.data") / "digits" / name) as path:
        return read_idx(path)
