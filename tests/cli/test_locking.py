"""The lock of a run directory."""

import os
import re

import pytest

from nnx.cli.locking import locked
from nnx.errors import UsageError


def test_the_second_process_is_refused_and_told_of_the_first(tmp_path):
    message = f"{tmp_path}: another process ({os.getpid()}) is training in this directory; wait for it, or choose"
    with locked(tmp_path), pytest.raises(UsageError, match=re.escape(message)), locked(tmp_path):
        pass
    with locked(tmp_path):
        pass
    assert not [*tmp_path.iterdir()]


def test_a_lock_that_a_process_left_behind_is_none(tmp_path):
    (tmp_path / ".lock").write_text("123456789")
    with locked(tmp_path):
        assert (tmp_path / ".lock").read_text() == str(os.getpid())
    assert not [*tmp_path.iterdir()]
