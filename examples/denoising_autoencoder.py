"""A denoising autoencoder: it sees digits through noise, and learns to return the digits alone.

The network halves the image twice and enlarges it again. What it can pass through that bottleneck is the shape of a
digit and not the noise of single pixels. The images that it is tested on were not in training.

Source: P. Vincent et al., "Extracting and composing robust features with denoising autoencoders", ICML 2008.
"""

import numpy as np
from matplotlib.figure import Figure

import nnx
from options import load_images, option_parser
from plotting import BLUE, GREY, label, save_figure, show_images
from reporting import Report


def make_autoencoder(rng):
    """Return the network, from images (batch, 1, side, side) to images of that shape."""
    return nnx.Model(
        [
            nnx.Conv2d(1, 16, 3, stride=2, padding=1, rng=rng),
            nnx.ReLU(),
            nnx.Conv2d(16, 32, 3, stride=2, padding=1, rng=rng),
            nnx.ReLU(),
            nnx.Conv2d(32, 32, 3, padding=1, rng=rng),
            nnx.ReLU(),
            nnx.ConvTranspose2d(32, 16, 4, stride=2, padding=1, rng=rng),
            nnx.ReLU(),
            nnx.ConvTranspose2d(16, 1, 4, stride=2, padding=1, rng=rng),
        ]
    )


def with_noise(images, noise, seed, step):
    """Return images with normal noise, the same for the same seed and step on every array library."""
    drawn = nnx.backend.normal(tuple(images.shape), like=images, seed=seed, stream="noise", step=step)
    return images + noise * drawn


def train(model, x, x_validation, epochs, learning_rate, noise, seed):
    """Train with Adam, with other noise in each batch; return the trainer and the images that it is validated on."""

    def disturb(batch, key):
        (images,) = batch
        return with_noise(images, noise, key.seed, step=key.epoch * len(x) + int(key.indices[0])), images

    loader = nnx.data.DataLoader((x,), batch_size=32, seed=seed, transform=disturb)
    noisy = with_noise(x_validation, noise, seed + 1, step=0)
    report = Report("epoch {epoch:>2}: validation error {validation_loss:.5f}  ({seconds:.0f} s)")
    trainer = nnx.Trainer(model, nnx.MSE(), nnx.Adam(model, learning_rate), callbacks=[report])
    trainer.fit(loader, validation=(noisy, x_validation), epochs=epochs)
    return trainer, noisy


def plot(history, noise, images):
    """Return a figure: the error of each epoch beside that of the noise, and some images."""
    figure = Figure((10.0, 4.0))
    layout = [["error", "Noisy"], ["error", "Denoised"], ["error", "Original"]]
    panels = figure.subplot_mosaic(layout, width_ratios=(1, 1.3))
    axes = panels["error"]
    axes.semilogy(range(1, len(history) + 1), history, color=BLUE)
    axes.axhline(noise**2, color=GREY, linestyle="--")
    label(axes, 1, noise**2, "of the noisy images", GREY, xytext=(0, -10))
    label(axes, len(history), history[-1], f"{history[-1]:.4f}", BLUE)
    axes.set(title="Mean squared error of new images", xlabel="epoch")
    for title, shown in zip(("Noisy", "Denoised", "Original"), images, strict=True):
        panels[title].set_title(title, pad=3)
        show_images(panels[title], shown)
    return figure


def main():
    parser = option_parser(__doc__, data=True, training=True)
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--learning-rate", type=float, default=2e-3)
    parser.add_argument("--noise", type=float, default=0.5, help="standard deviation of the noise of a pixel")
    options = parser.parse_args()
    pixels, digits = load_images(options.data)
    if options.quick:
        pixels, digits, options.epochs = pixels[:500], digits[:500], 2
    side = round(pixels.shape[1] ** 0.5)
    images = pixels.reshape(-1, 1, side, side)
    x, _, x_validation, _ = nnx.data.train_validation_split(images, digits, fraction=0.2, rng=options.seed)
    with nnx.use_backend(options.backend):
        x, x_validation = (nnx.to_device(part, options.backend) for part in (x, x_validation))
        model = make_autoencoder(np.random.default_rng(options.seed))
        arguments = (options.epochs, options.learning_rate, options.noise, options.seed)
        trainer, noisy = train(model, x, x_validation, *arguments)
        shown = (noisy[:10], trainer.predict(noisy[:10]), x_validation[:10])
    history = trainer.history.column("validation_loss")
    print(f"error of the noisy images {options.noise**2:.4f}, of the denoised ones {history[-1]:.5f}")
    pictures = [nnx.to_numpy(part).reshape(10, -1) for part in shown]
    save_figure(plot(history, options.noise, pictures), options.out, "denoising_autoencoder")


if __name__ == "__main__":
    main()
