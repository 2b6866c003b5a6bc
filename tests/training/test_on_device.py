"""Training where no value may be read before the end of an epoch: simulated, since nnx asks before it reads."""

import importlib
import sys

import numpy as np
import pytest

import nnx
from nnx.callbacks import Callback, Checkpoints, ClipGradients, GradientNorms
from nnx.data import DataLoader
from nnx.errors import NonFiniteError
from nnx.metrics import AUC, Accuracy
from nnx.testing import assert_close

pytestmark = pytest.mark.filterwarnings("ignore:.*encountered in:RuntimeWarning")


@pytest.fixture
def device(monkeypatch):
    """Return a function after whose call some files take all arrays for those of a device."""

    def begin(files="nnx."):
        for name, module in list(sys.modules.items()):
            if name.startswith(files) and hasattr(module, "is_cheap_to_read"):
                monkeypatch.setattr(module, "is_cheap_to_read", lambda x: False)

    return begin


class NumPy:
    spec, asarray = "numpy", staticmethod(lambda x, dtype="float32": np.asarray(x, dtype))


class OfNine(AUC):
    """A metric that keeps rows, not sums."""

    def measure(self, output, target):
        return super().measure(output[:, 9], target == 9)


class CountSamples(Callback):
    """Remembers something of each batch, on the host and on the device."""

    def __init__(self):
        self.samples, self.total = 0, 0.0

    def on_batch_end(self, trainer, value, outputs):
        self.samples, self.total = self.samples + len(outputs), self.total + value

    def state_dict(self):
        return {"samples": self.samples, "total": self.total}

    def load_state_dict(self, state):
        self.samples, self.total = state["samples"], state["total"]


class At(Callback):
    """Does something after a batch."""

    def __init__(self, batch, action):
        self.at, self.action = batch, action

    def on_batch_end(self, trainer, value, outputs):
        if trainer.batch == self.at:
            self.action(trainer)


OPTIONS = {
    "plain": {},
    "accumulate": {"accumulate": 3},
    "SWA": {"average": lambda model: nnx.SWA(model, start=3, every=2, buffers=True)},
    "all": {"policy": "float16", "accumulate": 2, "average": lambda model: nnx.EMA(model, 0.9)},
}


def callbacks():
    return [CountSamples(), GradientNorms(), ClipGradients(norm=1.0)]


def prepare(xp=NumPy, *, bad=None, average=None, **options):
    """Return a trainer and a loader of 7 batches, the last of 5 samples; sample ``bad`` is NaN.

    In the first epoch, 44 is in batch 1, 23 in batch 3, 10 in batch 5, and 7 in batch 7.
    """
    x, y = nnx.data.load_digits()
    x = nnx.data.normalize(x[:65])
    if bad is not None:
        x[bad] = np.nan
    rng = nnx.generator(5)
    with nnx.use_backend(xp.spec):
        first, last = nnx.Linear(64, 12, rng=rng), nnx.Linear(12, 10, rng=rng)
        model = nnx.Model([first, nnx.BatchNorm1d(12), nnx.Dropout(0.2, seed=3), last])
    options |= {"metrics": [Accuracy(), OfNine()], "average": average and average(model)}
    trainer = nnx.Trainer(model, nnx.CrossEntropy(), nnx.Adam(model, 0.01), **options)
    if trainer.policy.needs_loss_scale:
        trainer._update.scale = nnx.training.LossScale(2.0**10)  # no overflow: a skipped step counts on a device
    return trainer, DataLoader((xp.asarray(x), xp.asarray(y[:65], "int32")), 10, seed=3)


def failed(bad, *, epochs=2, **options):
    """Train until the error; return the trainer and the message."""
    trainer, loader = prepare(bad=bad, **options)
    with pytest.raises(NonFiniteError, match="the input holds NaN or infinity") as error:
        trainer.fit(loader, epochs=epochs)
    return trainer, error.value.message


def assert_same(found, expected):
    assert_close(found, expected, rtol=0.0, atol=0.0)


@pytest.mark.parametrize("name", OPTIONS)
@pytest.mark.parametrize("bad", [44, 23, 10, 7])
def test_a_bad_batch_leaves_the_state_that_it_met_as_where_it_is_read_at_once(device, name, bad):
    expected, message = failed(bad, **OPTIONS[name], callbacks=callbacks())
    device()
    found, same = failed(bad, **OPTIONS[name], callbacks=callbacks())
    assert (found.is_whole, same) == (True, message)
    assert_same(found.state_dict(), expected.state_dict())


@pytest.mark.parametrize("name", OPTIONS)
def test_the_run_goes_on_with_the_same_bits_once_the_cause_is_gone(device, name, tmp_path):
    whole, loader = prepare(**OPTIONS[name], callbacks=callbacks())
    whole.fit(loader, epochs=2)
    device()
    failed(10, **OPTIONS[name], callbacks=[*callbacks(), Checkpoints(tmp_path)])
    checkpoints = Checkpoints(tmp_path)
    resumed, loader = prepare(**OPTIONS[name], callbacks=[*callbacks(), checkpoints])
    assert checkpoints.resume(resumed)
    assert resumed.step == 4
    resumed.fit(loader, epochs=2)
    assert_same(resumed.state_dict(), whole.state_dict() | {"callbacks": resumed.state_dict()["callbacks"]})
    for found, expected in zip(resumed.callbacks, whole.callbacks, strict=False):
        assert_same(found.state_dict(), expected.state_dict())


def counted(read, reads):
    def method(*args, **options):
        reads.append(read)
        return read(*args, **options)

    return method


def test_a_finite_run_has_the_same_bits_and_reads_nothing_before_the_end_of_an_epoch(device, monkeypatch):
    torch = pytest.importorskip("torch", reason="torch is not installed")

    class Torch:
        spec, asarray = "torch", staticmethod(lambda x, dtype="float32": torch.asarray(np.asarray(x, dtype)))

    importlib.import_module("nnx.kernels.torch.classification")
    device("nnx.kernels")  # which decline then, so that another sum would have other bits
    states, reads, seen = [], [], []
    for _ in range(2):
        look = At(7, lambda trainer: seen.append(len(reads)))
        trainer, loader = prepare(Torch, **OPTIONS["all"], callbacks=[*callbacks(), look])
        trainer.fit(loader, epochs=1)
        states.append(trainer.state_dict())
        device()
        for method in ("__float__", "__int__", "__bool__", "__index__", "item", "tolist", "numpy", "cpu"):
            monkeypatch.setattr(torch.Tensor, method, counted(getattr(torch.Tensor, method), reads))
    assert_same(states[1], states[0])
    assert seen == [0, 0]
    assert reads


def interrupt(trainer):
    raise KeyboardInterrupt


@pytest.mark.parametrize(
    ("action", "error"),
    [
        (lambda trainer: trainer.state_dict(), NonFiniteError),
        (lambda trainer: trainer.stop("enough"), NonFiniteError),
        (lambda trainer: trainer.pause("for now"), NonFiniteError),
        (interrupt, KeyboardInterrupt),
    ],
)
def test_what_ends_an_epoch_early_after_a_bad_batch_finds_it(device, action, error):
    expected, message = failed(23)
    assert expected.batch == 2
    device()
    trainer, loader = prepare(bad=23, callbacks=[At(6, action)])
    with pytest.raises(error) as raised:
        trainer.fit(loader, epochs=1)
    said = raised.value.message if error is NonFiniteError else raised.value.__notes__[0]
    assert message in said
    assert_same(trainer.state_dict() | {"callbacks": {}}, expected.state_dict() | {"callbacks": {}})


def test_a_callback_that_catches_the_error_and_goes_on_saves_nothing(device):
    tried = []

    def save(trainer):
        with pytest.raises(NonFiniteError):
            trainer.state_dict()
        tried.append(trainer.batch)

    expected, message = failed(23)
    device()
    found, same = failed(23, callbacks=[At(3, save)])  # it comes to batch 3 again and again
    assert (tried, same) == ([2] * 5, message)
    assert_same(found.state_dict() | {"callbacks": {}}, expected.state_dict() | {"callbacks": {}})


def test_a_state_that_is_saved_in_an_epoch_lets_go_of_what_was_kept(device):
    device()
    kept = []

    def save(trainer):
        trainer.state_dict()
        kept.append(dict(trainer._watch._record._trees))

    trainer, message = failed(10, callbacks=[At(2, save)])
    assert "epoch 1, batch 5 (step 5)" in message
    assert kept == [{}]
    assert trainer.batch == 4


def test_a_long_epoch_is_looked_at_before_its_end(device, monkeypatch):
    expected, message = failed(23, callbacks=callbacks())
    device()
    monkeypatch.setattr("nnx.training.watch._BATCHES_KEPT", 2)
    seen = []
    found, same = failed(23, callbacks=[*callbacks(), At(4, seen.append)])
    assert (seen, same) == ([], message)
    assert_same(found.state_dict()["model"], expected.state_dict()["model"])
    assert (found.step, found.batch) == (2, 2)
