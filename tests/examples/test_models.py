"""The models of real data at their quick settings: they run, draw their plots, and compute the same everywhere."""

import pytest
from printed import numbers

FALLING = {
    "lenet": "epoch +\\d+: loss #",
    "residual_network": "epoch +\\d+: loss #",
    "convolutional_vae": "epoch +\\d+: loss #",
    "denoising_autoencoder": "validation error #",
    "character_lstm": "step +\\d+: loss #",
    "character_transformer": "step +\\d+: loss #",
    "word_embeddings": "step +\\d+: loss #",
    "reverse_sequences": "step +\\d+: loss #",
}
"""For each example how it prints what it minimizes."""


@pytest.mark.parametrize("name", FALLING)
def test_quick_run(run, name):
    losses = numbers(FALLING[name], run(name, "--quick"))
    assert losses[-1] < losses[0]


def test_fine_tuning(run):
    pytest.importorskip("torch", reason="the example imports a model from torch")
    text = run("fine_tuning", "--quick").replace(",", "")
    whole, adapters = numbers("# of # parameters trained", text)
    assert whole[0] == whole[1]
    assert adapters[0] < 0.3 * adapters[1]


@pytest.mark.parametrize("backend", ["array-api-strict", "torch", "jax"])
def test_the_same_losses_on_another_library(run, backend):
    pytest.importorskip(backend.replace("-", "_"), reason=f"{backend} is not installed")
    expected = numbers("loss #, validation #", run("character_lstm", "--quick"))
    found = numbers("loss #, validation #", run("character_lstm", "--quick", "--backend", backend))
    assert found == [pytest.approx(row, abs=2e-3) for row in expected]
