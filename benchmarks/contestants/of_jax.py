"""JAX, the whole step compiled by ``jax.jit``, which may write its results into the memory of its arguments."""

from collections.abc import Callable
from typing import Any

from benchmarks.workload import Rule, Step, Task

BETAS, EPSILON = (0.9, 0.999), 1e-8


def cross_entropy(logits: Any, target: Any) -> Any:
    """Return the mean cross-entropy over all but the last axis."""
    import jax
    import jax.numpy as jnp

    chosen = jnp.take_along_axis(jax.nn.log_softmax(logits), target[..., None], axis=-1)
    return -jnp.mean(chosen)


def update_of(rule: Rule) -> tuple[Callable[[Any], Any], Callable[..., Any]]:
    """Return two functions, ``start(weights) -> state`` and ``update(weights, gradients, state) -> weights, state``."""
    import jax
    import jax.numpy as jnp

    zeros, each = lambda weights: jax.tree.map(jnp.zeros_like, weights), jax.tree.map
    momentum, decay = rule.options.get("momentum"), rule.options.get("weight_decay", 0.0)

    def descend(weights, gradients, state):
        return each(lambda w, g: w - rule.rate * g, weights, gradients), state

    def descend_with_momentum(weights, gradients, velocity):
        velocity = each(lambda v, g: momentum * v + g, velocity, gradients)
        return each(lambda w, v: w - rule.rate * v, weights, velocity), velocity

    def adam(weights, gradients, state):
        (b1, b2), (first, second, count) = BETAS, state
        count = count + 1
        first = each(lambda m, g: b1 * m + (1 - b1) * g, first, gradients)
        second = each(lambda v, g: b2 * v + (1 - b2) * g * g, second, gradients)
        rate, root = rule.rate / (1 - b1**count), jnp.sqrt(1 - b2**count)

        def step(w, m, v):
            return w * (1 - rule.rate * decay) - rate * m / (jnp.sqrt(v) / root + EPSILON)

        return each(step, weights, first, second), (first, second, count)

    if rule.name != "SGD":
        return lambda weights: (zeros(weights), zeros(weights), jnp.float32(0)), adam
    return (lambda weights: (), descend) if momentum is None else (zeros, descend_with_momentum)


def training_step(task: Task) -> Step:
    """Return a step of training."""
    import jax
    import jax.numpy as jnp

    start, update = update_of(task.rule)

    def loss_of(weights, buffers, x, target):
        logits, buffers = task.of_jax(weights, buffers, x)
        return cross_entropy(logits, target), buffers

    def compute(weights, buffers, state, x, target):
        (value, buffers), gradients = jax.value_and_grad(loss_of, has_aux=True)(weights, buffers, x, target)
        return value, buffers, *update(weights, gradients, state)

    compiled = jax.jit(compute, donate_argnums=(0, 1, 2))
    weights, buffers = jax.tree.map(jnp.array, (task.weights, task.buffers))
    state, x, target = start(weights), jnp.asarray(task.x), jnp.asarray(task.target)

    def step():
        nonlocal weights, buffers, state
        value, buffers, weights, state = jax.block_until_ready(compiled(weights, buffers, state, x, target))
        return value

    return step
