import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import nnx
from nnx.data import CharacterVocabulary
from nnx.errors import ArgumentError, DataError


@given(text=st.text(min_size=1))
def test_text_comes_back(text):
    vocabulary = CharacterVocabulary.fit(text)
    numbers = vocabulary.encode(text)
    assert numbers.dtype == np.int32
    assert vocabulary.decode(numbers) == text
    assert set(numbers.tolist()) == set(range(len(vocabulary)))


def test_any_order_and_any_library(xp):
    vocabulary = CharacterVocabulary("cab")
    assert vocabulary.encode("abc").tolist() == [1, 2, 0]
    assert vocabulary.decode(xp.asarray([0, 1, 2], "int32")) == "cab"
    assert vocabulary.encode("").tolist() == []
    assert vocabulary.decode([]) == ""


def test_unknown_characters():
    assert CharacterVocabulary("ab?", unknown="?").encode("axb").tolist() == [0, 2, 1]
    with pytest.raises(DataError, match="expected characters of the vocabulary, got 'x' at position 1; fit it"):
        CharacterVocabulary("ab").encode("ax")


def test_configuration():
    vocabulary = CharacterVocabulary("aß\U0001f600\n", unknown="a")
    assert nnx.from_config(json.loads(json.dumps(vocabulary.config()))) == vocabulary


def test_bad_arguments():
    for characters in ("", "aba"):
        with pytest.raises(ArgumentError, match=f"expected characters to be different ones, .* got {characters!r}"):
            CharacterVocabulary(characters)
    for unknown in ("c", "ab", ""):
        with pytest.raises(ArgumentError, match=f"expected unknown to be one of the characters, got {unknown!r}"):
            CharacterVocabulary("ab", unknown)
    with pytest.raises(DataError, match="expected numbers from 0 to 1, those of the characters, got 2"):
        CharacterVocabulary("ab").decode([0, 2])
    with pytest.raises(DataError, match=r"expected integers of shape \(characters,\), got float64 of shape \(1,\)"):
        CharacterVocabulary("ab").decode([0.5])
