"""A residual network with batch normalization, on handwritten digits.

Each block adds what it computes to its input, so a deep network starts out close to the identity, and gradients reach
its first layers. Where a block halves the image and doubles the channels, its shortcut is a convolution of 1x1.

Source: K. He et al., "Deep residual learning for image recognition", CVPR 2016.
"""

import nnx
from image_training import train_on_digits
from options import option_parser


def convolution(channels_in, channels_out, size, rng, stride=1):
    """Return a convolution followed by batch normalization, whose shift makes a bias of its own superfluous."""
    layer = nnx.Conv2d(channels_in, channels_out, size, stride=stride, padding=size // 2, bias=False, rng=rng)
    return nnx.Model([layer, nnx.BatchNorm2d(channels_out)])


class Block(nnx.Module):
    """Two convolutions of 3x3, added to the input."""

    def __init__(self, channels_in, channels_out, stride, rng):
        self.first = convolution(channels_in, channels_out, 3, rng, stride)
        self.second = convolution(channels_out, channels_out, 3, rng)
        is_same = channels_in == channels_out and stride == 1
        self.shortcut = nnx.Identity() if is_same else convolution(channels_in, channels_out, 1, rng, stride)

    def forward(self, x):
        """Map (batch, channels_in, height, width) to (batch, channels_out, height / stride, width / stride)."""
        return nnx.functional.relu(self.second(nnx.functional.relu(self.first(x))) + self.shortcut(x))


def make_resnet(side, rng, widths=(16, 32, 64)):
    """Return the network for images (batch, 1, side, side)."""
    blocks = [
        Block(channels_in, channels_out, stride, rng)
        for channels_in, channels_out, stride in zip((widths[0], *widths), widths, (1, 2, 2), strict=False)
    ]
    stem = convolution(1, widths[0], 3, rng)
    return nnx.Model([stem, nnx.ReLU(), *blocks, nnx.GlobalAvgPool(), nnx.Linear(widths[-1], 10, rng=rng)])


def main():
    parser = option_parser(__doc__, data=True, training=True)
    parser.add_argument("--epochs", type=int, default=12)
    parser.add_argument("--learning-rate", type=float, default=4e-3)
    options = parser.parse_args()
    with nnx.use_backend(options.backend):
        accuracy = train_on_digits(make_resnet, options, "residual_network")
    print(f"validation accuracy {100 * accuracy:.2f} %")


if __name__ == "__main__":
    main()
