import json
import os
import signal
from functools import cache

import numpy as np
import pytest

import nnx
from nnx.backend import namespace
from nnx.callbacks import Callback, KeepBest
from nnx.data import DataLoader, index_to_one_hot
from nnx.errors import ArgumentError, DataError, DTypeError, NnxError, NonFiniteError, ShapeError
from nnx.metrics import Accuracy
from nnx.testing import assert_close
from nnx.training import evaluate
from nnx.tree import tree_map


def digits(count=150):
    x, y = nnx.data.load_digits()
    return nnx.data.normalize(x[:count]), y[:count].astype(np.int32)


def loaders(xp, *, one_hot=False, batch_size=20):
    """A training loader with a short last batch, and a validation loader."""
    x, y = digits()
    target = index_to_one_hot(y, 10) if one_hot else y
    x, target = xp.asarray(x), xp.asarray(target, str(target.dtype))
    parts = (x[:110, ...], target[:110, ...]), (x[110:, ...], target[110:, ...])
    return DataLoader(parts[0], batch_size, seed=3), DataLoader(parts[1], 16, shuffle=False)


def network(xp):
    rng = nnx.generator(5)
    with nnx.use_backend(xp.spec):
        return nnx.Model([nnx.Linear(64, 12, rng=rng), nnx.ReLU(), nnx.Linear(12, 10, rng=rng)])


def make_trainer(model, loss=None, learning_rate=0.2, **options):
    options = {"metrics": [Accuracy()]} | options
    return nnx.Trainer(model, loss or nnx.CrossEntropy(), nnx.SGD(model, learning_rate), **options)


def run(xp, loss=None, learning_rate=0.2, epochs=3, **options):
    one_hot = loss is not None and not isinstance(loss, nnx.CrossEntropy)
    trainer = make_trainer(network(xp), loss, learning_rate, **options)
    trainer.fit(*loaders(xp, one_hot=one_hot), epochs=epochs)
    return trainer


class NumPy:
    spec = "numpy"

    @staticmethod
    def asarray(data, dtype="float32"):
        return np.asarray(data, dtype)


LOSSES = {"cross-entropy": nnx.CrossEntropy, "mse": nnx.MSE, "mses": nnx.MSES}


@cache
def expected(name):
    """The metrics of a loop in the post's own style, in NumPy and counted by hand."""
    model, loss = network(NumPy), LOSSES[name]()
    loader, validation = loaders(NumPy, one_hot=name != "cross-entropy")
    rows = []
    for _ in range(3):
        losses, correct = [], 0
        for x, target in loader:
            output = model(x)
            losses.append(float(loss(output, target)) * len(x))
            model.backward(loss.gradient())
            model.update(learning_rate=0.2)
            correct += np.sum(output.argmax(1) == (target if target.ndim == 1 else target.argmax(1)))
        x, target = validation.dataset.arrays
        output = model(x)
        labels = target if target.ndim == 1 else target.argmax(1)
        rows.append(
            (sum(losses) / 110, correct / 110, float(loss(output, target)), np.mean(output.argmax(1) == labels))
        )
    return rows


@pytest.mark.parametrize("name", LOSSES)
def test_metrics_are_those_of_the_posts_loop_on_every_backend(xp, name):
    rows = run(xp, LOSSES[name]()).history.rows
    assert [list(row) for row in rows] == [["epoch", "loss", "accuracy", "validation_loss", "validation_accuracy"]] * 3
    np.testing.assert_allclose([[*row.values()][1:] for row in rows], expected(name), rtol=1e-5, atol=1e-6)
    assert [row["epoch"] for row in rows] == [1, 2, 3]


def test_the_best_weights_give_the_best_metrics_again(xp):
    best = KeepBest(("validation_accuracy", "validation_loss"))
    trainer = run(xp, epochs=8, learning_rate=0.7, callbacks=[best])
    row = max(trainer.history.rows, key=lambda row: (row["validation_accuracy"], -row["validation_loss"]))
    assert best.row == row
    found = trainer.evaluate(loaders(xp)[1])
    assert found == {"loss": row["validation_loss"], "accuracy": row["validation_accuracy"]}


def test_the_hooks_are_called_in_order():
    seen = []

    class Log(Callback):
        def __getattribute__(self, name):
            if name.startswith("on_"):
                seen.append(name)
            return super().__getattribute__(name)

        on_fit_start = on_epoch_start = on_fit_end = lambda self, trainer: None
        on_batch_start = on_epoch_end = lambda self, trainer, given: None
        on_gradients = lambda self, trainer, gradients: gradients  # noqa: E731
        on_batch_end = lambda self, trainer, value, outputs: None  # noqa: E731

    trainer = make_trainer(network(NumPy), callbacks=[Log()])
    seen.clear()
    trainer.fit([next(iter(loaders(NumPy)[0]))] * 2, epochs=1)
    batch = ["on_batch_start", "on_gradients", "on_batch_end"]
    assert seen == ["on_fit_start", "on_epoch_start", *batch, *batch, "on_epoch_end", "on_fit_end"]


def test_a_second_fit_goes_on_after_the_first():
    trainer = make_trainer(network(NumPy))
    loader, validation = loaders(NumPy)
    for _ in range(2):
        trainer.fit(loader, validation, epochs=2)
    assert trainer.history.rows == run(NumPy, epochs=4).history.rows
    assert (trainer.epoch, trainer.batch, trainer.step) == (4, 0, 24)


def test_the_bare_loop_gives_the_same_bits(xp):
    trainer = run(xp)
    model = network(xp)
    step = nnx.training.make_step(nnx.CrossEntropy(), nnx.SGD(model, 0.2))
    loader, _ = loaders(xp)
    for _ in range(3):
        for batch in loader:
            step(model, batch)
    for path, value in model.parameters().items():
        np.testing.assert_array_equal(xp.to_numpy(trainer.model.parameters()[path]), xp.to_numpy(value))


def test_open_sizes_are_settled_on_the_first_batch(xp):
    with nnx.use_backend(xp.spec):
        model = nnx.Model([nnx.Linear(None, 5, rng=0), nnx.ReLU(), nnx.Linear(None, 10, rng=1)])
    trainer = nnx.Trainer(model, nnx.CrossEntropy(), nnx.Adam(model), average=nnx.EMA(model), policy="float32")
    trainer.fit(*loaders(xp), epochs=1)
    assert model[0].in_features == 64


def test_without_validation():
    trainer = make_trainer(network(NumPy))
    rows = trainer.fit(loaders(NumPy)[0], epochs=1).rows
    assert list(rows[0]) == ["epoch", "loss", "accuracy"]


def test_evaluation_is_in_evaluation_mode_and_puts_the_mode_back():
    seen = []

    class Spy(nnx.Module):
        def forward(self, x):
            seen.append(self.training)
            return x

    for mode in (True, False):
        model = Spy().train(mode)
        evaluate(model, nnx.CrossEntropy(), DataLoader((np.eye(3), np.asarray([0, 1, 1])), 2, shuffle=False))
        assert model.training is mode
    assert seen == [False] * 4


def test_each_module_gets_its_own_mode_back():
    seen = []

    class Spy(nnx.Module):
        def forward(self, x):
            seen.append(self.training)
            return x

    frozen = Spy().eval()
    model = nnx.Model([frozen, nnx.Linear(3, 2, rng=0)])
    loader = DataLoader((np.eye(3, dtype=np.float32), np.asarray([0, 1, 1])), 3, shuffle=False)
    evaluate(model, nnx.CrossEntropy(), loader)
    assert [module.training for _, module in model.named_modules()] == [True, False, True]
    make_trainer(model).fit(loader, loader, epochs=1)
    assert seen == [False] * 3
    assert [module.training for _, module in model.named_modules()] == [True, False, True]
    seen.clear()
    make_trainer(model.eval()).fit(loader, epochs=1)
    assert seen == [True]
    assert not any(module.training for _, module in model.named_modules())


def test_epochs_are_checked():
    with pytest.raises(ArgumentError, match="expected epochs to be an integer of at least 1, got 0"):
        run(NumPy, nnx.CrossEntropy(), epochs=0)


def test_a_wrong_width_names_the_layer():
    model = network(NumPy)
    loader = DataLoader((np.ones((4, 63), np.float32), np.zeros(4, np.int32)), 2)
    with pytest.raises(ShapeError, match=r"Linear '0'"):
        make_trainer(model).fit(loader, epochs=1)


def pairs(x, y):
    return lambda: DataLoader((np.asarray(x, np.float32), np.asarray(y)), 2, shuffle=False)


EYE = np.eye(3)


@pytest.mark.parametrize(
    ("make", "loss", "error", "message"),
    [
        (lambda: [{"x": EYE}], nnx.MSE(), DataError, "expected a batch with a 'target', got one with 'x'"),
        (list, nnx.MSE(), DataError, "expected at least one batch, got none; an iterator is used up"),
        (pairs(EYE, [0.0, 1.0, 2.0]), nnx.CrossEntropy(), DTypeError, "an integer dtype, got float64; cast them"),
        (pairs(EYE, [3, 0, 1]), nnx.CrossEntropy(), NnxError, "got 3"),
        (pairs(EYE, EYE[:, :1]), nnx.MSE(), ShapeError, r"\(2, 1\)"),
    ],
)  # fmt: skip
def test_a_loader_that_does_not_fit_is_one_clear_line_and_changes_nothing(make, loss, error, message):
    model = nnx.Linear(3, 3, rng=0)
    before = model.weight
    with pytest.raises(error, match=message):
        make_trainer(model, loss).fit(make(), epochs=1)
    with pytest.raises(error, match=message):
        evaluate(model, loss, make())
    assert model.weight is before


def test_a_regression_has_no_accuracy():
    model = nnx.Linear(3, 1, rng=0)
    before = model.weight
    loader = DataLoader((EYE.astype(np.float32), np.ones((3, 1), np.float32)), 2)
    with pytest.raises(
        ShapeError,
        match=r"metric .accuracy.: expected .*scores of two classes or more, got .2, 1.; numbers, as in",
    ):
        make_trainer(model, nnx.MSE()).fit(loader, epochs=1)
    assert model.weight is before


def test_a_generator_is_used_up_after_one_epoch():
    loader, _ = loaders(NumPy)
    trainer = make_trainer(network(NumPy))
    with pytest.raises(DataError, match="at least one batch, got none; an iterator is used up after one epoch"):
        trainer.fit((batch for batch in loader), epochs=2)
    assert len(trainer.history.rows) == 1
    trainer.fit(list(loader), epochs=2)  # goes on with the fit that was interrupted
    assert len(trainer.history.rows) == 2


def test_several_inputs_and_inputs_by_name():
    class Joined(nnx.Module):
        def __init__(self):
            self.linear = nnx.Linear(4, 3, rng=0)

        def forward(self, left, right):
            return self.linear(namespace(left).concat([left, right], axis=1))

    rng = np.random.default_rng(0)
    left, right = rng.normal(size=(2, 9, 2)).astype(np.float32)
    target = np.arange(9) % 3
    rows = []
    for data in ((left, right, target), {"target": target, "right": right, "left": left}):
        model = Joined()
        loader = DataLoader(data, 4)
        rows.append(make_trainer(model).fit(loader, loader, epochs=2).rows)
    assert rows[0] == rows[1]


@pytest.fixture
def ctrl_c():
    """Ctrl-C as Python takes it; a job in the background of a shell ignores it, and so does what it starts."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


class Counted:
    """Batches of validation, of which one of the second epoch comes with a signal."""

    def __init__(self, batches, number=None):
        self.batches, self.number, self.taken = batches, number, 0

    def __iter__(self):
        for batch in self.batches:
            self.taken += 1
            if self.taken == len(self.batches) + (self.number or len(self.batches) * 9):
                os.kill(os.getpid(), signal.SIGINT)
            yield batch


@pytest.mark.parametrize("number", [pytest.param(number, marks=pytest.mark.further) for number in (1, 3)])
def test_a_signal_during_validation_ends_it_and_a_resumed_run_repeats_it(xp, number, ctrl_c):
    def prepared(number=None):
        with nnx.use_backend(xp.spec):
            model = nnx.Model([nnx.Linear(64, 8, rng=0), nnx.Dropout(0.2, seed=3), nnx.Linear(8, 10, rng=1)])
        options = {"accumulate": 4, "average": nnx.EMA(model, 0.9)}
        data, validation = loaders(xp)
        trainer = nnx.Trainer(model, nnx.CrossEntropy(), nnx.Adam(model), metrics=[Accuracy()], **options)
        return trainer, data, Counted(list(validation.batches(0)), number)

    whole, data, validation = prepared()
    whole.fit(data, validation, epochs=3)
    stopped, data, validation = prepared(number)
    with pytest.raises(KeyboardInterrupt):
        stopped.fit(data, validation, epochs=3)
    assert validation.taken == len(validation.batches) + number  # those after it are not taken
    assert (stopped.epoch, stopped.batch) == (1, len(data))
    resumed, data, validation = prepared()
    resumed.load_state_dict(from_data(json.loads(json.dumps(tree_map(as_data, stopped.state_dict())))))
    resumed.fit(data, validation, epochs=3)
    assert_close(resumed.state_dict(), whole.state_dict(), rtol=0.0, atol=0.0)
    assert resumed.history.rows == whole.history.rows
    stopped.fit(data, validation, epochs=3)  # the same trainer goes on too
    assert stopped.history.rows == whole.history.rows


class Interrupt(Callback):
    """Presses Ctrl-C after some batches."""

    def __init__(self, stop):
        self.stop = stop

    def on_batch_end(self, trainer, value, outputs):
        if trainer.step == self.stop:
            os.kill(os.getpid(), signal.SIGINT)


# Of epochs of 6 batches.
@pytest.mark.parametrize("stop", [7, *(pytest.param(stop, marks=pytest.mark.further) for stop in (1, 5, 6, 12, 17))])
def test_a_run_that_was_stopped_anywhere_ends_with_the_same_bits(xp, stop, ctrl_c):
    def prepared(callbacks=()):
        rng = nnx.generator(5)
        with nnx.use_backend(xp.spec):
            layers = [
                nnx.Linear(64, 12, rng=rng),
                nnx.BatchNorm1d(12),
                nnx.Dropout(0.2, seed=3),
                nnx.Linear(12, 10, rng=rng),
            ]
        model = nnx.Model(layers)
        optimizer = nnx.Adam(model, nnx.schedules.Cosine(0.01, steps=18))
        best = KeepBest("validation_loss", restore=False)
        trainer = nnx.Trainer(model, nnx.CrossEntropy(), optimizer, metrics=[Accuracy()], callbacks=[best, *callbacks])
        return trainer, best, loaders(xp)

    whole, best, data = prepared()
    whole.fit(*data, epochs=3)
    stopped, _, data = prepared([Interrupt(stop)])
    with pytest.raises(KeyboardInterrupt):
        stopped.fit(*data, epochs=3)
    assert stopped.step == stop
    state = json.loads(json.dumps(tree_map(as_data, stopped.state_dict())))
    resumed, best_of_resumed, data = prepared()
    resumed.load_state_dict(from_data(state))
    resumed.fit(*data, epochs=3)
    assert_close(resumed.state_dict(), whole.state_dict(), rtol=0.0, atol=0.0)
    assert resumed.history.rows == whole.history.rows
    assert best_of_resumed.row == best.row
    resumed, _, data = prepared()  # a run that is finished is not trained further
    resumed.load_state_dict(whole.state_dict())
    assert resumed.fit(*data, epochs=3).rows == whole.history.rows


def as_data(leaf):
    return (
        {"array": nnx.to_numpy(leaf).tolist(), "dtype": nnx.backend.dtype_name(leaf.dtype)}
        if hasattr(leaf, "shape")
        else leaf
    )


def from_data(state):
    if isinstance(state, dict):
        if state.keys() == {"array", "dtype"}:
            return np.asarray(state["array"], state["dtype"])
        return {name: from_data(part) for name, part in state.items()}
    return [from_data(part) for part in state] if isinstance(state, list) else state


def test_evaluation_records_nothing_and_forgets_nothing():
    modes = []

    class Spy(nnx.MSE):
        def forward(self, input, target):
            modes.append(self.training)
            return super().forward(input, target)

    model, loss = nnx.Linear(3, 3, rng=0), Spy()
    x = np.eye(3, dtype=np.float32)
    loss(model(x), x)
    evaluate(model, loss, DataLoader((2 * x, x), 2))
    assert (model.training, loss.training) == (True, True)
    assert modes == [True, False, False]
    model.backward(loss.gradient())  # of the call before the evaluation
    expected = nnx.grad(lambda m: nnx.functional.mse(m(x), x))(model)
    np.testing.assert_array_equal(model.gradients()["weight"], expected["weight"])


class Grenade:
    """An optimizer that makes one parameter infinite at one step, counted over all epochs."""

    def __init__(self, model, step, path="2.bias"):
        self.plain, self.model, self.left, self.path = nnx.SGD(model, 0.2), model, step, path

    def step(self, gradients):
        self.plain.step(gradients)
        self.left -= 1
        if self.left == 0:
            value = self.model.parameters()[self.path]
            self.model.replace_parameters({self.path: value + float("inf")})


@np.errstate(all="ignore")
@pytest.mark.parametrize(
    ("step", "path", "where", "layer"),
    [
        (8, "2.bias", "epoch 2, batch 3", "Linear '2'"),
        (8, "0.weight", "epoch 2, batch 3", "Linear '0'"),
        (6, "2.bias", "epoch 1, validation batch 1", "Linear '2'"),
    ],
)
def test_a_loss_that_is_not_finite_names_epoch_batch_and_layer(step, path, where, layer):
    model = network(NumPy)
    trainer = nnx.Trainer(model, nnx.CrossEntropy(), Grenade(model, step, path))
    with pytest.raises(
        NonFiniteError, match=rf"{layer}: the loss became (nan|inf) in {where}( .step 9.)?,.*first not finite"
    ):
        trainer.fit(*loaders(NumPy), epochs=4)
    assert len(trainer.history.rows) == (step - 1) // 6


@np.errstate(all="ignore")
def test_a_loss_that_is_not_finite_is_located_alike_on_every_backend(xp):
    with pytest.raises(NonFiniteError, match=r"Linear '2': the loss became \w+ in epoch 1, batch 2 \(step 2\),"):
        run(xp, nnx.CrossEntropy(), learning_rate=1e30)


@np.errstate(all="ignore")
def test_a_loss_that_is_not_finite_leaves_the_weights_from_before(xp):
    model = network(xp)
    before = {path: xp.to_numpy(value) for path, value in model.parameters().items()}
    x, y = digits(40)
    x = np.where(np.arange(40)[:, None] == 0, np.nan, x)
    loader = DataLoader((xp.asarray(x), xp.asarray(y, "int32")), 40)
    with pytest.raises(
        NonFiniteError, match=r"epoch 1, batch 1 .step 1.: the input holds NaN or infinity; .*check the data"
    ):
        make_trainer(model).fit(loader, epochs=1)
    for path, value in model.parameters().items():
        np.testing.assert_array_equal(xp.to_numpy(value), before[path])


@np.errstate(all="ignore")
def test_an_overflow_of_the_loss_alone_is_distinguished():
    x = np.full((2, 3), 1e30, np.float32)
    with pytest.raises(NonFiniteError, match="the output of every layer is finite: MSE overflowed"):
        evaluate(nnx.ReLU(), nnx.MSE(), DataLoader((x, np.zeros_like(x)), 2))


def test_metrics_without_a_name_are_named_by_their_classes():
    metrics = [Accuracy(), nnx.metrics.TopKAccuracy(3), nnx.metrics.AUC()]
    trainer = make_trainer(nnx.Linear(64, 10, rng=0), metrics=metrics)
    assert list(trainer.metrics) == ["accuracy", "top_k_accuracy", "auc"]


def test_a_metric_that_is_no_number_is_refused_at_the_first_batch():
    model = network(NumPy)
    trainer = nnx.Trainer(model, nnx.CrossEntropy(), nnx.SGD(model, 0.1), metrics=[nnx.metrics.ConfusionMatrix(10)])
    before = {path: np.array(w) for path, w in model.parameters().items()}
    message = r"metric 'confusion_matrix': expected a number for each epoch, got shape \(10, 10\); compute it once with"
    with pytest.raises(ArgumentError, match=message):
        trainer.fit(loaders(NumPy)[0], epochs=1)
    assert (trainer.step, trainer.batch) == (0, 0)
    assert_close(model.parameters(), before, rtol=0.0)
    assert trainer.evaluate(loaders(NumPy)[1])["confusion_matrix"].sum() == 40


def test_a_metric_may_need_more_than_one_batch():
    class Variance(nnx.metrics.Metric):
        sums = ("count", "total", "squares")

        def measure(self, output, target):
            value = np.asarray(output, np.float64)[:, 0]
            return {"count": len(value), "total": value.sum(), "squares": (value**2).sum()}

        def result(self, count, total, squares):
            if count < 2:
                raise NnxError("needs two examples")
            return (squares - total**2 / count) / (count - 1)

    model, x, y = network(NumPy), *digits(4)
    trainer = nnx.Trainer(model, nnx.CrossEntropy(), nnx.SGD(model, 0.0), metrics=[Variance()])
    found = trainer.fit([(x[:1], y[:1]), (x[1:], y[1:])], epochs=1).rows[0]["variance"]
    assert found == pytest.approx(float(np.var(model(x)[:, 0], ddof=1)), rel=1e-5)


@pytest.mark.parametrize("batch_size", [1, 7, 32, 100])
def test_a_metric_function_may_give_a_value_for_each_sample(batch_size):
    model, (x, y) = network(NumPy), digits(100)
    metrics = {"right": lambda output, target: np.argmax(output, axis=1) == target, "one": Accuracy()}
    found = evaluate(model, nnx.CrossEntropy(), (x, y), metrics=metrics, batch_size=batch_size)
    assert found["right"] == pytest.approx(found["one"])


def test_an_objective_that_is_replaced_within_an_epoch_counts_at_once():
    class Nothing(Callback):
        def on_batch_end(self, trainer, value, outputs):
            trainer.objective = lambda model, batch: (0.0 * value, outputs)

    model, (x, y) = network(NumPy), digits(60)
    trainer = nnx.Trainer(model, nnx.CrossEntropy(), nnx.SGD(model, 0.1), callbacks=[Nothing()])
    trainer.fit((x, y), epochs=1, batch_size=20)
    first = network(NumPy)
    other = nnx.Trainer(first, nnx.CrossEntropy(), nnx.SGD(first, 0.1))
    loader = DataLoader((x, y), 20)
    other.fit([next(iter(loader))], epochs=1)
    assert trainer.history.rows[0]["loss"] == pytest.approx(other.history.rows[0]["loss"] / 3)
