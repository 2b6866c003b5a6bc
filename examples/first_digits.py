"""The first ten images of the data set with their labels: look at the data before training on them.

By default these are the 8x8 digits that ship with nnx; with --data DIR they are MNIST's 28x28 ones. An image is a row
of numbers in [0, 1], 0 for paper and 1 for ink. A network learns best from inputs with mean 0 and standard deviation
1, which is what nnx.data.normalize produces.
"""

import nnx
from options import load_images, option_parser
from plotting import new_figure, save_figure


def main():
    arguments = option_parser(__doc__, data=True).parse_args()
    x, digits = load_images(arguments.data)
    side = round(x.shape[1] ** 0.5)
    normalized = nnx.data.normalize(x)

    print(f"{x.shape[0]:,} images of {side}x{side} pixels, in rows of {x.shape[1]} numbers ({x.dtype})")
    print(f"as loaded:  mean {x.mean():.4f}, standard deviation {x.std():.4f}")
    print(f"normalized: mean {abs(normalized.mean()):.4f}, standard deviation {normalized.std():.4f}")
    print(f"first ten labels: {digits[:10].tolist()}")
    print(f"the label {digits[0]} as a one-hot vector: {nnx.data.index_to_one_hot(digits[:1], classes=10)[0].tolist()}")

    figure, grid = new_figure(7.0, 3.3, rows=2, columns=5)
    for axes, image, digit in zip(grid.flat, x[:10], digits[:10], strict=True):
        axes.imshow(image.reshape(side, side), cmap="gray_r", vmin=0, vmax=1)
        axes.set(xticks=[], yticks=[])
        axes.set_title(str(digit), loc="center", pad=4)
        axes.spines[:].set_visible(True)
        axes.grid(False)
    save_figure(figure, arguments.out, "first_digits")


if __name__ == "__main__":
    main()
