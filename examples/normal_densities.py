"""Densities of three normal distributions, which initial weights are drawn from.

The density of N(mean, variance) is symmetric around the mean, and wider for a larger variance. Whatever the two are,
68.3 % of the area is within one standard deviation of the mean.

A second property keeps a deep network stable at the start: the sum of independent normal numbers is a normal number,
whose mean is the sum of the means and whose variance is the sum of the variances. One million sums of two random
numbers show it: expect mean 3 and variance 5.
"""

import math

import numpy as np

from options import option_parser
from plotting import BLUE, GREEN, ORANGE, label, new_figure, save_figure

DISTRIBUTIONS = [(0.0, 1.0, BLUE), (0.0, 4.0, ORANGE), (3.0, 1.0, GREEN)]  # mean, variance, color


def density(x, mean, variance):
    """Return the density of N(mean, variance) at x."""
    std = math.sqrt(variance)
    return np.exp(-0.5 * ((x - mean) / std) ** 2) / (std * math.sqrt(2 * math.pi))


def area_within_one_std(mean, variance):
    """Integrate the density from mean - std to mean + std, by the trapezoidal rule."""
    std = math.sqrt(variance)
    x = np.linspace(mean - std, mean + std, 2001)
    return np.trapezoid(density(x, mean, variance), x)


def main():
    parser = option_parser(__doc__)
    parser.add_argument("--samples", type=int, default=1_000_000, help="numbers to draw for the sum")
    arguments = parser.parse_args()

    figure, axes = new_figure()
    x = np.linspace(-6.5, 6.5, 1001)
    for mean, variance, color in DISTRIBUTIONS:
        name = f"N({mean:.0f}, {variance:.0f})"
        print(f"{name}: area within one standard deviation {area_within_one_std(mean, variance):.4f}")
        y = density(x, mean, variance)
        axes.plot(x, y, color=color)
        axes.fill_between(x, y, where=abs(x - mean) <= math.sqrt(variance), color=color, alpha=0.15, linewidth=0)
        if variance == 1:
            label(axes, mean, y.max(), name, color, xytext=(0, 8), ha="center")
        else:
            label(axes, -2.6, density(-2.6, mean, variance), name, color, xytext=(-8, 6), ha="right")

    rng = np.random.default_rng(0)
    total = rng.normal(0, math.sqrt(4), arguments.samples) + rng.normal(3, math.sqrt(1), arguments.samples)
    print(f"N(0, 4) + N(3, 1): mean {total.mean():.3f}, variance {total.var():.3f}")

    axes.set(title="Normal densities; shaded: within one standard deviation", xlabel="x", ylabel="density")
    axes.set(xlim=(-6.5, 6.5), ylim=(0, 0.45))
    save_figure(figure, arguments.out, "normal_densities")


if __name__ == "__main__":
    main()
