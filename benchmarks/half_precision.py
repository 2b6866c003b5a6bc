"""Forward and backward pass under each policy of precision, on torch and, compiled by jax.jit, on JAX arrays.

Run with ``OMP_NUM_THREADS=1``; the ratios are to float32 in the same run.
"""

import importlib.util
import statistics

import numpy as np
from timing import ratio

import nnx
from nnx.training import Policy, supervised


class OfSequence(nnx.Module):
    """Classes from what a layer makes of a sequence, at its last step."""

    def __init__(self, inner, rng):
        self.inner, self.head = inner, nnx.Linear(128, 10, rng=rng)

    def forward(self, x):
        """Map (batch, time, features) to (batch, classes)."""
        y = self.inner(x)
        return self.head((y[0] if isinstance(y, tuple) else y)[:, -1, :])


def models():
    """Return pairs of a model and the shape of its input by name."""
    rng = np.random.default_rng(0)
    first, second, last = (nnx.Linear(1024, width, rng=rng) for width in (1024, 1024, 10))
    linear = nnx.Model([first, nnx.GELU(), second, nnx.GELU(), last])
    lenet = [
        *[nnx.Conv2d(1, 16, 5, padding="same", rng=rng), nnx.ReLU(), nnx.MaxPool2d(2)],
        *[nnx.Conv2d(16, 32, 5, padding="same", rng=rng), nnx.BatchNorm2d(32), nnx.ReLU(), nnx.MaxPool2d(2)],
        *[nnx.Flatten(), nnx.Linear(32 * 49, 128, rng=rng), nnx.ReLU(), nnx.Linear(128, 10, rng=rng)],
    ]
    block = nnx.TransformerEncoderBlock(128, 8, dropout=0.0, rng=rng)
    return {
        "three linear layers of 1024": (
            nnx.Model([linear[0], nnx.GELU(), linear[1], nnx.GELU(), linear[2]]),
            (128, 1024),
        ),
        "LeNet": (nnx.Model(lenet), (64, 1, 28, 28)),
        "LSTM": (OfSequence(nnx.LSTM(64, 128, rng=rng), rng), (32, 50, 64)),
        "transformer block": (OfSequence(block, rng), (16, 64, 128)),
    }


def step_of(model, batch, dtype, backend):
    """Return a function that goes forward and back once."""
    gradient = nnx.value_and_grad(Policy(dtype).objective(supervised(nnx.CrossEntropy())), has_aux=True)
    if backend == "torch":
        return lambda: gradient(model, batch)
    import jax

    def step(state, batch):
        (value, _), gradients = gradient(model.with_state(state), batch)
        return value, dict(gradients)

    compiled, state = jax.jit(step), model.state_dict()
    return lambda: jax.block_until_ready(compiled(state, batch))


def main():
    """Print the table."""
    print(f"{'library':9}{'model':30}{'float32 ms':>11}{'bfloat16 ms':>12}{'ratio':>7}{'float16 ms':>12}{'ratio':>7}")
    for backend in ("torch", "jax"):
        if importlib.util.find_spec(backend) is None:
            continue
        for name, (model, shape) in models().items():
            rng = np.random.default_rng(1)
            batch = rng.normal(size=shape).astype(np.float32), rng.integers(10, size=shape[0]).astype(np.int32)
            batch = nnx.to_device(batch, backend)
            model.to(backend)
            wide = step_of(model, batch, "float32", backend)
            found = [ratio(step_of(model, batch, dtype, backend), wide, 9) for dtype in ("bfloat16", "float16")]
            base = 1e3 * statistics.median(times for _, _, times in found)
            columns = "".join(f"{1e3 * own:12.1f}{share:7.2f}" for share, own, _ in found)
            print(f"{backend:9}{name:30}{base:11.1f}{columns}", flush=True)


if __name__ == "__main__":
    main()
