"""Native bodies give what their portable twins give, on values, gradients and errors."""

import os
import subprocess
import sys

import numpy as np
import pytest

import nnx
from nnx import functional as F
from nnx.autodiff.dispatch import Declined
from nnx.autodiff.primitives import as_wanted
from nnx.testing import assert_close

RNG = np.random.default_rng(0)
LABELS = RNG.integers(0, 4, 6)


def normal(*shape, dtype="float64"):
    return RNG.standard_normal(shape).astype(dtype)


ROWS = {
    "linear": (F.linear, (normal(6, 3), normal(3, 4), normal(4)), {}),
    "linear without bias": (F.linear, (normal(6, 3), normal(3, 4)), {}),
    "linear of three axes": (F.linear, (normal(2, 6, 3), normal(3, 4), normal(4)), {}),
    "relu": (F.relu, (normal(6, 3),), {}),
    "cross-entropy": (F.cross_entropy, (normal(6, 4), LABELS), {}),
    "cross-entropy, last axis": (F.cross_entropy, (normal(6, 4), LABELS), {"axis": -1}),
    "cross-entropy, float32": (F.cross_entropy, (normal(6, 4, dtype="float32"), LABELS.astype(np.int32)), {}),
    "cross-entropy, large logits": (F.cross_entropy, (1e4 * normal(6, 4), LABELS), {}),
    "cross-entropy, int8 with 200 classes": (F.cross_entropy, (normal(3, 200), np.asarray([0, 5, 127], np.int8)), {}),
    "cross-entropy, ignored": (F.cross_entropy, (normal(6, 4), np.where(LABELS == 0, -100, LABELS)), {}),
    "cross-entropy, all ignored": (F.cross_entropy, (normal(6, 4), np.full(6, -100)), {}),
    "cross-entropy, ignored class": (F.cross_entropy, (normal(6, 4), LABELS), {"ignore_index": 1}),
    "cross-entropy, weights": (F.cross_entropy, (normal(6, 4), LABELS, abs(normal(4))), {}),
    "cross-entropy, smoothed": (F.cross_entropy, (normal(6, 4), LABELS), {"label_smoothing": 0.1}),
    "cross-entropy, sum": (F.cross_entropy, (normal(6, 4), LABELS), {"reduction": "sum"}),
    "cross-entropy, none": (
        F.cross_entropy,
        (normal(6, 4), np.where(LABELS == 0, -100, LABELS)),
        {"reduction": "none"},
    ),
    "cross-entropy, sequences": (F.cross_entropy, (normal(3, 2, 4), LABELS.reshape(3, 2)), {"axis": -1}),
    "cross-entropy, images": (F.cross_entropy, (normal(2, 4, 3), LABELS.reshape(2, 3)), {"reduction": "none"}),
    "cross-entropy, probabilities": (F.cross_entropy, (normal(6, 4), np.eye(4)[LABELS]), {}),
}


NATIVE = {"cross-entropy, weights", "cross-entropy, smoothed", "cross-entropy, probabilities"}
DECLINED = {"native": NATIVE, "compiled": NATIVE | {"cross-entropy, none", "cross-entropy, images"}}


@pytest.mark.parametrize("tier", DECLINED)
@pytest.mark.parametrize("row", ROWS)
def test_a_kernel_is_the_portable_body(row, tier):
    primitive, args, options = ROWS[row]
    kernels = [kernel for *_, kernel in primitive.kernels_for(args[0]) if kernel.tier == tier]
    if not kernels:
        pytest.skip("there is none of this tier")
    (kernel,) = kernels
    for arg in args:
        arg.flags.writeable = False
    wanted = as_wanted([np.issubdtype(arg.dtype, np.floating) for arg in args])
    expected, portable_pullback = primitive.rule(wanted, *args, **options)
    assert_close(primitive(*args, **options), primitive.function(*args, **options))
    made = kernel.rule(wanted, *args, **options)
    assert (type(made) is Declined) == (row in DECLINED[tier])
    if row in DECLINED[tier]:
        assert made.reason
        return
    y, pullback = made
    assert_close(y, expected)
    g = np.asarray(RNG.standard_normal(np.shape(y)), dtype=y.dtype)
    g.flags.writeable = False
    for _ in range(2):  # a pullback may be called again
        for found, reference in zip(pullback(g), portable_pullback(g), strict=False):
            assert (found is None) == (reference is None)
            if found is not None:
                assert_close(found, reference)


@pytest.mark.parametrize("row", ROWS)
def test_a_native_pullback_is_differentiated(row):
    primitive, args, options = ROWS[row]
    _, derivative = nnx.linearize(lambda x: primitive(x, *args[1:], **options), args[0])
    tangent = normal(*args[0].shape).astype(args[0].dtype)
    _, expected = nnx.jvp(lambda x: primitive(x, *args[1:], **options), (args[0],), (tangent,))
    assert_close(np.asarray(derivative(tangent)), np.asarray(expected))


def test_a_logit_of_minus_infinity():
    logits, target = np.asarray([[0.0, 1.0, -np.inf]]), np.asarray([0])
    p = 1 / (1 + np.e)
    for rule in (F.cross_entropy.rule, *(kernel.rule for *_, kernel in F.cross_entropy.kernels_for(logits))):
        loss, pullback = rule([True, False, False], logits, target)
        assert_close(np.asarray(loss), np.asarray(-np.log(p)))
        assert_close(pullback(np.asarray(1.0))[0], np.asarray([[p - 1, 1 - p, 0.0]]))


def test_the_gradient_of_relu_does_not_depend_on_its_output():
    y, pullback = nnx.vjp(F.relu, np.asarray([-1.0, 0.0, 2.0, np.nan]))
    y[...] = [5.0, 5.0, 0.0, 0.0]
    assert pullback(np.ones(4))[0].tolist() == [0.0, 0.0, 1.0, 1.0]


EXPLAIN = "import nnx, numpy as np; print(nnx.kernels.explain(nnx.functional.relu, np.ones(2)).chosen)"


@pytest.mark.parametrize(
    ("tier", "chosen"), [("portable", "portable"), ("native", "numpy, native"), ("", "numpy, native")]
)
def test_the_tier_is_chosen_by_a_variable(tier, chosen):
    code = EXPLAIN
    run = subprocess.run(
        [sys.executable, "-c", code], env=os.environ | {"NNX_KERNELS": tier}, capture_output=True, text=True, check=True
    )
    assert run.stdout.strip() == chosen


def test_an_unknown_tier():
    code = "import nnx"
    run = subprocess.run(
        [sys.executable, "-c", code],
        env=os.environ | {"NNX_KERNELS": "fast"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert "expected NNX_KERNELS to be one of portable, native, compiled, got 'fast'" in run.stderr


@pytest.mark.parametrize("function", [F.relu, lambda x: F.cross_entropy(x, np.asarray([0, 1]))])
def test_a_foreign_byte_order_is_refused_as_by_the_portable_body(function):
    x = np.ones((2, 2), np.dtype("f8").newbyteorder())
    with pytest.raises(nnx.errors.DTypeError, match="byte order"):
        function(x)
