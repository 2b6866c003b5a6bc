"""Learn the law that foxes and rabbits live by: a neural ordinary differential equation, dy/dt = network(y).

In Lotka and Volterra's equations rabbits multiply, foxes eat them, and both populations go round in circles for ever.
The network knows nothing about that. It sees noisy counts along three orbits, and has to assign a velocity to each
point of the plane such that a Runge-Kutta 4 integration from each count hits the counts that follow. The integrator
is plain array API code, and nnx.value_and_grad goes back through all its steps.

Expect the loss to become hundreds of times smaller, and the learned law to follow an orbit between the three, one
that it has never seen, twice around from nothing but its starting point.

--remat wraps each integration step in nnx.remat, which keeps only the states and recomputes the rest in the backward
pass. It prints the effect: the gradient changes by no more than rounding, and the peak memory falls from 2.1 to 0.3
MB.

Measured with 800 steps and seed 0, in 8 seconds: the loss falls from 0.286 to 0.0006, where the true law has 0.0004
because of the noise; the unseen orbit, with up to 2.36 thousand rabbits, is matched to within 0.07 thousand.
"""

import math
import tracemalloc

import numpy as np
from matplotlib.figure import Figure

import nnx
from options import option_parser
from plotting import BLUE, GREY, ORANGE, label, save_figure

TIME_STEP, COUNTS, AHEAD = 0.1, 90, 10  # between two counts, number of counts, how many of them a prediction spans
STARTS, UNSEEN = ((1.0, 0.1), (1.0, 0.2), (1.0, 0.35)), (1.0, 0.15)  # thousands of rabbits and foxes


class Network(nnx.Module):
    """A velocity for each point of the plane: linear, tanh, linear."""

    def __init__(self, hidden, rng):
        self.inner, self.outer = nnx.Linear(2, hidden, rng=rng), nnx.Linear(hidden, 2, rng=rng)

    def forward(self, y):
        """Map points (..., 2) to velocities (..., 2)."""
        h = self.inner(y)
        return self.outer(nnx.namespace(h).tanh(h))


def lotka_volterra(y):
    """Return the true velocity: rabbits multiply and are eaten, foxes die and feed on rabbits."""
    rabbits, foxes = y[..., 0], y[..., 1]
    change = [1.5 * rabbits - 3.0 * rabbits * foxes, 1.5 * rabbits * foxes - 1.5 * foxes]
    return nnx.namespace(y).stack(change, axis=-1)


def runge_kutta_step(field, y):
    """Follow a field from points y for one time step."""
    k1 = field(y)
    k2 = field(y + TIME_STEP / 2 * k1)
    k3 = field(y + TIME_STEP / 2 * k2)
    k4 = field(y + TIME_STEP * k3)
    return y + TIME_STEP / 6 * (k1 + 2 * k2 + 2 * k3 + k4)


def integrate(field, y, steps, step=runge_kutta_step):
    """Return the trajectory (1 + steps, ...) from y."""
    points = [y]
    for _ in range(steps):
        points.append(step(field, points[-1]))
    return nnx.namespace(*points).stack(points)


def loss(network, counts, step):
    """Return the mean squared error of predictions from each of the counts (time, orbit, 2) for those that follow."""
    starts = counts.shape[0] - AHEAD
    predicted = integrate(network, counts[:starts], AHEAD, step)
    following = nnx.namespace(counts).stack([counts[k : starts + k] for k in range(AHEAD + 1)])
    return nnx.functional.mse(predicted, following)


def train(network, counts, steps, step, learning_rate=0.01):
    """Train with Adam and a learning rate that falls to 0; return the loss before each step."""
    mean, square = dict.fromkeys(network.parameters(), 0.0), dict.fromkeys(network.parameters(), 0.0)
    losses = []
    for n in range(1, steps + 1):
        value, gradients = nnx.value_and_grad(loss)(network, counts, step)
        rate = learning_rate * 0.5 * (1 + math.cos(math.pi * (n - 1) / steps)) / (1 - 0.9**n)
        new = {}
        for path, w in network.parameters().items():
            mean[path] = 0.9 * mean[path] + 0.1 * gradients[path]
            square[path] = 0.99 * square[path] + 0.01 * gradients[path] ** 2
            new[path] = w - rate * mean[path] / ((square[path] / (1 - 0.99**n)) ** 0.5 + 1e-8)
        network.replace_parameters(new)
        losses.append(float(value))
        if n == 1 or n % max(1, steps // 8) == 0:
            print(f"step {n:>4}: loss {value:.5f}")
    return losses


def compare_remat(network, counts):
    """Print how much the gradient changes when each integration step is recomputed, and the peak memory of both."""
    found, peaks = [], []
    for step in (runge_kutta_step, nnx.remat(runge_kutta_step)):
        tracemalloc.start()
        found.append(nnx.grad(loss)(network, counts, step))
        peaks.append(tracemalloc.get_traced_memory()[1] / 1e6)
        tracemalloc.stop()
    difference = max(float(np.max(np.abs(found[0][path] - found[1][path]))) for path in found[0])
    print(f"remat: gradients differ by at most {difference:.1e}, peak {peaks[1]:.2f} MB, not {peaks[0]:.2f} MB")


def plot(network, counts, true, learned, losses):
    """Return a figure: the plane with the learned field and orbits, the unseen orbit over time, and the loss."""
    figure = Figure((10.0, 5.4))
    panels = figure.subplot_mosaic([["plane", "time"], ["plane", "loss"]], width_ratios=(1.25, 1))
    axes = panels["plane"]
    rabbits, foxes = np.meshgrid(np.linspace(0, 3.1, 24), np.linspace(0, 1.6, 24))
    field = network(np.stack([rabbits, foxes], axis=-1).astype("float32"))
    axes.streamplot(rabbits, foxes, field[..., 0], field[..., 1], color="#c3cad2", linewidth=0.7, arrowsize=0.8)
    axes.plot(counts[..., 0], counts[..., 1], ".", color=GREY, markersize=4)
    axes.plot(*true.T, color=ORANGE, linewidth=5, alpha=0.4)
    axes.plot(*learned.T, color=BLUE, linewidth=1.8)
    axes.plot(*UNSEEN, "o", color=BLUE, markersize=6)
    axes.set(title="Learned field; counts (dots); an orbit never seen", xlabel="rabbits", ylabel="foxes")
    axes.set(xlim=(0, 3.1), ylim=(0, 1.6))
    axes.grid(visible=False)

    axes = panels["time"]
    time = TIME_STEP * np.arange(len(true))
    for k, name in enumerate(("rabbits", "foxes")):
        axes.plot(time, true[:, k], color=ORANGE, linewidth=5, alpha=0.4, label="true" if k else None)
        axes.plot(time, learned[:, k], color=BLUE, linewidth=1.8, label="learned" if k else None)
        label(axes, time[-1], true[-1, k], name, GREY)
    axes.legend(loc="lower right", ncols=2, bbox_to_anchor=(1, 1), borderaxespad=0.2)
    axes.set(title="The unseen orbit", xlabel="time", ylim=(0, None))
    panels["loss"].semilogy(losses, color=BLUE, linewidth=1.5)
    panels["loss"].set(title=f"Loss, {AHEAD} counts ahead", xlabel="step")
    return figure


def main():
    parser = option_parser(__doc__)
    parser.add_argument("--steps", type=int, default=800)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--remat", action="store_true", help="keep only the states, and compare the gradients")
    arguments = parser.parse_args()

    rng = np.random.default_rng(arguments.seed)
    orbits = integrate(lotka_volterra, np.asarray(STARTS), COUNTS)
    counts = (orbits + 0.01 * rng.standard_normal(orbits.shape)).astype("float32")
    network = Network(32, rng)
    if arguments.remat:
        compare_remat(network, counts)
    step = nnx.remat(runge_kutta_step) if arguments.remat else runge_kutta_step
    losses = train(network, counts, arguments.steps, step)
    print(f"loss from {losses[0]:.4f} to {losses[-1]:.5f}, {losses[0] / losses[-1]:.0f} times smaller")
    print(f"loss of the true law on the same counts: {loss(lotka_volterra, counts, runge_kutta_step):.5f}")

    true = integrate(lotka_volterra, np.asarray(UNSEEN), COUNTS)
    learned = integrate(network, np.asarray(UNSEEN, dtype="float32"), COUNTS)
    error = np.max(np.abs(learned - true))
    print(f"unseen orbit, {COUNTS} steps from its start: largest error {error:.3f}, rabbits up to {np.max(true):.2f}")
    save_figure(plot(network, counts, true, learned, losses), arguments.out, "neural_ode")


if __name__ == "__main__":
    main()
