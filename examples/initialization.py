"""How large initial weights may be: send a vector through 152 random layers of 512 units, as in a deep network.

Multiplying by a matrix of N(0, 1) numbers scales the standard deviation by sqrt(512), about 22.6. So after 152 of
them, expect about 1e206 in float64; and in float32, the dtype that networks compute with, an overflow after some 28
layers. Weights divided by sqrt(512) keep it near 1, unless a ReLU follows each product: a ReLU halves the power of
the signal, and 152 of them leave about 1e-23. Weights times sqrt(2 / 512) make up for that and keep it near 1 again.
"Near 1" means from 0.2 to 2: the randomness of 152 matrices adds up, as other values of --seed show.

The last two are nnx.initializers.LeCunNormal and HeNormal; HeNormal is the default of nnx.Linear.
"""

import numpy as np

import nnx
from options import option_parser
from plotting import BLUE, GREY, ORANGE, RED, label, new_figure, save_figure

WIDTH = 512
CASES = [  # name, initializer, whether a ReLU follows, color
    ("N(0, 1)", nnx.initializers.Normal(0.0, 1.0), False, RED),
    ("N(0, 1) / √512", nnx.initializers.LeCunNormal(), False, BLUE),
    ("N(0, 1) / √512", nnx.initializers.LeCunNormal(), True, ORANGE),
    ("N(0, 1) · √(2/512)", nnx.initializers.HeNormal(), True, BLUE),
]


def standard_deviation(x):
    """Return the standard deviation, as a Python float, of numbers whose squares may overflow or underflow."""
    largest = float(abs(x).max())
    return largest * float((x / largest).std()) if 0 < largest < np.inf else largest


def propagate(initializer, relu, layers, dtype, seed):
    """Return the standard deviation of a random vector and after each layer, up to the first overflow."""
    rng = np.random.default_rng(seed)
    x = rng.standard_normal(WIDTH).astype(dtype)
    found = [standard_deviation(x)]
    for _ in range(layers):
        W = initializer(rng, (WIDTH, WIDTH), WIDTH, WIDTH).astype(dtype)
        with np.errstate(over="ignore", invalid="ignore"):  # overflow is the point of the first case
            x = x @ W
        if relu:
            x = nnx.functional.relu(x)
        if not np.isfinite(x).all():
            break
        found.append(standard_deviation(x))
    return found


def main():
    parser = option_parser(__doc__)
    parser.add_argument("--layers", type=int, default=152)
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    layers = arguments.layers

    figure, panels = new_figure(9.0, 4.2, columns=2)
    print(f"{'weights':<20} {'ReLU':<5} {'dtype':<8} {'std':>9}  after")
    for name, initializer, relu, color in CASES:
        axes = panels[int(relu)]
        for dtype, style in (("float64", {"color": color}), ("float32", {"color": "black", "linestyle": (0, (1, 3))})):
            found = propagate(initializer, relu, layers, dtype, arguments.seed)
            depth = len(found) - 1
            end = f"{depth} layers" + (", then overflow" if depth < layers else "")
            print(f"{name:<20} {'yes' if relu else 'no':<5} {dtype:<8} {found[-1]:>9.2e}  {end}")
            axes.semilogy(range(depth + 1), found, **style)
            if depth < layers:
                axes.plot(depth, found[-1], "x", color="black", markersize=9, markeredgewidth=2)
                label(axes, depth, found[-1], "float32 overflows", "black", xytext=(12, -3))
            elif dtype == "float64":
                offset = (-68, 0) if found[-1] > 1e100 else (8, 6)
                label(axes, depth // 2, found[depth // 2], name, color, xytext=offset, va="bottom")

    panels[0].set(title="Products alone", ylabel="standard deviation of the vector")
    panels[1].set(title="A ReLU after each product")
    for axes in panels:
        axes.set_xlabel("layer")
        axes.margins(y=0.08)
    panels[1].plot([], [], color=GREY, label="float64")
    panels[1].plot([], [], color="black", linestyle=(0, (1, 3)), label="float32")
    panels[1].legend(loc="lower left")
    save_figure(figure, arguments.out, "initialization")


if __name__ == "__main__":
    main()
