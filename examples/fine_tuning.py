"""Fine-tune a PyTorch model with low-rank adapters, on the arrays of any library.

PyTorch trains a network on handwritten digits. nnx takes it over with its weights, and the task changes: the images now
lie on their side. Once all 270,000 weights are trained; once they are frozen, and only small matrices
beside those of the linear layers are trained: the adapters of LoRA. Both start from the same weights.

This example needs PyTorch. Source: E. Hu et al., "LoRA: Low-rank adaptation of large language models", ICLR 2022.
"""

import numpy as np

import nnx
from options import load_images, option_parser
from plotting import BLUE, GREY, ORANGE, new_figure, save_figure


def train_in_torch(x, y, hidden, epochs, seed):
    """Return a PyTorch model trained on images (count, pixels)."""
    import torch

    torch.manual_seed(seed)
    pixels = x.shape[1]
    model = torch.nn.Sequential(
        torch.nn.Linear(pixels, hidden), torch.nn.ReLU(), torch.nn.Linear(hidden, hidden), torch.nn.ReLU(),
        torch.nn.Linear(hidden, 10),
    )  # fmt: skip
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
    x, y = torch.from_numpy(x), torch.from_numpy(y).long()
    for _ in range(epochs):
        for batch in torch.randperm(len(x)).split(64):
            optimizer.zero_grad()
            torch.nn.functional.cross_entropy(model(x[batch]), y[batch]).backward()
            optimizer.step()
    return model


def on_their_side(x):
    """Return square images, as rows of pixels, turned by a quarter."""
    side = round(x.shape[1] ** 0.5)
    return np.ascontiguousarray(np.rot90(x.reshape(-1, side, side), axes=(1, 2))).reshape(len(x), -1)


def fine_tune(model, loader, validation, epochs, learning_rate):
    """Train the parameters of a model that are not frozen; return the validation accuracy before and in each epoch."""
    optimizer = nnx.Adam(model, nnx.schedules.Cosine(learning_rate, steps=epochs * len(loader)))
    trainer = nnx.Trainer(model, nnx.CrossEntropy(), optimizer, metrics=[nnx.metrics.Accuracy()])
    before = trainer.evaluate(validation)["accuracy"]
    history = trainer.fit(loader, validation, epochs=epochs)
    return [before, *history.column("validation_accuracy")]


def count(parameters):
    """Return the number of elements of a dict of arrays."""
    return sum(np.prod(array.shape, dtype=int) for array in parameters.values())


def main():
    parser = option_parser(__doc__, data=True, training=True)
    parser.add_argument("--epochs", type=int, default=8)
    parser.add_argument("--rank", type=int, default=32)
    parser.add_argument("--hidden", type=int, default=256)
    options = parser.parse_args()
    x, y = load_images(options.data)
    x, y = nnx.data.normalize(x), y.astype("int32")
    if options.quick:
        x, y, options.epochs = x[:800], y[:800], 3
    parts = nnx.data.train_validation_split(x, y, fraction=0.2, rng=options.seed)
    original = train_in_torch(*parts[:2], options.hidden, options.epochs, options.seed)

    found = {}
    with nnx.use_backend(options.backend):
        x_train, y_train, x_validation, y_validation = (
            nnx.to_device(part, options.backend) for part in (on_their_side(parts[0]), parts[1],
                                                              on_their_side(parts[2]), parts[3])
        )  # fmt: skip
        loader = nnx.data.DataLoader((x_train, y_train), batch_size=64, seed=options.seed)
        validation = nnx.data.DataLoader((x_validation, y_validation), batch_size=500, shuffle=False)
        for name in ("all weights", "adapters"):
            model = nnx.io.from_torch(original).train()
            if name == "adapters":
                nnx.add_lora(nnx.freeze(model), rank=options.rank, rng=options.seed)
            rate = 1e-3 if name == "all weights" else 4e-3
            found[name] = fine_tune(model, loader, validation, options.epochs, rate)
            trained, total = count(model.trainable_parameters()), count(model.parameters())
            print(
                f"{name}: {trained:,} of {total:,} parameters trained; "
                f"validation accuracy {found[name][0]:.2%} before, {found[name][-1]:.2%} after"
            )

    figure, axes = new_figure(6.4, 4.2)
    for (name, history), color in zip(found.items(), (ORANGE, BLUE), strict=True):
        axes.plot([100 * accuracy for accuracy in history], color=color, marker="o", markersize=4, label=name)
    axes.axhline(10, color=GREY, linestyle="--", linewidth=1)
    axes.set(title="Digits on their side: validation accuracy, percent", xlabel="epoch of fine-tuning", ylim=(0, 100))
    axes.legend(loc="lower right")
    save_figure(figure, options.out, "fine_tuning")


if __name__ == "__main__":
    main()
