"""Gradient descent on f(x) = (x - 2)^2 + 1, whose only minimum is at x = 2.

Each step goes against the gradient, x <- x - rate * f'(x), and nnx.grad computes f'. With a rate of 0.1, each step
multiplies the distance to the minimum by 0.8, so starting from 5 expect the n-th point to be 2 + 3 * 0.8^n: large steps
where f is steep, small ones near the minimum.
"""

import numpy as np

import nnx
from options import option_parser
from plotting import BLUE, ORANGE, RED, label, new_figure, save_figure


def f(x):
    """Return (x - 2)^2 + 1."""
    return (x - 2) ** 2 + 1


def main():
    parser = option_parser(__doc__)
    parser.add_argument("--steps", type=int, default=10)
    arguments = parser.parse_args()

    slope = nnx.grad(f)
    learning_rate, x = 0.1, np.asarray(5.0)
    points = [float(x)]
    print(f"{'n':>3} {'point':>11} {'2 + 3 * 0.8^n':>14} {'f(point)':>10}")
    for n in range(arguments.steps + 1):
        print(f"{n:>3} {x:>11.8f} {2 + 3 * 0.8**n:>14.8f} {f(x):>10.6f}")
        x = x - learning_rate * slope(x)
        points.append(float(x))

    figure, axes = new_figure()
    points = np.asarray(points[:-1])
    curve = np.linspace(-1.2, 5.2, 400)
    axes.plot(curve, f(curve), color=BLUE)
    axes.plot(points, f(points), "o", color=RED, markersize=6)
    axes.plot(2, 1, "*", color=ORANGE, markersize=14)
    for n in range(min(4, len(points))):
        label(axes, points[n], f(points[n]), f"$x_{n}$", RED, xytext=(9, -4))
    label(axes, 2, 1, "minimum", ORANGE, xytext=(0, -14), ha="center")
    label(axes, -1, f(-1.0), "f(x) = (x - 2)² + 1", BLUE, xytext=(10, 4))
    axes.set(title=f"The first {arguments.steps} steps from 5 with rate 0.1", xlabel="x", ylabel="f(x)", ylim=(0, 11.5))
    save_figure(figure, arguments.out, "gradient_descent")


if __name__ == "__main__":
    main()
