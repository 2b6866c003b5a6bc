import types

import numpy as np
import pytest

import nnx
from nnx.backend import backend_of, is_array, library_name
from nnx.errors import BackendError


def test_namespace_of_arrays(xp):
    x = xp.asarray([1.0])
    assert nnx.namespace(x) is xp.namespace
    assert nnx.namespace(None, 2.0, x, 1, True, x) is xp.namespace
    assert library_name(nnx.namespace(x)) == xp.spec.partition(":")[0]


def test_two_libraries():
    strict = pytest.importorskip("array_api_strict")
    message = (
        r"expected arrays of one library, got numpy \(argument 0\) and array-api-strict \(argument 2\); "
        r'move one of them, for example with nnx\.to_device\(x, "array-api-strict"\)'
    )
    with pytest.raises(BackendError, match=message):
        nnx.namespace(np.ones(1), None, strict.ones(1))


def test_no_array():
    with pytest.raises(BackendError, match="expected at least one array, got nothing"):
        nnx.namespace()
    with pytest.raises(BackendError, match="expected at least one array, got float, NoneType"):
        nnx.namespace(1.0, None)


@pytest.mark.parametrize("value", [[1.0], "text", object()])
def test_what_is_no_array(value):
    assert not is_array(value)
    with pytest.raises(
        BackendError, match=r"expected an array of a library that follows .*, got builtins\..*; convert"
    ):
        nnx.namespace(value)


def test_is_array(xp):
    assert is_array(xp.asarray([1.0]))
    assert not any(map(is_array, (1, 2.0, None, True, 1j, {}, [])))


def test_a_library_that_nnx_does_not_know_by_name():
    info = types.SimpleNamespace(devices=lambda: ["here", "there"])
    mine = types.SimpleNamespace(__name__="mine", __array_namespace_info__=lambda: info)

    class Array:
        def __array_namespace__(self, api_version=None):
            return mine

    assert nnx.namespace(Array()) is mine
    backend = backend_of(Array())
    assert (backend.name, backend.list_devices()) == ("mine", {"here": "here", "there": "there"})
