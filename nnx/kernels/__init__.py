"""Faster bodies of functions for plain arrays of one library, each held by a test to its portable twin.

``NNX_KERNELS=portable`` leaves them out; the default, ``native``, uses what is there.
"""

import os

from nnx.errors import ArgumentError

TIERS = ("portable", "native")


def register() -> None:
    """Put the native bodies into the primitives, unless ``NNX_KERNELS`` says otherwise."""
    tier = os.environ.get("NNX_KERNELS") or "native"
    if tier not in TIERS:
        raise ArgumentError(f"expected NNX_KERNELS to be one of {', '.join(TIERS)}, got {tier!r}")
    if tier == "native":
        from nnx.kernels import numpy

        numpy.register()
