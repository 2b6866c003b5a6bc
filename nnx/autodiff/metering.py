"""A tape that reads a meter, such as a clock, and says how much of it went to whom, forward and backward."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from typing import Any

from nnx.autodiff.primitives import Primitive, Pullback
from nnx.autodiff.tape import Tape
from nnx.autodiff.traced import TracedArray

Seen = Callable[[str, Primitive[..., Any], Sequence[int], Sequence[Any], dict[str, Any], Any], Any]
"""Called for each operation: ``seen(owner, primitive, wanted, values, options, output)``."""


class MeteredTape(Tape):
    """A tape whose operations belong to an owner: what the meter counts in between is charged to it.

    All that is counted has an owner, also the work around the operations. What one operation leads to in the backward
    pass, such as the sum of two cotangents, is that of the operation.

    Parameters
    ----------
    meter : callable
        Returns a number that grows.
    wait : callable, optional
        Called with each result before the meter is read, for a device that computes later.
    seen : callable, optional
        See :data:`Seen`.

    Attributes
    ----------
    forward, backward : defaultdict from owner to number
    """

    __slots__ = ("_mark", "_meter", "_owner", "_seen", "_spent", "_wait", "backward", "forward")

    def __init__(
        self, meter: Callable[[], float], wait: Callable[[Any], Any] | None = None, seen: Seen | None = None
    ) -> None:
        super().__init__()
        self.forward: defaultdict[str, float] = defaultdict(float)
        self.backward: defaultdict[str, float] = defaultdict(float)
        self._meter, self._wait, self._seen = meter, wait, seen
        self._spent = self.forward
        self._owner, self._mark = "", meter()

    def start(self) -> None:
        """Count from here on."""
        self._mark = self._meter()

    def _charge(self, owner: str) -> None:
        """Let the owner so far pay, and the next one begin."""
        now = self._meter()
        self._spent[self._owner] += now - self._mark
        self._owner, self._mark = owner, now

    def run_for(self, owner: str, function: Callable[[], Any]) -> Any:
        """Call a function at an owner's expense. In the backward pass, what is run again is still its operation's."""
        if self._spent is self.backward:
            return function()
        before = self._owner
        self._charge(owner)
        try:
            return function()
        finally:
            self._charge(before)

    def record(self, primitive: Primitive[..., Any], args: Sequence[Any], options: dict[str, Any]) -> Any:
        """Run a primitive, and meter its pullback."""
        output = super().record(primitive, args, options)
        if not self.nodes or type(self.nodes[-1][0]) is _Metered:  # it was that of a transform inside
            return output
        pullback, inputs, slots, fresh = self.nodes[-1]
        self.nodes[-1] = (_Metered(self, self._owner, pullback), inputs, slots, fresh)
        if self._wait is not None:
            self._wait(_values(output))
        if self._seen is not None:
            values = [arg.value if type(arg) is TracedArray and arg.trace is self else arg for arg in args]
            self._seen(self._owner, primitive, inputs, values, options, _values(output))
        return output

    def go_back(self, seeds: Sequence[tuple[int, Any]]) -> None:
        """Walk back from cotangents of the output."""
        self.closed = True
        self._charge("")
        self._spent = self.backward
        self.walk(seeds, consume=True)
        self._charge("")

    def pull_for(self, owner: str, pullback: Pullback, cotangent: Any) -> Sequence[Any]:
        """Call a pullback at an owner's expense."""
        self._charge(owner)
        parts = pullback(cotangent)
        if self._wait is not None:
            self._wait(parts)
        return parts


class _Metered:
    """The pullback of an operation, at its owner's expense."""

    __slots__ = ("_owner", "_pullback", "_tape")

    def __init__(self, tape: MeteredTape, owner: str, pullback: Pullback) -> None:
        self._tape, self._owner, self._pullback = tape, owner, pullback

    def __call__(self, cotangent: Any) -> Sequence[Any]:
        return self._tape.pull_for(self._owner, self._pullback, cotangent)


def _values(output: Any) -> Any:
    if isinstance(output, (tuple, list)):
        return [part.value for part in output]
    return output.value
