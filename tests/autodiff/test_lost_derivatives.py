"""Ways in which a derivative could be lost in silence: each is right, or a clear error."""

import collections
import copy
import pickle

import numpy as np
import pytest

import nnx
from nnx.errors import ArgumentError, DTypeError, ShapeError, TraceError
from nnx.testing import assert_close, check_gradients

X = np.asarray([1.0, 2.0, 3.0])


def total(x):
    return nnx.namespace(x).sum(x)


class TestCopies:
    @pytest.mark.parametrize("copied", [copy.copy, copy.deepcopy])
    def test_a_copy_of_a_traced_array_has_its_derivative(self, copied):
        assert nnx.grad(lambda x: total(copied(x) * x))(X).tolist() == (2 * X).tolist()
        assert nnx.jvp(lambda x: total(copied(x) * x), (X,), (X,))[1] == 28.0

    def test_a_copy_of_a_module_has_its_derivative(self):
        model, x = nnx.Linear(2, 1, rng=0), np.ones((3, 2), np.float32)
        found = nnx.grad(lambda model: total(copy.deepcopy(model)(x)))(model)
        assert found["bias"].tolist() == [3.0]

    def test_pickling_is_refused(self):
        with pytest.raises(TraceError, match=r"cannot be pickled.*; pickle nnx\.stop_gradient\(x\)"):
            nnx.grad(lambda x: total(pickle.loads(pickle.dumps(x))))(X)


class TestHidden:
    @pytest.mark.parametrize("wrap", [nnx.remat, nnx.custom_vjp])
    def test_a_traced_array_beside_the_arguments_in_forward_mode(self, wrap):
        def squared(x):
            function = wrap(lambda y: x * y)
            if wrap is nnx.custom_vjp:
                function.with_pullback(lambda y: (x * y, lambda g: (x * g,)))
            return total(function(x) ** 2)

        with pytest.raises(TraceError, match="uses a traced array that is not among its arguments"):
            nnx.jvp(squared, (X,), (X,))

    def test_an_output_of_a_transform_that_has_ended(self):
        def leaking(x):
            kept = []

            def inner(y):
                kept.append(total(y * y))
                return kept[0]

            nnx.grad(inner)(x)
            return kept[0]

        for differentiate in (nnx.grad(leaking), lambda x: nnx.vjp(leaking, x), lambda x: nnx.jvp(leaking, (x,), (x,))):
            with pytest.raises(TraceError, match="returned a traced array of a transform that has ended inside it"):
                differentiate(X)


class TestDtypes:
    @pytest.mark.parametrize("name", ["sum", "prod", "cumulative_sum", "cumulative_prod"])
    def test_accumulating_integers_ends_the_derivative(self, name):
        def function(x):
            xp = nnx.namespace(x)
            return xp.sum(getattr(xp, name)(x, dtype=xp.int64) * 1.0) + xp.sum(x)

        assert nnx.grad(function)(X).tolist() == [1.0, 1.0, 1.0]
        assert nnx.jvp(function, (X,), (X,))[1] == 6.0

    def test_a_wider_dtype_keeps_it(self):
        x = X.astype(np.float32)
        found = nnx.grad(lambda x: nnx.namespace(x).sum(x * x, dtype=np.float64))(x)
        assert found.dtype == np.float32
        assert found.tolist() == [2.0, 4.0, 6.0]


class TestJacobianOfComplexNumbers:
    Z = np.asarray([1.0 + 2.0j, -0.5 + 0.25j])

    def test_of_a_real_output(self):
        found = nnx.jacobian(lambda z: nnx.namespace(z).abs(z))(self.Z)
        assert_close(found, np.diag(np.conj(self.Z) / np.abs(self.Z)))

    def test_of_a_real_argument(self):
        found = nnx.jacobian(lambda x: nnx.namespace(x).sum(nnx.namespace(x).astype(x, np.complex128) * 1j))(X)
        assert found.tolist() == [1j, 1j, 1j]

    def test_what_would_lose_a_half_is_refused(self):
        with pytest.raises(ArgumentError, match="expected mode 'reverse' for a real output of a complex argument"):
            nnx.jacobian(lambda z: nnx.namespace(z).abs(z), mode="forward")(self.Z)
        with pytest.raises(ArgumentError, match="expected mode 'forward' for a complex output of a real argument"):
            nnx.jacobian(lambda x: nnx.namespace(x).astype(x, np.complex128), mode="reverse")(X)
        with pytest.raises(DTypeError, match="hessian: expected a real argument, got complex numbers"):
            nnx.hessian(lambda z: total(nnx.namespace(z).abs(z)))(self.Z)


class TestOptions:
    @pytest.mark.parametrize(
        "function",
        [
            lambda xp, x: xp.sum(x, axis=np.int64(0)),
            lambda xp, x: xp.mean(x, axis=np.int64(1)),
            lambda xp, x: xp.max(x, axis=np.int64(1)),
            lambda xp, x: xp.std(x, axis=np.int64(0)),
            lambda xp, x: xp.roll(x, np.int64(1), axis=0),
            lambda xp, x: xp.tensordot(x, x, axes=np.int64(1)),
        ],
    )
    def test_integers_of_numpy(self, function):
        x = np.random.default_rng(0).normal(size=(3, 3))
        check_gradients(lambda x: function(nnx.namespace(x), x), x, modes=("reverse", "forward"))

    def test_argnums(self):
        assert nnx.grad(lambda x, y: total(x * y), argnums=np.int64(1))(X, 2 * X).tolist() == X.tolist()
        for argnums in ("x", 0.0, None):
            with pytest.raises(ArgumentError, match="expected argnums to be an integer or several of them"):
                nnx.grad(total, argnums=argnums)(X)

    def test_a_single_mode(self):
        check_gradients(total, X, modes="forward")

    def test_the_transpose_of_more_than_a_matrix(self):
        for x in (X, np.ones((2, 2, 2))):
            with pytest.raises(ShapeError, match=r"expected 2 axes for x\.T, as in the standard, got shape"):
                nnx.grad(lambda x: total(x.T))(x)

    def test_a_dict_of_another_kind(self):
        tree = collections.defaultdict(list, a=X, b=2 * X)
        found = nnx.grad(lambda tree: total(tree["a"] * tree["b"]))(tree)
        assert found["a"].tolist() == (2 * X).tolist()
        assert found["new"] == []


class TestWrongPullbacks:
    @pytest.mark.parametrize(
        ("pullback", "message"),
        [
            (lambda g: 2.0 * g, "expected a pullback that returns a tuple with a cotangent for each argument"),
            (lambda g: None, "expected a pullback that returns a tuple .*, got NoneType"),
            (
                lambda g: (g[0],),
                r"the cotangent of argument 0: expected shape \(3,\), got \(\); the pullback of a prim",
            ),
            (lambda g: (g.astype(np.float32),), "the cotangent of argument 0: expected dtype float64, got float32"),
            (lambda g: (2.0,), "the cotangent of argument 0: expected an array, got float"),
        ],
    )
    def test_what_does_not_fit_the_argument(self, pullback, message):
        double = nnx.primitive(lambda x: 2.0 * x)
        double.with_pullback(lambda wanted, x: (2.0 * x, pullback))
        with pytest.raises(TraceError, match=message):
            nnx.vjp(double, X)[1](X)
