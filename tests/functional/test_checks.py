"""What is no array is refused in one line that says which argument it was."""

import numpy as np
import pytest

import nnx
from nnx import functional
from nnx.errors import BackendError, DTypeError, TraceError

X = np.ones((4, 2), np.float32)
LABELS = np.ones(4, np.int64)
WEIGHT = np.ones((2, 3), np.float32)

CALLS = {
    "input": [
        functional.relu,
        functional.softmax,
        functional.sigmoid,
        functional.exponential,
        functional.log_softmax,
        functional.erf,
        functional.logsumexp,
        lambda x: functional.linear(x, WEIGHT),
        lambda x: functional.mse(x, X),
        lambda x: functional.mses(x, X),
        lambda x: functional.gather(x, LABELS, axis=0),
        lambda x: functional.index_add(x, LABELS, X, axis=0),
        lambda x: nnx.Linear(2, 3)(x),
    ],
    "weight": [lambda x: functional.linear(X, x)],
    "logits": [lambda x: functional.cross_entropy(x, LABELS)],
    "target": [lambda x: functional.mse(X, x), lambda x: functional.cross_entropy(X, x)],
    "indices": [lambda x: functional.gather(X, x, axis=0), lambda x: functional.index_add(X, x, X, axis=0)],
    "values": [lambda x: functional.index_add(X, LABELS, x, axis=0)],
    "mean": [lambda x: functional.kl_divergence_standard_normal(x, X), lambda x: functional.reparameterize(x, X, X)],
}


@pytest.mark.parametrize("value", [1.5, None], ids=["float", "None"])
@pytest.mark.parametrize(("name", "call"), [(name, call) for name, calls in CALLS.items() for call in calls])
def test_a_number_or_nothing(name, call, value):
    what = "an array" if name == "input" else f"{name} to be an array"
    with pytest.raises(DTypeError, match=f"expected {what}, got {'float' if value else 'None'}; make it one"):
        call(value)


@pytest.mark.parametrize("value", ["text", [[1.0, 2.0]], object()], ids=["str", "list", "object"])
def test_what_is_no_array_at_all(value):
    for call in (call for calls in CALLS.values() for call in calls):
        with pytest.raises((DTypeError, BackendError), match=r"expected .* array.* got .*; (convert it|make it one)"):
            call(value)


@pytest.mark.filterwarnings("ignore:the matrix subclass:PendingDeprecationWarning")
@pytest.mark.parametrize(
    ("convert", "message"),
    [
        (np.ma.asarray, r"got numpy.MaskedArray: its mask would be lost.*x\.filled\(value\)"),
        (np.asmatrix, r"got numpy.matrix: its \* is a matrix product.*convert it with numpy\.asarray"),
    ],
)
def test_classes_of_numpy_that_are_no_plain_arrays(convert, message):
    value = convert(X)
    for call in (functional.relu, lambda x: functional.linear(x, WEIGHT), lambda x: functional.mse(X, x), nnx.ReLU()):
        with pytest.raises(BackendError, match=f"expected a plain array, {message}"):
            call(value)
    with pytest.raises(BackendError, match="expected a plain array"):
        nnx.grad(lambda x: nnx.namespace(x).sum(x))(value)


def test_other_subclasses_of_numpy_arrays_are_welcome(tmp_path):
    mapped = np.memmap(tmp_path / "x", np.float32, "w+", shape=(4, 2))
    assert functional.relu(mapped).shape == (4, 2)


def test_arguments_that_are_missing():
    for call in (functional.linear, lambda: functional.linear(X), lambda: functional.linear(x=X), functional.relu):
        with pytest.raises(TypeError, match="missing"):
            call()


class TestFunctionsOfJax:
    """JAX does not ask a traced array to take part, as NumPy and torch do, so its error is another one."""

    @pytest.fixture
    def jnp(self):
        return pytest.importorskip("jax.numpy", reason="jax is not installed")

    def test_in_a_transform(self, jnp):
        for function in (jnp.sum, lambda x: jnp.sum(jnp.tanh(x)), lambda x: jnp.dot(jnp.ones(2), x)):
            for transform in (nnx.grad(function), lambda x, f=function: nnx.jvp(f, (x,), (x,))):
                with pytest.raises(
                    TraceError, match=r"another library met a traced array.*xp = nnx\.namespace\(x"
                ) as caught:
                    transform(jnp.ones(2))
                assert isinstance(caught.value.__cause__, TypeError)

    def test_in_forward(self, jnp):
        class Tanh(nnx.Module):
            def __init__(self):
                self.weight = nnx.Parameter(jnp.ones(2))

            def forward(self, x):
                return jnp.tanh(x * self.weight)

        with pytest.raises(TraceError, match=r"^Tanh '0': a function of another library met a traced array"):
            nnx.Model([Tanh()])(jnp.ones(2))
