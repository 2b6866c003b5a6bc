import copy
import pickle
import sys
from pathlib import Path

import numpy as np
import pytest

import nnx
from nnx.errors import ArgumentError, BackendError, DTypeError, ShapeError, UsageError
from nnx.testing import assert_close

KL = nnx.KLDivergenceStandardNormal
PAIRS = [nnx.MSE, nnx.MSES, nnx.MAE, nnx.Huber, nnx.SmoothL1, KL]
LOSSES = [*PAIRS, nnx.CrossEntropy]


def test_gradient_needs_a_call():
    for loss in LOSSES:
        with pytest.raises(UsageError, match=rf"{loss.__name__}\.gradient needs a call before it: loss\(model\(x\)"):
            loss().gradient()


@pytest.mark.parametrize("loss", LOSSES)
def test_reduction_is_checked_at_once(loss):
    with pytest.raises(ArgumentError, match="expected reduction to be one of 'mean', 'sum', 'none', got 'average'"):
        loss(reduction="average")


@pytest.mark.parametrize("loss", LOSSES)
def test_a_loss_is_an_array_of_no_axes_and_none_gives_one_value_an_example(xp, loss):
    x, y = xp.asarray(np.full((4, 3), 0.5)), xp.asarray(np.full((4, 3), 1 / 3))
    assert loss()(x, y).shape == ()
    assert loss(reduction="none")(x, y).shape == ((4,) if loss in (nnx.CrossEntropy, KL) else (4, 3))


def test_gradient_with_reduction_none_is_that_of_the_sum():
    x, target = np.asarray([[1.0, 2.0], [0.5, -1.0]]), np.asarray([1, 0])
    none, total = nnx.CrossEntropy(reduction="none"), nnx.CrossEntropy(reduction="sum")
    none(x, target), total(x, target)
    assert_close(none.gradient(), total.gradient())


def test_gradient_may_be_asked_for_again_and_follows_the_last_call():
    loss = nnx.MSE()
    x = np.asarray([1.0, 2.0])
    loss(x, 0.0 * x)
    assert_close(loss.gradient(), loss.gradient(), rtol=0.0)
    loss(2.0 * x, 0.0 * x)
    assert_close(loss.gradient(), 2.0 * x)


def test_a_loss_is_differentiable_in_a_function(xp):
    x = xp.asarray([[1.0, 2.0]], "float64")
    target = xp.asarray([1], "int64")
    loss = nnx.CrossEntropy()
    gradient = nnx.grad(lambda x: loss(x, target))(x)
    with pytest.raises(UsageError):
        loss.gradient()
    loss(x, target)
    assert_close(loss.gradient(), gradient)


def test_errors_name_the_loss():
    with pytest.raises(ShapeError, match=r"^MSE: expected target of shape \(2,\), as the input, got \(3,\)"):
        nnx.MSE()(np.ones(2), np.ones(3))


def test_a_subclass_without_forward():
    class Mine(nnx.Loss):
        pass

    with pytest.raises(UsageError, match=r"Mine defines no forward\(self, input, target\)"):
        Mine()(np.ones(1), np.ones(1))


class TestCrossEntropy:
    @pytest.mark.parametrize("dtype", ["float32", "float64"])
    def test_logits_of_ten_thousand_are_finite(self, xp, dtype):
        logits = xp.asarray([[1e4, 0.0, -1e4], [-1e4, 1e4, 1e4]], dtype)
        loss = nnx.CrossEntropy(reduction="none")
        assert_close(loss(logits, xp.asarray([2, 0], "int64")), xp.asarray([2e4, 2e4 + np.log(2)], dtype))
        assert_close(loss.gradient(), xp.asarray([[1.0, 0.0, -1.0], [-1.0, 0.5, 0.5]], dtype))
        probabilities = xp.asarray([[0.0, 0.5, 0.5], [1.0, 0.0, 0.0]], dtype)
        assert np.isfinite(nnx.to_numpy(loss(logits, probabilities))).all()

    @pytest.mark.parametrize("reduction", ["mean", "sum"])
    def test_all_ignored_gives_zero(self, xp, reduction):
        logits = xp.asarray(np.ones((2, 3)))
        loss = nnx.CrossEntropy(reduction=reduction)
        assert_close(loss(logits, xp.asarray([-100, -100], "int64")), xp.asarray(0.0))
        assert_close(loss.gradient(), xp.asarray(np.zeros((2, 3))))

    @pytest.mark.parametrize("classes", [3, 200])
    @pytest.mark.parametrize("dtype", ["int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64"])
    def test_indices_of_any_integer_dtype(self, xp, dtype, classes):
        logits = xp.asarray(np.arange(2 * classes).reshape(2, classes) % 7)
        for options in ({}, {"label_smoothing": 0.1}):  # the second has no native body
            loss = nnx.CrossEntropy(**options)
            expected = loss(logits, xp.asarray([1, 0], "int64"))
            assert_close(loss(logits, xp.asarray([1, 0], dtype)), expected)
            assert np.isfinite(nnx.to_numpy(loss.gradient())).all()

    @pytest.mark.parametrize("dtype", ["int8", "int32", "uint8", "uint32"])
    def test_indices_in_jax_without_int64(self, dtype):
        jax = pytest.importorskip("jax", reason="jax is not installed")
        with jax.enable_x64(False):  # a cast to int64 would warn
            logits, index = jax.numpy.ones((2, 200)), jax.numpy.asarray([1, 0], dtype=dtype)
            assert float(nnx.CrossEntropy()(logits, index)) == pytest.approx(np.log(200))
            assert float(nnx.metrics.accuracy(logits, index)) == 0.5

    @pytest.mark.parametrize("options", [{}, {"reduction": "sum"}])
    def test_booleans_are_no_indices(self, xp, options):
        with pytest.raises(DTypeError, match=r"expected class indices of an integer dtype, got bool; cast .*xp\.int32"):
            nnx.CrossEntropy(**options)(xp.asarray(np.ones((2, 3))), xp.asarray([True, False], "bool"))

    def test_float_indices(self):
        message = r"CrossEntropy: expected class indices of an integer dtype, got float64; cast them with .*xp\.int32"
        with pytest.raises(DTypeError, match=message):
            nnx.CrossEntropy()(np.ones((4, 3)), np.asarray([0.0, 1.0, 2.0, 0.0]))

    def test_a_class_of_probability_zero_that_is_no_target(self, xp):
        logits, weight = xp.asarray([[0.0, 1.0, -np.inf]]), xp.asarray([1.0, 2.0, 3.0])
        expected = np.log1p(np.e)
        for target in (xp.asarray([0], "int64"), xp.asarray([[1.0, 0.0, 0.0]])):
            for loss in (nnx.CrossEntropy(reduction="sum"), nnx.CrossEntropy(weight, reduction="sum")):
                assert float(nnx.to_numpy(loss(logits, target))) == pytest.approx(expected)
                assert nnx.to_numpy(loss.gradient())[0, 2] == 0
        by_target = nnx.grad(lambda t: nnx.functional.cross_entropy(logits, t, weight))(target)
        assert_close(by_target, xp.asarray([[expected, 2 * (expected - 1), 0.0]]))
        by_weight = nnx.grad(lambda w: nnx.functional.cross_entropy(logits, target, w))(weight)
        assert_close(by_weight, xp.asarray([expected, 0.0, 0.0]))
        assert float(nnx.to_numpy(nnx.CrossEntropy()(logits, xp.asarray([2], "int64")))) == np.inf

    @pytest.mark.parametrize(("weight", "got"), [("sum", "'sum'"), ([1.0, 2.0], "list"), (2.0, "float")])
    def test_a_weight_that_is_no_array(self, weight, got):
        with pytest.raises(ArgumentError, match=f'expected weight to be an array, got {got}; .*reduction="sum"$'):
            nnx.CrossEntropy(weight)

    def test_an_integer_one_hot_target_gets_a_hint(self, xp):
        with pytest.raises(DTypeError, match=r"class indices of shape \(2,\) or .*xp\.astype\(target, xp\.float32\)"):
            nnx.CrossEntropy()(xp.asarray(np.ones((2, 3))), xp.asarray([[0, 1, 0], [1, 0, 0]], "int64"))

    @pytest.mark.parametrize("label", [3, -1, 100])
    def test_a_label_out_of_range(self, xp, label):
        logits, target = xp.asarray(np.ones((2, 3))), xp.asarray([1, label], "int64")
        loss = nnx.CrossEntropy()
        if xp.name in ("array-api-strict", "cupy"):  # reading labels would stop the queue of a device
            assert np.isnan(nnx.to_numpy(loss(logits, target)))
            assert np.isnan(nnx.to_numpy(loss.gradient())).any()
            return
        with pytest.raises(ArgumentError, match=rf"class indices from 0 to 2, got {label}; use ignore_index \(-100\)"):
            loss(logits, target)

    def test_the_ignored_label_may_be_out_of_range(self, xp):
        logits = xp.asarray([[1.0, 2.0], [3.0, 4.0]])
        loss = nnx.CrossEntropy(ignore_index=255)
        assert_close(
            loss(logits, xp.asarray([0, 255], "uint8")), nnx.CrossEntropy()(logits[:1, :], xp.asarray([0], "int64"))
        )

    def test_shapes(self):
        loss, logits = nnx.CrossEntropy(), np.ones((4, 3))
        with pytest.raises(ShapeError, match=r"of shape \(4,\), that of the logits without the class axis, got \(3,\)"):
            loss(logits, np.ones(3, np.int64))
        with pytest.raises(ShapeError, match=r"target of shape \(4, 3\), as the logits, got \(4, 2\)"):
            loss(logits, np.ones((4, 2)))
        with pytest.raises(ShapeError, match="expected an array that has axis 2, got one with 2 axes"):
            nnx.CrossEntropy(axis=2)(logits, logits)
        with pytest.raises(ShapeError, match=r"expected weight of shape \(3,\), one for each class, got \(2,\)"):
            nnx.CrossEntropy(weight=np.ones(2))(logits, np.ones(4, np.int64))

    def test_one_example(self, xp):
        logits, target = xp.asarray([1.0, 2.0, 3.0], "float64"), xp.asarray(2, "int64")
        loss = nnx.CrossEntropy()
        expected = nnx.functional.log_softmax(logits)
        assert_close(loss(logits, target), -expected[2])
        assert_close(loss.gradient(), xp.namespace.exp(expected) - xp.asarray([0.0, 0.0, 1.0], "float64"))

    def test_labels_as_a_column(self):
        loss, logits = nnx.CrossEntropy(), np.ones((4, 3))
        message = r"^CrossEntropy: expected target of shape \(4,\), .*, got \(4, 1\); .*xp\.reshape\(target, \(4,\)\)$"
        with pytest.raises(ShapeError, match=message):
            loss(logits, np.ones((4, 1), np.int64))
        for shape in ((4,), (4, 1)):
            with pytest.raises(DTypeError, match="expected class indices of an integer dtype, got float64; cast"):
                loss(logits, np.ones(shape))
        one_class = np.ones((4, 1))
        assert float(loss(one_class, one_class)) == 0.0

    def test_dtypes(self):
        with pytest.raises(DTypeError, match="expected logits of a floating-point dtype, got int64"):
            nnx.functional.cross_entropy(np.ones((4, 3), np.int64), np.ones(4, np.int64))
        message = r"expected logits of dtype float64, as target, got float32; convert the target with xp\.astype\("
        with pytest.raises(DTypeError, match=message + r"target, xp\.float32\)$"):
            nnx.CrossEntropy()(np.ones((4, 3), np.float32), np.ones((4, 3)))
        with pytest.raises(DTypeError, match="expected logits of dtype float64, as weight, got float32"):
            nnx.CrossEntropy(weight=np.ones(3))(np.ones((4, 3), np.float32), np.ones(4, np.int64))

    def test_an_empty_batch(self):
        with pytest.raises(ShapeError, match=r"expected at least one example, got logits of shape \(0, 3\)"):
            nnx.CrossEntropy()(np.ones((0, 3)), np.ones(0, np.int64))

    @pytest.mark.parametrize("smoothing", [-0.1, 1.0, float("nan")])
    def test_label_smoothing_out_of_range(self, smoothing):
        with pytest.raises(ArgumentError, match=r"expected label_smoothing in \[0, 1\), got"):
            nnx.CrossEntropy(label_smoothing=smoothing)(np.ones((1, 2)), np.ones(1, np.int64))

    def test_two_libraries(self):
        strict = pytest.importorskip("array_api_strict")
        with pytest.raises(BackendError, match=r"^CrossEntropy: expected arrays of one library"):
            nnx.CrossEntropy()(np.ones((1, 2)), strict.ones(1, dtype=strict.int64))


@pytest.mark.parametrize("loss", PAIRS)
class TestPairs:
    def test_shapes(self, loss):
        with pytest.raises(ShapeError, match=r"expected (target|variance) of shape \(4, 3\), as the .*, got \(4, 1\)"):
            loss()(np.ones((4, 3)), np.ones((4, 1)))

    def test_a_column_and_a_vector(self, loss):
        if loss is not KL:
            with pytest.raises(ShapeError, match=r"got \(4,\); .* use xp\.reshape\(target, \(4, 1\)\)"):
                loss()(np.ones((4, 1)), np.ones(4))

    def test_integers(self, loss):
        with pytest.raises(DTypeError, match=r"expected (target|variance) of a floating-point dtype, got int64"):
            loss().forward(np.ones((4, 3)), np.ones((4, 3), np.int64))

    def test_two_dtypes(self, loss):
        with pytest.raises(
            DTypeError, match=r"expected (input|mean) of dtype float64, as (target|variance), got float32"
        ):
            loss()(np.ones((4, 3), np.float32), np.ones((4, 3)))

    def test_an_empty_batch(self, loss):
        with pytest.raises(ShapeError, match=r"expected at least one element, got (input|mean) of shape \(0, 3\)"):
            loss()(np.ones((0, 3)), np.ones((0, 3)))


def test_kl_needs_two_axes():
    with pytest.raises(ShapeError, match=r"expected mean of shape \(batch, latent\), got \(3,\)"):
        KL()(np.ones(3), np.ones(3))


def test_mses_is_mse_of_the_softmax(xp):
    x, target = xp.asarray(np.eye(3), "float64"), xp.asarray(np.eye(3), "float64")
    assert_close(nnx.MSES()(x, target), nnx.MSE()(nnx.functional.softmax(x, axis=1), target))


class TestALossIsAModule:
    def test_its_weights_move(self, xp):
        loss = nnx.CrossEntropy(weight=np.asarray([1.0, 2.0], np.float32)).to(xp.spec)
        x, target = xp.asarray([[0.0, 1.0]]), xp.asarray([1], "int64")
        loss(x, target)
        assert loss.gradient().shape == (1, 2)
        x = xp.asarray([[0.0, 1.0]], "float64")
        assert loss.to(dtype="float64")(x, target).dtype == x.dtype

    def test_it_has_no_parameters(self):
        loss = nnx.CrossEntropy(weight=np.ones(2))
        assert (loss.parameters(), loss.state_dict()) == ({}, {})
        with pytest.raises(UsageError, match=r"model\.backward\(loss\.gradient\(\)\)"):
            loss.backward()

    def test_in_evaluation_mode_it_remembers_nothing(self):
        loss, x = nnx.MSE(), np.ones(3)
        loss(x, 2 * x)
        loss.eval()
        holders = sys.getrefcount(x)
        loss(x, 2 * x)
        assert sys.getrefcount(x) == holders
        with pytest.raises(UsageError, match=r"needs a call before it: .*, in training mode"):
            loss.gradient()

    @pytest.mark.parametrize("mode", [True, False])
    def test_a_tape_is_kept_only_for_a_model_that_can_go_backward(self, mode, monkeypatch):
        model, loss, x = nnx.Linear(2, 2, rng=0).train(mode), nnx.MSE(), np.ones((1, 2), np.float32)
        output = model(x)
        taped = []
        monkeypatch.setattr("nnx.losses.base.vjp", lambda *args: taped.append(args) or nnx.vjp(*args))
        loss(output, x)
        assert bool(taped) == mode
        assert_close(loss.gradient(), nnx.grad(lambda y: nnx.functional.mse(y, x))(output))

    def test_a_gradient_made_on_demand_is_that_of_the_call(self, xp):
        loss, x, target = nnx.MSE(), xp.asarray([1.0, 2.0]), xp.asarray([0.0, 0.0])
        value = loss(x * 1.0, target)
        prediction = x * 1.0
        again = loss(prediction, target)
        if xp.name != "jax":
            prediction *= 100.0
        assert_close(again, value)
        assert_close(loss.gradient(), x)

    def test_arguments_by_name(self):
        loss, x = nnx.MSE(), np.asarray([1.0, 3.0])
        assert float(loss(input=x, target=0.0 * x)) == 5.0
        assert float(loss(x, target=0.0 * x)) == 5.0
        assert loss.gradient().tolist() == [1.0, 3.0]
        with pytest.raises(TypeError, match="missing a required argument: 'target'"):
            loss(input=x)

    @pytest.mark.parametrize("copy_of", [copy.deepcopy, lambda loss: pickle.loads(pickle.dumps(loss))])
    def test_one_that_was_called_is_copied_and_pickled(self, copy_of):
        model, loss = nnx.Linear(2, 2, rng=0), nnx.CrossEntropy(weight=np.ones(2, np.float32), label_smoothing=0.1)
        x, target = np.ones((1, 2), np.float32), np.asarray([1])
        for prediction in (x, model(x)):
            value = loss(prediction, target)
            again = copy_of(loss)
            assert repr(again) == repr(loss)
            with pytest.raises(UsageError, match="needs a call before it"):
                again.gradient()
            assert_close(again(prediction, target), value)
            assert_close(again.gradient(), loss.gradient())

    def test_inside_a_model(self):
        class WithLoss(nnx.Module):
            def __init__(self):
                self.layer, self.loss = nnx.Linear(2, 2, rng=0), nnx.MSE()

            def forward(self, x, target):
                return self.loss(self.layer(x), target)

        model, x = WithLoss(), np.ones((1, 2), np.float32)
        model(x, x)
        with pytest.raises(UsageError, match=r"MSE\.gradient needs a call"):
            model.loss.gradient()
        assert nnx.grad(lambda model: model(x, x))(model).keys() == {"layer.weight", "layer.bias"}
        assert not model.eval().loss.training

    def test_python_calls(self):
        """Of a call and its gradient, counted, since calls do not depend on the machine."""
        model, loss = nnx.Linear(3, 4, rng=0), nnx.CrossEntropy()
        output, target = model(np.ones((2, 3), np.float32)), np.asarray([1, 3])
        loss(output, target), loss.gradient()
        root, names = str(Path(nnx.__file__).parent), []

        def count(frame, event, arg):
            if event == "call" and frame.f_code.co_filename.startswith(root):
                names.append(frame.f_code.co_name)

        sys.setprofile(count)
        try:
            loss(output, target), loss.gradient()
        finally:
            sys.setprofile(None)
        assert len(names) <= 25, names
