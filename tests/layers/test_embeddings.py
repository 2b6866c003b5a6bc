import numpy as np
import pytest

import nnx
from nnx.errors import ArgumentError, DTypeError
from nnx.testing import assert_close

TOKENS = np.asarray([[0, 2, 1], [2, 2, 0]])


def test_initial_values_are_standard_normal():
    weight = nnx.Embedding(300, 400, rng=0, dtype="float64").weight
    assert abs(weight.std() - 1) < 5e-3
    assert abs(weight.mean()) < 5e-3


def test_padding_starts_at_zero_and_stays_there(xp):
    with nnx.use_backend(xp.spec):
        embedding = nnx.Embedding(3, 2, padding_index=2, rng=0)
    y = embedding(xp.asarray(TOKENS, "int64"))
    embedding.backward(y)
    embedding.update(0.1)
    assert_close(embedding.weight[2, :], xp.asarray([0.0, 0.0], "float32"), rtol=0.0)


def test_tied_to_an_output_layer(xp):
    with nnx.use_backend(xp.spec):
        embedding = nnx.Embedding(3, 4, rng=0, dtype="float64")
        output = nnx.Linear(4, 3, bias=False, dtype="float64")
        output.weight = nnx.Tied(embedding, "weight", transpose=True)
        model = nnx.Model([embedding, output])
    tokens = xp.asarray(TOKENS, "int64")
    cotangent = xp.asarray(np.random.default_rng(0).normal(size=(2, 3, 3)), "float64")
    model(tokens)
    model.backward(cotangent)
    xp_, weight = nnx.namespace(cotangent), embedding.weight
    hidden = nnx.functional.embedding(tokens, weight)
    _, pullback = nnx.vjp(lambda hidden, w: nnx.functional.linear(hidden, w), hidden, weight.T)
    to_hidden, to_output = pullback(cotangent)
    _, pullback = nnx.vjp(lambda w: nnx.functional.embedding(tokens, w), weight)
    assert list(model.gradients()) == ["0.weight"]
    assert_close(model.gradients()["0.weight"], xp_.add(pullback(to_hidden)[0], to_output.T))


@pytest.mark.parametrize("wrong", [-1, 3])
def test_a_wrong_token_is_an_error_that_names_the_layer(xp, wrong):
    with nnx.use_backend(xp.spec):
        model = nnx.Model([nnx.Embedding(3, 2), nnx.ReLU()])
    tokens = xp.asarray([0, wrong], "int64")
    if not nnx.backend.is_cheap_to_read(tokens):
        pytest.skip("reading would stop the queue of a device")
    with pytest.raises(ArgumentError, match=f"Embedding '0': expected indices from 0 to 2, got {wrong}"):
        model(tokens)


def test_what_is_refused(xp):
    for sizes in ((0, 1), (1, 0), (2.5, 1)):
        with pytest.raises(ArgumentError, match=r"expected (num_embeddings|features) to be an integer of at least 1"):
            nnx.Embedding(*sizes)
    with pytest.raises(ArgumentError, match="expected padding_index from 0 to 2, got 3"):
        nnx.Embedding(3, 2, padding_index=3)
    with pytest.raises(ArgumentError, match="expected padding_index to be an integer of at least 0, got -1"):
        nnx.Embedding(3, 2, padding_index=-1)
    with nnx.use_backend(xp.spec):
        embedding = nnx.Embedding(3, 2)
    with pytest.raises(DTypeError, match="Embedding: expected indices of an integer dtype, got float32"):
        embedding(xp.asarray([0.0], "float32"))
