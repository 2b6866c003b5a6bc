"""Kernels of recurrent functions give what the portable body gives, and say what they leave to it."""

import tracemalloc
from types import SimpleNamespace

import numpy as np
import pytest

import nnx
from nnx import functional as F
from nnx.errors import ArgumentError
from nnx.testing import assert_close

HOST = SimpleNamespace(asarray=np.asarray)
GATES = {"rnn": 1, "lstm": 4, "gru": 3}


def draw(xp, kind, batch=5, time=4, features=3, hidden=4, dtype="float64"):
    rng = np.random.default_rng(0)
    width = GATES[kind] * hidden
    shapes = [(batch, time, features), (features, width), (hidden, width), (width,), (width,)]
    shapes += [(batch, hidden)] * (2 if kind == "lstm" else 1)
    return [xp.asarray(rng.normal(size=shape), dtype) for shape in shapes]


def mask_of(xp):
    """Return lengths, one of them zero, and a gap."""
    mask = np.arange(4) < np.asarray([4, 2, 1, 0, 3])[:, None]
    mask[4, 1] = False
    return xp.asarray(mask, "bool")


@pytest.mark.parametrize(
    ("kind", "masked", "reverse"),
    [("rnn", True, False), ("lstm", True, True), ("lstm", False, True), ("gru", True, False)],
)
def test_of_many_steps(xp, kind, masked, reverse):
    if xp.name == "array-api-strict":
        pytest.skip("there are no kernels for it")
    arrays = draw(xp, kind)
    options = {"mask": mask_of(xp) if masked else None, "reverse": reverse}
    if kind == "rnn":
        options["activation"] = "relu"
    results = []
    for tier in ("portable", "native"):
        with nnx.use_kernels(tier):
            y, pullback = nnx.vjp(lambda *arrays: getattr(F, kind)(*arrays, **options), *arrays)
            results.append((y, pullback(y), pullback(y), getattr(F, kind)(*arrays, **options)))
    assert_close(results[0], results[1], rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize(
    ("kind", "sizes"), [("lstm", (20, 60, 5, 70)), ("lstm", (3, 300, 2, 4)), ("gru", (20, 60, 2, 3))]
)
def test_of_many_rows(kind, sizes):
    """Batches that take the other ways of multiplying, and lengths whose gradients are added up in parts."""
    arrays = draw(HOST, kind, *sizes, dtype="float64")
    arrays = [array / 4 for array in arrays]
    mask = np.random.default_rng(1).random(sizes[:2]) < 0.8
    results = []
    for tier in ("portable", "native", "compiled"):
        with nnx.use_kernels(tier):
            y, pullback = nnx.vjp(lambda *arrays: getattr(F, kind)(*arrays, mask=mask, reverse=True), *arrays)
            results.append((y, pullback(y), pullback(y), getattr(F, kind)(*arrays, mask=mask, reverse=True)))
    assert_close(results[0], results[1], rtol=1e-9, atol=1e-9)
    assert_close(results[0], results[2], rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize(("kind", "batch"), [("lstm", 3), ("lstm", 20), ("gru", 3)])
@pytest.mark.parametrize("tier", ["native", "compiled"])
def test_some_gradients(tier, kind, batch):
    """Each argument alone, with and without biases; nothing that the caller gets is memory of another gradient."""
    arrays = draw(HOST, kind, batch)
    function = getattr(F, kind)
    for count in (3, 4, 5):
        some = arrays[:count]
        with nnx.use_kernels("portable"):
            y, pullback = nnx.vjp(lambda *some: function(*some)[0], *some)
            expected = pullback(y)
        with nnx.use_kernels(tier):
            for i in range(count):
                only = lambda array, i=i, some=some: function(*some[:i], array, *some[i + 1 :])[0]  # noqa: E731
                y, pullback = nnx.vjp(only, some[i])
                assert_close(pullback(y), expected[i : i + 1], rtol=1e-10, atol=1e-12)
            y, pullback = nnx.vjp(lambda *some: function(*some)[0], *some)
            found = pullback(y)
        assert not any(np.shares_memory(a, b) for i, a in enumerate(found) for b in found[:i])


@pytest.mark.parametrize("kind", ["lstm", "gru"])
def test_values_that_are_not_finite_pass_through_the_gates(kind):
    arrays = draw(HOST, kind, 20)
    arrays[0][3, 1, 0], arrays[0][4, 1, 0], arrays[0][5, 1, 0] = np.nan, np.inf, -np.inf
    results = []
    for tier in ("portable", "native", "compiled"):
        with nnx.use_kernels(tier), np.errstate(invalid="ignore"):
            y, pullback = nnx.vjp(getattr(F, kind), *arrays)
            results.append((y, pullback(y)[:1]))
    assert_close(results[0], results[1], rtol=1e-10, atol=1e-12, equal_nan=True)
    assert_close(results[0], results[2], rtol=1e-10, atol=1e-12, equal_nan=True)


def declined(function, args):
    (reason,) = set(nnx.kernels.explain(function, *args).declined.values())
    return reason


def test_what_numpy_leaves_to_the_portable_body():
    class Own(np.ndarray):
        pass

    arrays = draw(HOST, "lstm")
    with nnx.use_kernels("native"):
        assert nnx.kernels.explain(F.lstm, *arrays).chosen == "numpy, native"
    assert "float32 and float64" in declined(F.lstm, draw(HOST, "lstm", dtype="float16"))
    assert "not empty" in declined(F.lstm, draw(HOST, "lstm", batch=0))
    assert "subclass" in declined(F.lstm, [arrays[0], arrays[1].view(Own), *arrays[2:]])


def test_what_torch_leaves_to_the_portable_body():
    torch = pytest.importorskip("torch", reason="torch is not installed")

    library = SimpleNamespace(asarray=lambda data, dtype: torch.as_tensor(data, dtype=getattr(torch, dtype)))
    arrays = draw(library, "gru")
    assert nnx.kernels.explain(F.gru, *arrays).chosen == "torch, native"
    assert "no mask" in declined(F.gru, [*arrays, mask_of(library)])
    assert "empty" in declined(F.gru, draw(library, "gru", batch=0))
    indices = torch.asarray([0])
    assert "complex" in declined(F.embedding, [indices, torch.ones((2, 2), dtype=torch.complex64)])
    assert "16 bits" in declined(F.embedding, [indices, torch.ones((2, 2), dtype=torch.float16)])


def test_kernels_know_the_activations(xp):
    with pytest.raises(ArgumentError, match="expected activation to be one of 'tanh', 'relu', got 'elu'"):
        F.rnn(*draw(xp, "rnn"), activation="elu")


def test_a_call_without_derivatives_keeps_two_states():
    batch, time, hidden = 4, 200, 32
    arrays = draw(HOST, "lstm", batch, time, hidden, hidden)

    def peak(function):
        tracemalloc.start()
        function()
        (_, found), _ = tracemalloc.get_traced_memory(), tracemalloc.stop()
        return found

    function = lambda *arrays: F.lstm(*arrays)[0]  # noqa: E731
    nnx.vjp(function, *arrays)  # what is loaded or compiled at the first call does not count
    alone, recorded = peak(lambda: function(*arrays)), peak(lambda: nnx.vjp(function, *arrays))
    assert recorded - alone > 1.8 * batch * time * hidden * 8  # hidden and cell states of all steps
