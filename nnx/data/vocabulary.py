"""Text as numbers, one for each character."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from nnx.backend import to_numpy
from nnx.errors import ArgumentError, DataError
from nnx.layers.config import config_of
from nnx.types import Array


@dataclass(frozen=True)
class CharacterVocabulary:
    """Number the characters of a text.

    Parameters
    ----------
    characters : str
        Each once; the number of a character is its position. :meth:`fit` takes them from a text.
    unknown : str, optional
        The one of them that stands for every other character. By default those are an error.

    Raises
    ------
    ArgumentError
        If a character occurs twice, there are none, or ``unknown`` is not among them.

    Examples
    --------
    >>> vocabulary = CharacterVocabulary.fit("banana")
    >>> vocabulary
    CharacterVocabulary(characters='abn', unknown=None)
    >>> vocabulary.encode("nab")
    array([2, 0, 1], dtype=int32)
    >>> vocabulary.decode([1, 0, 2])
    'ban'
    """

    characters: str
    unknown: str | None = None

    def __post_init__(self) -> None:
        if not self.characters or len(set(self.characters)) < len(self.characters):
            raise ArgumentError(f"expected characters to be different ones, at least one, got {self.characters!r}")
        if self.unknown is not None and (len(self.unknown) != 1 or self.unknown not in self.characters):
            raise ArgumentError(f"expected unknown to be one of the characters, got {self.unknown!r}")

    @classmethod
    def fit(cls, text: str) -> "CharacterVocabulary":
        """Return the vocabulary of a text, in the order of the code points."""
        return cls("".join(sorted(set(text))))

    def __len__(self) -> int:
        return len(self.characters)

    def encode(self, text: str) -> Array:
        """Return the numbers of the characters: a NumPy array of int32, shape (characters,).

        Raises
        ------
        DataError
            If a character is not in the vocabulary, and no other stands for it.
        """
        known, codes = _code_points(self.characters), _code_points(text)
        order = np.argsort(known)
        places = np.minimum(np.searchsorted(known, codes, sorter=order), len(known) - 1)
        numbers = order[places].astype(np.int32)
        wrong = known[numbers] != codes
        if not wrong.any():
            return numbers
        if self.unknown is None:
            first = int(np.argmax(wrong))
            raise DataError(
                f"expected characters of the vocabulary, got {text[first]!r} at position {first}; fit it to a text "
                "that has this one, or say with unknown= which character stands for others"
            )
        return np.where(wrong, np.int32(self.characters.index(self.unknown)), numbers)

    def decode(self, numbers: Any) -> str:
        """Return the text of numbers, an array or sequence of shape (characters,).

        Raises
        ------
        DataError
            If a number is none of a character.
        """
        host = np.asarray(to_numpy(numbers) if hasattr(numbers, "dtype") else numbers)
        if host.ndim != 1 or (host.size and host.dtype.kind not in "iu"):
            raise DataError(f"expected integers of shape (characters,), got {host.dtype} of shape {host.shape}")
        wrong = host[(host < 0) | (host >= len(self))]
        if wrong.size:
            raise DataError(f"expected numbers from 0 to {len(self) - 1}, those of the characters, got {wrong[0]}")
        return "".join(self.characters[number] for number in host.tolist())

    def config(self) -> dict[str, Any]:
        """Return the class and its arguments as data for JSON, from which :func:`nnx.from_config` makes it again."""
        return config_of(self)


def _code_points(text: str) -> Any:
    return np.frombuffer(text.encode("utf-32-le", "surrogatepass"), "<u4")
