"""A convolutional variational autoencoder: handwritten digits as points in the plane, and digits from points.

The encoder maps an image to the mean and the variance of a normal distribution in the plane, a random point is drawn
from it, and the decoder turns the point back into an image. Since the loss keeps the distributions close to N(0, 1),
any point near the origin decodes into something like a digit, and similar digits lie side by side.

Source: D. P. Kingma and M. Welling, "Auto-encoding variational Bayes", ICLR 2014.
"""

import numpy as np
from matplotlib.figure import Figure
from scipy.special import ndtri

import nnx
from options import load_images, option_parser
from plotting import GREY, save_figure, show_images
from reporting import Report

LINE = "epoch {epoch:>2}: loss {loss:.2f} = pixels {pixels:.2f} + divergence {divergence:.2f}  ({seconds:.0f} s)"


class ConvolutionalVAE(nnx.Module):
    """Maps images (batch, 1, side, side) to logits of their pixels, and to the latent mean and variance."""

    def __init__(self, side, latent, rng):
        small = side // 4
        self.encoder = nnx.Model(
            [
                nnx.Conv2d(1, 16, 3, stride=2, padding=1, rng=rng),
                nnx.ReLU(),
                nnx.Conv2d(16, 32, 3, stride=2, padding=1, rng=rng),
                nnx.ReLU(),
                nnx.Flatten(),
                nnx.Linear(32 * small * small, 128, rng=rng),
                nnx.ReLU(),
            ]
        )
        self.mean = nnx.Linear(128, latent, rng=rng)
        logarithm = nnx.Linear(128, latent, initializer=nnx.initializers.Normal(0.0, 0.01), rng=rng)
        self.variance = nnx.Model([logarithm, nnx.Exponential()])
        self.draw = nnx.Reparameterization(rng=rng)
        self.decoder = nnx.Model(
            [
                nnx.Linear(latent, 128, rng=rng),
                nnx.ReLU(),
                nnx.Linear(128, 32 * small * small, rng=rng),
                nnx.ReLU(),
                nnx.Unflatten(1, (32, small, small)),
                nnx.ConvTranspose2d(32, 16, 4, stride=2, padding=1, rng=rng),
                nnx.ReLU(),
                nnx.ConvTranspose2d(16, 1, 4, stride=2, padding=1, rng=rng),
            ]
        )

    def forward(self, x):
        """Return the logits of an image drawn for each input, and the mean and variance of the latent points."""
        hidden = self.encoder(x)
        mean, variance = self.mean(hidden), self.variance(hidden)
        return self.decoder(self.draw(mean, variance)), mean, variance


def objective(model, batch):
    """Return the loss of an average image: the cross-entropy of its pixels, and the divergence from N(0, 1)."""
    (x,) = batch
    logits, mean, variance = model(x)
    pixels = nnx.functional.bce_with_logits(logits, x, reduction="sum") / x.shape[0]
    divergence = nnx.functional.kl_divergence_standard_normal(mean, variance)
    return pixels + divergence, (pixels, divergence)


def train(model, x, epochs, learning_rate, seed):
    """Train with Adam; return the loss of each epoch."""
    metrics = {"pixels": lambda parts, _: parts[0], "divergence": lambda parts, _: parts[1]}
    trainer = nnx.Trainer(model, objective, nnx.Adam(model, learning_rate), metrics=metrics, callbacks=[Report(LINE)])
    return trainer.fit(x, epochs=epochs, batch_size=64, seed=seed).column("loss")


def plot(latent, digits, grid, columns):
    """Return a figure: where the digits lie in the plane, and what the plane looks like."""
    figure = Figure((10.0, 4.8))
    left, right = figure.subplots(1, 2)
    points = left.scatter(*latent.T, c=digits, cmap="tab10", s=5, alpha=0.6, linewidths=0)
    left.set(title="Where the encoder puts the digits", aspect="equal", xlim=(-4, 4), ylim=(-4, 4))
    figure.colorbar(points, ax=left, ticks=range(10), fraction=0.046).solids.set_alpha(1)
    right.set_title("What the decoder makes of the plane", color="black")
    show_images(right, grid, columns=columns)
    left.tick_params(colors=GREY)
    return figure


def main():
    parser = option_parser(__doc__, data=True, training=True)
    parser.add_argument("--epochs", type=int, default=20)
    parser.add_argument("--learning-rate", type=float, default=2e-3)
    options = parser.parse_args()
    pixels, digits = load_images(options.data)
    if options.quick:
        pixels, digits, options.epochs = pixels[:500], digits[:500], 2
    side = round(pixels.shape[1] ** 0.5)
    with nnx.use_backend(options.backend):
        x = nnx.to_device(pixels.reshape(-1, 1, side, side), options.backend)
        model = ConvolutionalVAE(side, latent=2, rng=np.random.default_rng(options.seed))
        history = train(model, x, options.epochs, options.learning_rate, options.seed)
        model.eval()
        count = 12  # quantiles of N(0, 1), so that each picture stands for an equally likely part of the plane
        steps = ndtri((np.arange(count) + 0.5) / count)
        plane = np.stack(np.meshgrid(steps, -steps), axis=-1).reshape(-1, 2).astype("float32")
        decoded = nnx.functional.sigmoid(model.decoder(nnx.backend.asarray(plane)))
        latent = np.concatenate([nnx.to_numpy(model(x[i : i + 500])[1]) for i in range(0, len(pixels), 500)])
    print(f"loss of the first epoch {history[0]:.1f}, of the last {history[-1]:.2f}")
    grid = nnx.to_numpy(decoded).reshape(count * count, -1)
    save_figure(plot(latent, digits, grid, count), options.out, "convolutional_vae")


if __name__ == "__main__":
    main()
