"""One training loop, unchanged, on the arrays of every installed library: NumPy, torch, JAX, CuPy, ...

The loop names no library. The model computes wherever the data are: nnx.use_backend decides where parameters are
created, and nnx.to_device moves the data. Initial weights and the order of the images come from seeds and are the
same numbers everywhere, so expect the same losses up to float32 rounding.
"""

import time

import nnx
from options import load_images, option_parser
from plotting import BLUE, GREEN, GREY, ORANGE, RED, label, new_figure, save_figure


def train(x, y, epochs):
    """Train a network with one hidden layer on arrays of any library; return the loss of each step."""
    model = nnx.Model([nnx.Linear(x.shape[1], 50, rng=0), nnx.ReLU(), nnx.Linear(50, 10, rng=1)])
    loss = nnx.CrossEntropy()
    batches = nnx.data.DataLoader((x, y), batch_size=100, seed=0)
    losses = []
    for _ in range(epochs):
        for x_batch, y_batch in batches:
            losses.append(loss(model(x_batch), y_batch))
            model.backward(loss.gradient())
            model.update(learning_rate=0.1)
    return [float(value) for value in losses]


def main():
    parser = option_parser(__doc__, data=True)
    parser.add_argument("--epochs", type=int, default=10)
    arguments = parser.parse_args()
    x, y = load_images(arguments.data)
    y = y.astype("int32")  # JAX has no int64 unless its 64-bit mode is on

    found = {}
    for name, devices in nnx.available_backends().items():
        start = time.perf_counter()
        with nnx.use_backend(name):
            found[name] = train(nnx.to_device(x, name), nnx.to_device(y, name), arguments.epochs)
        seconds = time.perf_counter() - start
        print(f"{name:<17} on {devices[0]:<11} final loss {found[name][-1]:.7f}  ({seconds:.1f} s)")

    figure, (top, bottom) = new_figure(7.0, 5.4, rows=2, sharex=True)
    reference = found.pop("numpy")
    epoch = [step * arguments.epochs / len(reference) for step in range(len(reference))]
    top.plot(epoch, reference, color=BLUE)
    label(top, epoch[-1], reference[-1], "every\nlibrary", BLUE)
    top.set(title="The same loop on every array library", ylabel="loss of the batch", ylim=(0, None))
    for (name, losses), color in zip(found.items(), (ORANGE, GREEN, RED, GREY), strict=False):
        difference = [(a - b) / b * 1e7 for a, b in zip(losses, reference, strict=True)]
        bottom.plot(epoch, difference, color=color, linewidth=1, label=name)
    bottom.axhspan(-1.19, 1.19, color="#e4e7ea", label="one rounding of float32")
    bottom.set(xlabel="epoch", ylabel="relative difference\nfrom NumPy (1e-7)")
    bottom.legend(loc="upper left", bbox_to_anchor=(1, 1))
    save_figure(figure, arguments.out, "train_on_any_backend")


if __name__ == "__main__":
    main()
