import inspect

import pytest

from nnx import errors
from nnx.errors import NnxError, ShapeError

FAMILY = [kind for _, kind in inspect.getmembers(errors, inspect.isclass) if kind.__module__ == "nnx.errors"]


@pytest.mark.parametrize("kind", [kind for kind in FAMILY if kind is not NnxError], ids=lambda kind: kind.__name__)
def test_each_is_a_built_in_exception_too(kind):
    assert issubclass(kind, NnxError)
    built_in = [base for base in kind.__mro__ if base.__module__ == "builtins"]
    assert built_in[0] is not Exception
    assert kind.__doc__
    assert str(kind("the message")) == "the message"


def test_the_layer_and_its_path_stand_before_the_message():
    error = ShapeError("expected this")
    error.layer = "Linear"
    assert str(error) == "Linear: expected this"
    error.module_path = ("encoder", "0")
    assert str(error) == "Linear 'encoder.0': expected this"
    assert error.message == "expected this"


def test_a_message_is_one_line_whatever_it_quotes():
    error = ShapeError("expected this, got 'a\nb\r\nc'; do that")
    assert str(error) == error.message == "expected this, got 'a b c'; do that"
