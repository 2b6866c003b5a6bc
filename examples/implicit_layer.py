"""A layer whose output solves an equation, z = tanh(z W + x U + b), and its gradient from the solution alone.

Apply the right-hand side again and again until z stops changing: that is a network of any depth, with the same
weights in every layer. Backpropagation would need every one of these steps. By the implicit function theorem the
solution is enough: from a cotangent c of z, find the u with u = c + u dstep/dz, again by iteration; the rest is one
pullback of one step. nnx.custom_vjp teaches nnx this rule in ten lines.

Expect the same gradients as through all the steps, in less time, and in memory that does not grow with the number of
steps; and a layer of twenty such numbers z that tells two spirals apart.

Measured with 400 steps and seed 0, in 2 seconds: the loss falls from 0.77 to 0.009, and 100.0 % of the points and
99.6 % of new ones are classified correctly. With 25 steps to the solution the gradients agree to 3e-10; they take 3.3
ms and 1.9 MB through all the steps, 2.1 ms and 0.5 MB without them.
"""

import timeit
import tracemalloc

import numpy as np

import nnx
from options import option_parser
from plotting import BLUE, GREY, ORANGE, label, new_figure, save_figure

MOST = 1000  # steps to a solution


def contraction(W):
    """Scale columns down to an absolute sum of at most 0.95, so that a step brings any two z closer together."""
    xp = nnx.namespace(W)
    return 0.95 * W / xp.clip(xp.sum(xp.abs(W), axis=0), min=1.0)


def step(z, x, W, U, b):
    """Return tanh(z W + x U + b)."""
    y = z @ W + x @ U + b
    return nnx.namespace(y).tanh(y)


def solve(f, z, tolerance):
    """Repeat z <- f(z) until no number changes by more than the tolerance; return z and the number of steps."""
    for count in range(1, MOST + 1):
        before, z = z, f(z)
        difference = nnx.stop_gradient(z) - nnx.stop_gradient(before)
        if float(nnx.namespace(difference).max(abs(difference))) <= tolerance:
            return z, count
    raise ArithmeticError(f"no solution after {MOST} steps")


def unrolled(x, W, U, b, tolerance):
    """Return the solution, starting from z = 0; its gradient goes back through all the steps."""
    xp = nnx.namespace(x, U)
    return solve(lambda z: step(z, x, W, U, b), xp.zeros_like(x @ U), tolerance)[0]


implicit = nnx.custom_vjp(unrolled)


@implicit.with_pullback
def _(x, W, U, b, tolerance):
    z = implicit(x, W, U, b, tolerance)

    def pullback(cotangent):
        _, back_in_z = nnx.vjp(lambda z: step(z, x, W, U, b), z)
        u, _ = solve(lambda u: cotangent + back_in_z(u)[0], cotangent, tolerance)
        _, back = nnx.vjp(lambda *arguments: step(z, *arguments), x, W, U, b)
        return (*back(u), None)

    return z, pullback


def logits(parameters, x, layer=implicit, tolerance=1e-6):
    """Return two numbers per point: how much it looks like each of the spirals."""
    W, U, b, V = parameters.values()
    return layer(x, contraction(W), U, b, tolerance) @ V


def loss(parameters, x, spiral, layer=implicit, tolerance=1e-6):
    """Return the mean cross-entropy of the points."""
    return nnx.functional.cross_entropy(logits(parameters, x, layer, tolerance), spiral)


def spirals(count, rng):
    """Return points (count, 2) on two spirals of two turns, with a little noise, and which spiral each is on."""
    spiral = np.arange(count) % 2
    radius = np.sqrt(rng.uniform(0.01, 1, count))
    angle = 4 * np.pi * radius + np.pi * spiral
    points = np.stack([radius * np.cos(angle), radius * np.sin(angle)], axis=-1)
    return points + 0.03 * rng.standard_normal((count, 2)), spiral


def train(parameters, x, spiral, steps, learning_rate=1.0):
    """Train by gradient descent with momentum 0.9 on all points at once; return the parameters."""
    velocity = dict.fromkeys(parameters, 0.0)
    for n in range(steps):
        value, gradient = nnx.value_and_grad(loss)(parameters, x, spiral)
        velocity = {name: 0.9 * velocity[name] + gradient[name] for name in parameters}
        parameters = {name: w - learning_rate * velocity[name] for name, w in parameters.items()}
        if n == 0 or (n + 1) % max(1, steps // 5) == 0:
            print(f"step {n + 1:>3}: loss {value:.4f}")
    return parameters


def measure(*arguments):
    """Return a gradient of the loss, the milliseconds it takes (best of 5), and its peak memory in MB."""
    seconds = timeit.repeat(lambda: nnx.grad(loss)(*arguments), repeat=5, number=1)
    tracemalloc.start()
    gradient, peak = nnx.grad(loss)(*arguments), tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return gradient, 1e3 * min(seconds), peak / 1e6


def compare(parameters, x, spiral):
    """Measure both layers at decreasing tolerances; return rows (steps to the solution, MB unrolled, MB implicit)."""
    W, U, b, _ = parameters.values()
    rows = []
    for tolerance in (1e-1, 1e-2, 1e-4, 1e-6, 1e-9, 1e-12):
        _, count = solve(lambda z: step(z, x, contraction(W), U, b), np.zeros((len(x), len(b))), tolerance)
        through, slow, large = measure(parameters, x, spiral, unrolled, tolerance)
        around, quick, small = measure(parameters, x, spiral, implicit, tolerance)
        rows.append((count, large, small))
    largest = max(float(np.max(np.abs(gradient))) for gradient in through.values())
    difference = max(float(np.max(np.abs(through[name] - around[name]))) for name in through) / largest
    print(f"gradients after {count} steps: largest difference {difference:.1e} of the largest entry")
    print(f"through the steps: {slow:.1f} ms and {large:.2f} MB; implicit: {quick:.1f} ms and {small:.2f} MB")
    return np.asarray(rows)


def plot(parameters, x, spiral, rows):
    """Return a figure: the spirals with their regions, and the memory of both gradients."""
    figure, (plane, memory) = new_figure(9.0, 4.4, columns=2)
    grid = np.stack(np.meshgrid(*[np.linspace(-1.15, 1.15, 160)] * 2), axis=-1)
    scores = logits(parameters, grid.reshape(-1, 2)).reshape(160, 160, 2)
    plane.contourf(*grid.T, (scores[..., 1] - scores[..., 0]).T, levels=(-1e9, 0, 1e9), colors=("#cfdff0", "#fbe3c5"))
    plane.scatter(*x.T, c=np.where(spiral, ORANGE, BLUE), s=9)
    plane.set(title="Two spirals, told apart by an equation", aspect="equal", xticks=(), yticks=())
    memory.plot(rows[:, 0], rows[:, 1], "o-", color=GREY)
    memory.plot(rows[:, 0], rows[:, 2], "o-", color=BLUE)
    label(memory, *rows[-2, :2], "back through all steps", GREY, xytext=(-8, 6), ha="right")
    label(memory, *rows[-1, ::2], "implicit", BLUE, xytext=(0, 11), ha="right")
    memory.set(title="Memory of a gradient (MB)", xlabel="steps to the solution", ylim=(0, None), xlim=(0, None))
    return figure


def main():
    parser = option_parser(__doc__)
    parser.add_argument("--steps", type=int, default=400)
    parser.add_argument("--points", type=int, default=400)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()

    rng = np.random.default_rng(arguments.seed)
    x, spiral = spirals(arguments.points, rng)
    scales = {"W": ((20, 20), 1.0), "U": ((2, 20), 3.0), "b": ((20,), 1.0), "V": ((20, 2), 0.2)}
    initial = {name: scale * rng.standard_normal(shape) for name, (shape, scale) in scales.items()}
    parameters = train(initial, x, spiral, arguments.steps)
    for name, (points, which) in (("training", (x, spiral)), ("new", spirals(1000, rng))):
        accuracy = np.mean(np.argmax(logits(parameters, points), axis=1) == which)
        print(f"accuracy on {name} points: {100 * accuracy:.1f} %")
    rows = compare(parameters, x, spiral)
    save_figure(plot(parameters, x, spiral, rows), arguments.out, "implicit_layer")


if __name__ == "__main__":
    main()
