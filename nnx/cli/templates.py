"""Configurations to start from, for ``nnx init``."""

from nnx.errors import ArgumentError
from nnx.functional.checks import nearest

_TRAINING = """\
epochs = {epochs}              # passes through the training set
batch_size = {batch_size}          # samples for each step
seed = 0                 # decides initial weights, batches and division
# accumulate = 4         # batches for each update
# policy = "float16"     # or bfloat16: what the model computes in; weights keep float32
# not_finite = "skip"    # leave out batches whose loss is NaN, instead of an error

[model]
{model}

[optimizer]
type = "AdamW"           # any of nnx.optimizers
# A number, or a schedule of nnx.schedules: a function of the step, of which an epoch has samples / batch_size.
learning_rate = {{type = "schedules.Cosine", start = {rate}, steps = {steps}}}
weight_decay = 0.01
groups = [{{paths = "*bias", weight_decay = 0.0}}]

# [average]              # of the weights, for validation and for what is saved
# type = "EMA"
# decay = 0.99

# [metrics.top3]         # beside loss and accuracy
# type = "TopKAccuracy"
# k = 3

[[callbacks]]
type = "ClipGradients"
norm = 1.0

[[callbacks]]
type = "EarlyStopping"
monitor = "validation_loss"
patience = 10
"""
_AUGMENTATION = """
# [[transforms]]         # of training images (batch, channels, height, width)
# type = "RandomCrop"
# size = {size}
# padding = 1
"""
_PERCEPTRON = 'preset = "perceptron"    # linear layers with ReLU between them\nhidden = [50]'
_LENET = 'preset = "lenet"         # two convolutions and two linear layers'

TEMPLATES = {
    "digits": 'data = "digits"          # 1,797 images of 8x8 pixels, which come with nnx\n'
    + _TRAINING.format(epochs=20, batch_size=32, model=_LENET, rate="3e-3", steps=900)
    + _AUGMENTATION.format(size=8),
    "mnist": 'data = "mnist"           # 70,000 images of 28x28 pixels, downloaded once\n'
    + _TRAINING.format(epochs=10, batch_size=128, model=_LENET, rate="3e-3", steps=4690)
    + _AUGMENTATION.format(size=28),
    "images": 'data = "images"          # a directory with a folder of images for each class\n'
    "data_options = {size = 32, channels = 1}  # 3 for red, green and blue\n"
    + _TRAINING.format(epochs=20, batch_size=32, model=_LENET, rate="1e-3", steps=2000)
    + _AUGMENTATION.format(size=32),
    "table": 'data = "table.csv"\n'
    'data_options = {target = "y"}  # a number; of a class also classes = ["small", "large"], or their number\n'
    + _TRAINING.format(epochs=50, batch_size=32, model=_PERCEPTRON, rate="1e-2", steps=1000),
}


def template(name: str) -> str:
    """Return the text of a configuration.

    Raises
    ------
    ArgumentError
        If there is none of that name.
    """
    if name not in TEMPLATES:
        raise ArgumentError(f"expected {', '.join(TEMPLATES)} to start from, got {name!r}{nearest(name, TEMPLATES)}")
    return f"# nnx train config.toml\n{TEMPLATES[name]}"
