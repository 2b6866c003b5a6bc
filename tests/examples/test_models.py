"""The models of real data at their quick settings: they run, draw their plots, and compute the same everywhere."""

import pytest
from printed import numbers

IMAGES = ["lenet", "residual_network", "convolutional_vae", "denoising_autoencoder"]
TEXTS = ["character_lstm", "character_transformer", "word_embeddings", "reverse_sequences"]


@pytest.mark.parametrize("name", [*IMAGES, *TEXTS])
def test_quick_run(run, name):
    assert "plot: " in run(name, "--quick")


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
