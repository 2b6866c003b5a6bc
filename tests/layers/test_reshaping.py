"""Layers that reshape, and layers that stand for a function."""

import json
from functools import partial

import numpy as np
import pytest

import nnx
from nnx import functional as F
from nnx.errors import ArgumentError, ShapeError
from nnx.testing import assert_close


def halved(x):
    return 0.5 * x


@pytest.mark.parametrize(
    ("shape", "start", "end", "expected"),
    [
        ((2, 3, 4), 0, -1, (24,)),
        ((2, 3, 4), 1, 1, (2, 3, 4)),
        ((0, 3, 4), 1, -1, (0, 12)),
        ((2, 0, 4), -2, -1, (2, 0)),
    ],
)
def test_flatten(xp, shape, start, end, expected):
    x = xp.asarray(np.arange(float(np.prod(shape))).reshape(shape))
    assert_close(nnx.Flatten(start, end)(x), xp.asarray(nnx.to_numpy(x).reshape(expected)))


def test_flatten_needs_its_axes_in_order():
    with pytest.raises(ShapeError, match=r"expected an end_axis after start_axis, got 0 after 1 .* shape \(2, 3\)"):
        nnx.Flatten(1, 0)(np.ones((2, 3)))


@pytest.mark.parametrize(
    ("shape", "axis", "lengths", "expected"),
    [
        ((2, 12), 1, (3, -1), (2, 3, 4)),
        ((2, 12), -1, (12,), (2, 12)),
        ((0, 2), 0, [-1, 3], (0, 3, 2)),
    ],
)
def test_unflatten(shape, axis, lengths, expected):
    layer = nnx.Unflatten(axis, lengths)
    assert layer(np.ones(shape)).shape == expected
    again = nnx.from_config(json.loads(json.dumps(layer.config())))
    assert again(np.ones(shape)).shape == expected


@pytest.mark.parametrize(
    ("shape", "message"),
    [
        ((), "shape to have one length or more"),
        ((-1, -1), "at most one of them -1"),
        ((0, 2), "each length in shape to be an integer of at least 1, got 0"),
    ],
)
def test_shapes_that_no_axis_splits_into(shape, message):
    with pytest.raises(ArgumentError, match=message):
        nnx.Unflatten(1, shape)


def test_an_axis_that_does_not_split():
    with pytest.raises(
        ShapeError, match=r"Unflatten: expected axis 1 to have a length that splits into \(5, -1\), got"
    ):
        nnx.Unflatten(1, (5, -1))(np.ones((2, 12)))


class TestLambda:
    def test_arguments_are_passed_on(self):
        layer = nnx.Lambda(lambda x, y, scale: scale * (x + y))
        assert_close(layer(np.ones(2), np.ones(2), scale=2.0), np.full(2, 4.0))

    def test_it_is_differentiated(self, xp):
        layer = nnx.Lambda(lambda x: nnx.namespace(x).exp(x))
        x = xp.asarray([0.0, 1.0])
        y = layer(x)
        assert_close(layer.backward(xp.asarray([1.0, 1.0])), y)

    def test_a_function_of_nnx_is_known_by_its_name(self):
        config = nnx.Lambda(F.relu).config()
        assert config == {"type": "Lambda", "function": {"type": "function", "name": "relu"}}
        assert nnx.from_config(config).function is F.relu

    def test_another_function_has_to_be_allowed(self):
        config = nnx.Model([nnx.Lambda(halved)]).config()
        with pytest.raises(
            ArgumentError, match=r"names '.*\.halved', which is neither a function of nnx\.functional nor"
        ):
            nnx.from_config(config)
        assert nnx.from_config(config, allow=[halved])[0].function is halved

    @pytest.mark.parametrize("function", [lambda x: x, partial(halved), "".join, np.ones(2).sum])
    def test_a_function_without_a_name_of_its_own(self, function):
        with pytest.raises(ArgumentError, match="function: expected an argument that JSON can hold"):
            nnx.Lambda(function).config()

    def test_a_name_that_means_something_else_now(self, monkeypatch):
        layer = nnx.Lambda(halved)
        monkeypatch.setitem(globals(), "halved", F.relu)
        with pytest.raises(ArgumentError, match="expected an argument that JSON can hold"):
            layer.config()

    def test_what_cannot_be_called(self):
        with pytest.raises(ArgumentError, match="expected a function, got 3"):
            nnx.Lambda(3)

    def test_modules_in_a_closure_are_refused(self):
        inner = nnx.Linear(2, 2, rng=0)
        with pytest.raises(ArgumentError, match="found a Linear inside a function"):
            nnx.Lambda(lambda x: inner(x))
