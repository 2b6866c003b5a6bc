from functools import cache

import numpy as np
import pytest

import nnx
from nnx.backend import namespace
from nnx.data import DataLoader, index_to_one_hot
from nnx.errors import ArgumentError, DataError, DTypeError, NnxError, NonFiniteError, ShapeError
from nnx.training import History, evaluate, train_classifier


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


def run(xp, loss, learning_rate=0.2, epochs=3, **options):
    one_hot = not isinstance(loss, nnx.CrossEntropy)
    model = network(xp)
    loader, validation = loaders(xp, one_hot=one_hot)
    optimizer = nnx.SGD(model, learning_rate)
    history = train_classifier(model, loss, loader, validation, optimizer=optimizer, epochs=epochs, **options)
    return model, history


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
    _, history = run(xp, LOSSES[name]())
    found = [(row.loss, row.accuracy, row.validation_loss, row.validation_accuracy) for row in history.rows]
    np.testing.assert_allclose(found, expected(name), rtol=1e-5, atol=1e-6)
    assert [row.epoch for row in history.rows] == [1, 2, 3]
    assert all(row.seconds > 0 for row in history.rows)


def test_best_state_gives_the_best_metrics_again(xp):
    model, history = run(xp, nnx.CrossEntropy(), epochs=8, learning_rate=0.7)
    assert history.best is not None
    best = max(history.rows, key=lambda row: (row.validation_accuracy, -row.validation_loss))
    assert history.best.row is best
    model.load_state_dict(history.best.state)
    loss, accuracy = evaluate(model, nnx.CrossEntropy(), loaders(xp)[1])
    assert (loss, accuracy) == (best.validation_loss, best.validation_accuracy)


def test_callbacks_see_every_batch_and_a_history_that_has_the_row():
    batches, epochs, history = [], [], History()

    def on_epoch(row):
        assert history.rows[-1] is row
        epochs.append(row.epoch)

    run(NumPy, nnx.CrossEntropy(), history=history, epochs=2, on_batch=batches.append, on_epoch=on_epoch)
    assert batches == [*range(1, 7)] * 2
    assert epochs == [1, 2]


def test_a_history_goes_on():
    model = network(NumPy)
    loader, validation = loaders(NumPy)
    history = History()
    for _ in range(2):
        train_classifier(
            model, nnx.CrossEntropy(), loader, validation, optimizer=nnx.SGD(model, 0.2), epochs=2, history=history
        )
    _, whole = run(NumPy, nnx.CrossEntropy(), epochs=4)
    assert [row.epoch for row in history.rows] == [1, 2, 3, 4]
    assert history.column("loss") == whole.column("loss")


def test_an_interruption_leaves_the_history_filled():
    history = History()

    def interrupt(row):
        if row.epoch == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(NumPy, nnx.CrossEntropy(), history=history, epochs=5, on_epoch=interrupt)
    assert len(history.rows) == 2
    assert history.best is not None


def test_without_validation():
    model, (loader, _) = network(NumPy), loaders(NumPy)
    history = train_classifier(model, nnx.CrossEntropy(), loader, optimizer=nnx.SGD(model, 0.2), epochs=1)
    assert history.rows[0].validation_loss is None
    assert history.best is not None


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
    options = {"optimizer": nnx.SGD(model, 0.1), "epochs": 1}
    train_classifier(model, nnx.CrossEntropy(), loader, loader, **options)
    assert seen == [False] * 3
    assert [module.training for _, module in model.named_modules()] == [True, False, True]
    seen.clear()
    train_classifier(model.eval(), nnx.CrossEntropy(), loader, **options)
    assert seen == [True]
    assert not any(module.training for _, module in model.named_modules())


def test_epochs_are_checked():
    with pytest.raises(ArgumentError, match="expected epochs to be at least 1, got 0"):
        run(NumPy, nnx.CrossEntropy(), epochs=0)


def test_a_wrong_width_names_the_layer():
    model = network(NumPy)
    loader = DataLoader((np.ones((4, 63), np.float32), np.zeros(4, np.int32)), 2)
    with pytest.raises(ShapeError, match=r"Linear '0'"):
        train_classifier(model, nnx.CrossEntropy(), loader, optimizer=nnx.SGD(model, 0.1), epochs=1)


def pairs(x, y):
    return lambda: DataLoader((np.asarray(x, np.float32), np.asarray(y)), 2, shuffle=False)


EYE = np.eye(3)


@pytest.mark.parametrize(
    ("make", "loss", "error", "message"),
    [
        (lambda: DataLoader((EYE,), 2), nnx.MSE(), DataError, r"\(inputs, target\), got a tuple of 1 as batch 1"),
        (lambda: [EYE], nnx.MSE(), DataError, r"batches \(inputs, target\), got a ndarray as batch 1"),
        (lambda: [{"x": EYE}], nnx.MSE(), DataError, "expected a batch with a 'target', got one with 'x'"),
        (list, nnx.MSE(), DataError, "expected a loader with at least one batch, got none; an iterator is used up"),
        (pairs(EYE, [0.0, 1.0, 2.0]), nnx.CrossEntropy(), DTypeError, "an integer dtype, got float64; cast them"),
        (pairs(EYE, [3, 0, 1]), nnx.CrossEntropy(), NnxError, "got 3"),
        (pairs(EYE, EYE[:, :1]), nnx.MSE(), ShapeError, r"\(2, 1\)"),
    ],
)  # fmt: skip
def test_a_loader_that_does_not_fit_is_one_clear_line_and_changes_nothing(make, loss, error, message):
    model = nnx.Linear(3, 3, rng=0)
    before = model.weight
    with pytest.raises(error, match=message):
        train_classifier(model, loss, make(), optimizer=nnx.SGD(model, 0.1), epochs=1)
    with pytest.raises(error, match=message):
        evaluate(model, loss, make())
    assert model.weight is before


def test_a_regression_has_no_accuracy():
    model = nnx.Linear(3, 1, rng=0)
    before = model.weight
    loader = DataLoader((EYE.astype(np.float32), np.ones((3, 1), np.float32)), 2)
    with pytest.raises(ShapeError, match=r"scores of two classes or more, got \(2, 1\); numbers, as in a regression"):
        train_classifier(model, nnx.MSE(), loader, optimizer=nnx.SGD(model, 0.1), epochs=1)
    assert model.weight is before


def test_a_generator_is_used_up_after_one_epoch():
    model, (loader, _) = network(NumPy), loaders(NumPy)
    options, history = {"optimizer": nnx.SGD(model, 0.1), "epochs": 2}, History()
    with pytest.raises(DataError, match="at least one batch, got none; an iterator is used up after one epoch"):
        train_classifier(model, nnx.CrossEntropy(), (batch for batch in loader), history=history, **options)
    assert len(history.rows) == 1
    train_classifier(model, nnx.CrossEntropy(), list(loader), history=history, **options)
    assert len(history.rows) == 3


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
        history = train_classifier(model, nnx.CrossEntropy(), loader, loader, optimizer=nnx.SGD(model, 0.1), epochs=2)
        rows.append([(row.loss, row.accuracy, row.validation_loss) for row in history.rows])
    assert rows[0] == rows[1]


@pytest.mark.parametrize("stop", [1, 5, 6, 7, 12])  # of epochs of 6 batches
def test_a_run_that_was_stopped_anywhere_ends_with_the_same_weights(stop):
    def train(model, loader, epochs, on_batch=None):
        options = {"optimizer": nnx.SGD(model, 0.2), "epochs": epochs}
        return train_classifier(model, nnx.CrossEntropy(), loader, on_batch=on_batch, **options)

    whole, loader = network(NumPy), loaders(NumPy)[0]
    train(whole, loader, 3)
    stopped, loader = network(NumPy), loaders(NumPy)[0]
    seen = []

    def interrupt(number):
        seen.append(number)
        if len(seen) == stop:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(stopped, loader, 3, interrupt)
    resumed, again = network(NumPy), loaders(NumPy)[0]
    resumed.load_state_dict(stopped.state_dict())
    again.load_state_dict(loader.state_dict())
    train(resumed, again, 3 - stop // 6)
    for path, value in whole.parameters().items():
        np.testing.assert_array_equal(resumed.parameters()[path], value)


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
    model, (loader, validation), history = network(NumPy), loaders(NumPy), History()
    with pytest.raises(NonFiniteError, match=rf"{layer}: the loss became (nan|inf) in {where},.*first not finite"):
        train_classifier(
            model,
            nnx.CrossEntropy(),
            loader,
            validation,
            optimizer=Grenade(model, step, path),
            epochs=4,
            history=history,
        )
    assert len(history.rows) == (step - 1) // 6


@np.errstate(all="ignore")
def test_a_loss_that_is_not_finite_is_located_alike_on_every_backend(xp):
    history = History()
    with pytest.raises(NonFiniteError, match=r"Linear '2': the loss became \w+ in epoch 1, batch 2,"):
        run(xp, nnx.CrossEntropy(), learning_rate=1e30, history=history)
    assert history.best is None


@np.errstate(all="ignore")
def test_a_loss_that_is_not_finite_leaves_the_weights_from_before(xp):
    model = network(xp)
    before = {path: xp.to_numpy(value) for path, value in model.parameters().items()}
    x, y = digits(40)
    x = np.where(np.arange(40)[:, None] == 0, np.nan, x)
    loader = DataLoader((xp.asarray(x), xp.asarray(y, "int32")), 40)
    with pytest.raises(NonFiniteError, match=r"epoch 1, batch 1: the input holds NaN or infinity; .*check the data"):
        train_classifier(model, nnx.CrossEntropy(), loader, optimizer=nnx.SGD(model, 0.1), epochs=1)
    for path, value in model.parameters().items():
        np.testing.assert_array_equal(xp.to_numpy(value), before[path])


@np.errstate(all="ignore")
def test_an_overflow_of_the_loss_alone_is_told_apart():
    x = np.full((2, 3), 1e30, np.float32)
    with pytest.raises(NonFiniteError, match="the output of every layer is finite: MSE overflowed"):
        evaluate(nnx.ReLU(), nnx.MSE(), DataLoader((x, np.zeros_like(x)), 2))
