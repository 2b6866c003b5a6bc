"""What ``summary`` says of a model: containers, parameters, floating-point operations."""

import warnings

import numpy as np
import pytest

import nnx
from nnx.autodiff.counting import FlopCounter
from nnx.errors import TraceError

RNG = np.random.default_rng(0)
X = RNG.standard_normal((2, 6, 8)).astype(np.float32)
IMAGES = RNG.standard_normal((2, 4, 9, 7)).astype(np.float32)


def flops(model, *args):
    return int(model.summary(*args).split()[-2].replace(",", ""))


def test_a_tree_of_containers():
    rng = nnx.generator(0)
    block = nnx.Residual([nnx.Linear(8, 8, rng=rng), nnx.ReLU()])
    model = nnx.freeze(nnx.Model([nnx.Linear(8, 8, bias=False, rng=rng), block]), "0")
    assert model.summary((3, 8)).splitlines() == [
        "layer                 output shape  parameters  FLOPs",
        "-----------------------------------------------------",
        "0 Linear              (3, 8)                64    384",
        "1 Residual            (3, 8)                72    384",
        "  1.inner Sequential  (3, 8)                72    384",
        "    1.inner.0 Linear  (3, 8)                72    384",
        "    1.inner.1 ReLU    (3, 8)                 0      0",
        "-----------------------------------------------------",
        "total: 136 parameters, 72 of them trained, 768 FLOPs",
    ]
    assert model.summary().splitlines()[2] == "0 Linear              -                     64"


def test_one_layer():
    assert nnx.Linear(3, 2).summary((4, 3)).splitlines()[2] == "Linear  (4, 2)                 8     48"


def test_a_shared_layer_has_its_parameters_once_and_its_operations_twice():
    layer = nnx.Linear(8, 8, bias=False, rng=0)
    model = nnx.Model([layer, nnx.Model([layer])])
    lines = model.summary((3, 8)).splitlines()
    assert lines[2].split() == ["0", "Linear", "(3,", "8)", "64", "768"]
    assert lines[3].split() == ["1", "Sequential", "(3,", "8)", "0", "384"]
    assert lines[-1] == "total: 64 parameters, 768 FLOPs"


class Product(nnx.Module):
    """Computes before, between and after its layers."""

    def __init__(self):
        self.weight = nnx.Parameter(np.ones((8, 8), np.float32))
        self.inner = nnx.Linear(8, 4, bias=False)

    def forward(self, x):
        x = x @ self.weight
        return nnx.functional.einsum("bti,bsi->bts", self.inner(x), self.inner(x)) * 2.0


def test_what_a_model_computes_itself_is_its_own():
    lines = Product().summary(X).splitlines()
    products, inner = 2 * 12 * 8 * 8, 2 * 2 * 12 * 8 * 4
    assert lines[2].split()[-1] == f"{inner:,}"
    assert lines[-1].endswith(f", {products + inner + 2 * 2 * 6 * 6 * 4:,} FLOPs")


MODELS = {
    "Linear": (lambda: nnx.Linear(8, 5), X),
    "two": (lambda: nnx.Model([nnx.Linear(8, 8), nnx.ReLU(), nnx.Linear(8, 3)]), X),
    "Conv2d": (lambda: nnx.Conv2d(4, 6, (3, 2), stride=2, padding=1), IMAGES),
    "Conv2d-depthwise": (lambda: nnx.Conv2d(4, 4, 3, groups=4, dilation=2), IMAGES),
    "Conv2d-one": (lambda: nnx.Conv2d(4, 6, 1), IMAGES),
    "ConvTranspose2d": (lambda: nnx.ConvTranspose2d(4, 6, 3, stride=2), IMAGES),
}


@pytest.mark.parametrize("name", MODELS)
def test_it_is_what_pytorch_counts(name):
    pytest.importorskip("torch", reason="torch is not installed")
    from torch.utils.flop_counter import FlopCounterMode

    make, x = MODELS[name]
    with nnx.use_backend("torch"):
        model = make()
    x = nnx.to_device(x, "torch")
    with FlopCounterMode(display=False) as counter, nnx.use_kernels("native"), warnings.catch_warnings():
        model.eval()(x)
    assert flops(model, x) == counter.get_total_flops()


def test_attention_as_pytorch_counts_it():
    q, k, v = (RNG.standard_normal((2, 3, n, 8)) for n in (5, 7, 7))

    class Attention(nnx.Module):
        def forward(self, q, k, v):
            return nnx.functional.attention(q, k, v)

    assert flops(Attention(), q, k, v) == 2 * (2 * 3 * 5 * 7 * 8) * 2


@pytest.mark.parametrize(("kind", "gates"), [(nnx.RNN, 1), (nnx.LSTM, 4), (nnx.GRU, 3)])
def test_recurrent_layers(kind, gates):
    assert flops(kind(8, 5), X) == 2 * 12 * gates * 5 * (8 + 5)


def test_lookups_and_normalization_count_nothing():
    assert flops(nnx.Model([nnx.Embedding(5, 8), nnx.LayerNorm(8), nnx.GELU()]), np.zeros((2, 3), np.int64)) == 0


def test_what_is_recomputed_or_frozen_is_counted():
    model = nnx.Model([nnx.Linear(8, 4), nnx.Linear(4, 2)])
    assert flops(nnx.Model([nnx.remat(model)]), X) == flops(model, X)
    assert flops(nnx.freeze(model), X) == flops(nnx.unfreeze(model), X)


def test_every_library_counts_alike(xp):
    with nnx.use_backend(xp.spec):
        model = nnx.Model([nnx.Linear(8, 4), nnx.Softmax(), nnx.Linear(4, 2)])
    assert flops(model, xp.asarray(X)) == 2 * 12 * (8 * 4 + 4 * 2)


def test_nothing_is_kept_or_changed():
    model = nnx.Model([nnx.Dropout(0.5, seed=0), nnx.BatchNorm1d(8)])
    before = nnx.to_numpy(model.state_dict())
    model.summary(X[:, 0])
    np.testing.assert_equal(nnx.to_numpy(model.state_dict()), before)
    assert model.training


class Branching(nnx.Module):
    def forward(self, x):
        return x if float(x[0, 0, 0]) > 0 else -x


def test_a_model_that_reads_its_values_has_no_count():
    lines = nnx.Model([nnx.Linear(8, 8), Branching()]).summary(X).splitlines()
    assert [line.split()[-1] for line in lines[2:4]] == ["-", "-"]
    assert lines[-1] == "total: 72 parameters"


def test_a_counter_that_has_ended():
    counter = FlopCounter()
    x = counter.trace((X, 3))[0]
    assert counter.trace([X])[0].shape == X.shape
    counter.closed = True
    with pytest.raises(TraceError, match="of a transform that has ended"):
        x + 1


def test_derivatives_inside_are_counted_as_what_they_compute():
    class Slope(nnx.Module):
        def forward(self, x):
            return nnx.grad(lambda x: nnx.namespace(x).sum(x @ nnx.namespace(x).matrix_transpose(x)))(x)

    assert flops(Slope(), X) == 3 * 2 * 2 * 6 * 6 * 8
