"""Helpers for tests of your own layers: assertions on arrays, and a check of derivatives."""

from nnx.testing.assertions import assert_close
from nnx.testing.gradients import check_gradients

__all__ = ["assert_close", "check_gradients"]
