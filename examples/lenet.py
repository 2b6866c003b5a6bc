"""A convolutional network in the manner of LeNet, on handwritten digits.

Two convolutions, each followed by a maximum over squares of 2x2, find strokes wherever they are; two linear layers
read what was found. Each image is shifted by up to two pixels in training, so that each epoch sees other ones.

Source: Y. LeCun et al., "Gradient-based learning applied to document recognition", Proceedings of the IEEE, 1998. This
one has ReLU, maxima and dropout, which came later.
"""

import nnx
from image_training import train_on_digits
from options import option_parser


def make_lenet(side, rng):
    """Return the network for images (batch, 1, side, side)."""
    return nnx.Model(
        [
            nnx.Conv2d(1, 16, 5, padding="same", rng=rng),
            nnx.ReLU(),
            nnx.MaxPool2d(2),
            nnx.Conv2d(16, 32, 5, padding="same", rng=rng),
            nnx.ReLU(),
            nnx.MaxPool2d(2),
            nnx.Flatten(),
            nnx.Linear(32 * (side // 4) ** 2, 128, rng=rng),
            nnx.ReLU(),
            nnx.Dropout(0.3, seed=0),
            nnx.Linear(128, 10, rng=rng),
        ]
    )


def main():
    parser = option_parser(__doc__, data=True, training=True)
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--learning-rate", type=float, default=2e-3)
    options = parser.parse_args()
    with nnx.use_backend(options.backend):
        accuracy = train_on_digits(make_lenet, options, "lenet")
    print(f"validation accuracy {100 * accuracy:.2f} %")


if __name__ == "__main__":
    main()
