"""One training step of the post's network, 784-50-10 at batch 100, against PyTorch, JAX and NumPy by hand, in one run.

Forward, cross-entropy, backward and one step of gradient descent, in float32. The times are medians of interleaved
rounds; the ratio is that of each round to the hand-written step of the same round. Libraries that are not installed are
left out.
Run: ``python benchmarks/post_step.py``.
"""

import statistics
import time

import numpy as np
from against_autograd import mlp_by_hand

import nnx

RATE = 0.1
RNG = np.random.default_rng(0)
X = RNG.standard_normal((100, 784)).astype(np.float32)
LABELS = RNG.integers(0, 10, 100)


def parameters():
    """Return the initial weights, the same for everybody."""
    rng = nnx.generator(0)
    model = nnx.Model([nnx.Linear(784, 50, rng=rng), nnx.ReLU(), nnx.Linear(50, 10, rng=rng)])
    return model, [np.array(w) for w in model.parameters().values()]


def by_hand():
    """Return the step as an expert would write it in NumPy, in place."""
    _, weights = parameters()

    def step():
        loss, gradients = mlp_by_hand(*weights, X, LABELS)
        for weight, gradient in zip(weights, gradients, strict=True):
            weight -= RATE * gradient
        return loss

    return step


def as_in_the_post():
    """Return the step as the post writes it."""
    model, _ = parameters()
    loss = nnx.CrossEntropy()

    def step():
        value = loss(model(X), LABELS)
        model.backward(loss.gradient())
        model.update(RATE)
        return value

    return step


def functional():
    """Return the step with value_and_grad and an optimizer."""
    model, _ = parameters()
    optimizer = nnx.SGD(model, RATE)
    differentiated = nnx.value_and_grad(lambda model: nnx.functional.cross_entropy(model(X), LABELS))

    def step():
        value, gradients = differentiated(model)
        optimizer.step(gradients)
        return value

    return step


def with_torch():
    """Return PyTorch's step, eager."""
    import torch

    _, (w1, b1, w2, b2) = parameters()
    model = torch.nn.Sequential(torch.nn.Linear(784, 50), torch.nn.ReLU(), torch.nn.Linear(50, 10))
    with torch.no_grad():
        for parameter, value in zip(model.parameters(), (w1.T, b1, w2.T, b2), strict=True):
            parameter.copy_(torch.as_tensor(value.copy()))
    optimizer = torch.optim.SGD(model.parameters(), lr=RATE)
    x, labels = torch.as_tensor(X), torch.as_tensor(LABELS)

    def step():
        optimizer.zero_grad()
        value = torch.nn.functional.cross_entropy(model(x), labels)
        value.backward()
        optimizer.step()
        return value.item()

    return step


def with_jax():
    """Return JAX's step, compiled."""
    import jax
    import jax.numpy as jnp

    _, weights = parameters()
    weights = [jnp.asarray(w) for w in weights]

    def objective(weights, x, labels):
        w1, b1, w2, b2 = weights
        logits = jax.nn.relu(x @ w1 + b1) @ w2 + b2
        return -jnp.mean(jax.nn.log_softmax(logits)[jnp.arange(100), labels])

    @jax.jit
    def update(weights, x, labels):
        value, gradients = jax.value_and_grad(objective)(weights, x, labels)
        return value, [w - RATE * g for w, g in zip(weights, gradients, strict=True)]

    x, labels = jnp.asarray(X), jnp.asarray(LABELS)

    def step():
        nonlocal weights
        value, weights = update(weights, x, labels)
        return value.block_until_ready()

    return step


CASES = {
    "NumPy by hand": by_hand,
    "nnx, as in the post": as_in_the_post,
    "nnx, value_and_grad": functional,
    "PyTorch, eager": with_torch,
    "JAX, compiled": with_jax,
}


def main():
    """Print the table."""
    steps = {}
    for name, make in CASES.items():
        try:
            steps[name] = make()
        except ImportError as error:
            print(f"left out: {name} ({error})")
    values = {name: [float(step()) for _ in range(20)][-1] for name, step in steps.items()}
    for name, value in values.items():
        np.testing.assert_allclose(value, values["NumPy by hand"], rtol=1e-4, err_msg=name)
    rounds = {name: [] for name in steps}
    for _ in range(60):
        for name, step in steps.items():
            start = time.perf_counter()
            for _ in range(20):
                step()
            rounds[name].append((time.perf_counter() - start) / 20)
    hand = rounds["NumPy by hand"]
    print(f"{'training step':24}{'us':>9}{'ratio to by hand':>19}")
    for name, times in rounds.items():
        ratio = statistics.median(t / h for t, h in zip(times, hand, strict=True))
        print(f"{name:24}{statistics.median(times) * 1e6:9.0f}{ratio:19.2f}")


if __name__ == "__main__":
    main()
