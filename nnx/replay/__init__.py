"""Replay: a step recorded once, and repeated without the work around it; see :func:`nnx.compile`."""

from nnx.replay.compiled import Compiled, compile

__all__ = ["Compiled", "compile"]
