"""What is public can be sent to another process: joblib and spawn pickle functions, modules and errors."""

import copy
import inspect
import pickle
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context

import numpy as np
import pytest
from sent import TRANSFORMS, Activated, Failing, HoldingError, X, cube, fail, misfit, slope, total

import nnx
from nnx import errors
from nnx.errors import NnxError, ShapeError, TraceError


def again(value):
    return pickle.loads(pickle.dumps(value))


def public_functions():
    found = []
    for room in (nnx.autodiff, nnx.backend, nnx.functional, nnx.layers, nnx.losses, nnx.optimizers, nnx.data, nnx.io):
        for name in room.__all__:
            value = getattr(room, name)
            if isinstance(value, (nnx.Primitive, type)) or inspect.isfunction(value):
                found.append(pytest.param(value, id=f"{room.__name__}.{name}"))
    return found


@pytest.mark.parametrize("value", public_functions())
def test_public_functions_and_classes_are_pickled_by_reference(value):
    assert again(value) is value
    assert copy.copy(value) is copy.deepcopy(value) is value


def test_primitives_of_ones_own():
    assert again(cube) is cube

    @nnx.primitive
    def local(x):
        return x

    with pytest.raises((pickle.PicklingError, AttributeError), match="local"):
        pickle.dumps(local)


def test_what_a_transform_returns():
    assert again(slope) is slope
    with pytest.raises((pickle.PicklingError, AttributeError), match="total"):
        pickle.dumps(nnx.grad(total))


def test_a_module_that_holds_a_primitive():
    module = again(nnx.Model([nnx.Linear(2, 2, rng=0), Activated(nnx.functional.relu)]))
    assert module[1].activation is nnx.functional.relu
    assert module(X[None]).shape == (1, 2)


@pytest.mark.parametrize(
    "kind", [kind for _, kind in inspect.getmembers(errors, inspect.isclass) if issubclass(kind, NnxError)]
)
def test_errors_keep_message_layer_and_path(kind):
    error = kind("expected this")
    error.layer, error.module_path = "Linear", ("encoder", "0")
    error.add_note("a note")
    found = again(error)
    assert type(found) is kind
    assert str(found) == str(error) == "Linear 'encoder.0': expected this"
    assert (found.message, found.layer, found.module_path) == ("expected this", "Linear", ("encoder", "0"))
    assert found.__notes__ == ["a note"]


@pytest.mark.parametrize("name", TRANSFORMS)
def test_an_error_that_holds_traced_arrays_is_heard(name):
    with pytest.raises(HoldingError, match="the real message") as caught:
        TRANSFORMS[name]()
    found = again(caught.value)
    assert found.args[0] == "the real message"
    assert "in the module Failing" in found.__notes__
    np.testing.assert_array_equal(found.args[1], X)
    assert isinstance(found.held[2], Failing)


def test_an_error_caught_inside_keeps_its_derivative():
    def found(x):
        def inner(y):
            raise HoldingError("stop", x * x)

        try:
            nnx.grad(inner)(x)
        except HoldingError as error:
            return error.held[0]

    assert float(nnx.grad(found)(np.asarray(3.0))) == 6.0


def test_errors_of_a_spawned_worker_arrive():
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        with pytest.raises(HoldingError, match="the real message"):
            pool.submit(fail, "grad").result()
        with pytest.raises(ShapeError, match=r"Linear '0': expected input of shape"):
            pool.submit(misfit, np.ones((2, 2), np.float32)).result()
        assert pool.submit(nnx.functional.relu, -X).result().tolist() == [0.0, 0.0]


def test_a_traced_array_is_still_refused():
    with pytest.raises(TraceError, match="a traced array cannot be pickled"):
        nnx.grad(lambda x: total(again(x)))(X)
