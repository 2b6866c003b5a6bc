"""Change an input a little, at random, but always the same way for the same random numbers."""

import copy
import json
import random
import re
from collections.abc import Iterator
from typing import Any

_NUMBER = re.compile(rb"-?[0-9]+(?:\.[0-9]+)?")
_TOKENS = (
    *(b"0", b"-1", b"1", b"2", b"7", b"0.5", b"1e999", b"-0.0", b"NaN", b"Infinity", b"9" * 400),
    *(b"2147483648", b"4294967295", b"9223372036854775807", b"18446744073709551616"),
    *(
        b"null",
        b"true",
        b'""',
        b"[]",
        b"{}",
        b'{"":0}',
        b'"\\ud800"',
        b"\xff\xff\xff\xff",
        b"\0\0\0\0",
        b"\xef\xbb\xbf",
    ),
    *(b"../", b"/dev/zero", b"\n", b"\r", b"\0", b",", b":", b'"'),
)
_VALUES: tuple[Any, ...] = (
    *(None, True, False, -1, 0, 1, 2, 3, 7, 2**63, 10**400, 0.5, -0.0, 1e308, float("inf"), float("nan")),
    *("", "x", "float32", "Linear", "../x", "\ud800", [], [1], [1, [2]], {}, {"": 0}, {"type": "Linear"}),
    *({"type": "float", "value": "inf"}, {"type": "tuple", "items": [1, 2]}, {"type": "function", "name": "relu"}),
    *({"type": "array", "dtype": "float32", "values": [1.0]}, {"type": "shared", "at": "0"}, {"$array": "b"}),
)
_MOST_BYTES = 2**17


class Mutator:
    """Makes new inputs from old ones.

    Parameters
    ----------
    seed : int
    tokens : tuple of bytes
        What a format is made of, beside numbers, brackets and words that every format gets.
    """

    def __init__(self, seed: int, tokens: tuple[bytes, ...] = ()) -> None:
        self.rng = random.Random(seed)
        self._tokens = _TOKENS + tokens * 3

    def mutate(self, data: bytes, other: bytes) -> bytes:
        """Return a changed copy; parts may come from another input."""
        if self.rng.randrange(2) and (changed_json := self._mutate_json(data, other)):
            return changed_json
        changed = bytearray(data)
        for _ in range(self.rng.choice((1, 1, 1, 2, 3, 6))):
            self._change(changed, other)
        return bytes(changed[:_MOST_BYTES])

    def _change(self, data: bytearray, other: bytes) -> None:
        rng = self.rng
        start = rng.randrange(len(data) + 1)
        end = min(len(data), start + rng.choice((1, 2, 4, 8, 30, 200)))
        match rng.randrange(10):
            case 0 if data:
                data[start - 1] ^= 1 << rng.randrange(8)
            case 1 if data:
                data[start - 1] = rng.randrange(256)
            case 2:
                del data[start:end]
            case 3:
                data[start:start] = data[start:end] * rng.choice((1, 1, 1, 2, 50, 2000))
            case 4:
                data[start:start] = rng.choice(self._tokens)
            case 5:
                data[start:end] = rng.choice(self._tokens)
            case 6:
                self._replace(data, [found.span() for found in _NUMBER.finditer(data)])
            case 7:  # a whole text in quotes, or up to the next delimiter
                self._replace(data, [found.span() for found in re.finditer(rb'"[^"]*"|\[[^\[\]]*\]', data)])
            case 8 if other:
                begin = rng.randrange(len(other))
                data[start:end] = other[begin : begin + rng.choice((1, 4, 30, 200))]
            case _:
                data[start:end] = rng.randbytes(end - start)

    def _replace(self, data: bytearray, spans: list[tuple[int, int]]) -> None:
        if spans:
            start, end = self.rng.choice(spans)
            data[start:end] = self.rng.choice(self._tokens)

    def _mutate_json(self, data: bytes, other: bytes) -> bytes | None:
        """Return an input with other values in its JSON, or None if it is none; its first byte may be a digit."""
        prefix = data[:1] if data[:1].isdigit() else b""
        value, source = _parsed(data[len(prefix) :]), _parsed(other[len(prefix) :])
        if not isinstance(value, (dict, list)):
            return None
        values = [*_VALUES, *(container[key] for container, key in _slots(source))]
        for _ in range(self.rng.choice((1, 1, 2, 3))):
            slots = list(_slots(value))
            if not slots:
                break
            container, key = self.rng.choice(slots)
            new = copy.deepcopy(self.rng.choice(values))
            match self.rng.randrange(8):
                case 0:
                    del container[key]
                case 1 if isinstance(container, dict):
                    container[self.rng.choice(("type", "items", "x", "rng", "dtype", ""))] = new
                case 2:
                    for _ in range(self.rng.choice((1, 2, 50))):
                        container[key] = {"type": "Sequential", "layers": [container[key]]}
                case _:
                    container[key] = new
        return (prefix + json.dumps(value).encode())[:_MOST_BYTES]


def _parsed(data: bytes) -> Any:
    try:
        return json.loads(data)
    except (ValueError, RecursionError):
        return None


def _slots(value: Any) -> Iterator[tuple[Any, Any]]:
    """Iterate over all places of values in nested dicts and lists, as a container and a key."""
    containers = [value]
    while containers:
        container = containers.pop()
        if isinstance(container, (dict, list)):
            for key in list(container) if isinstance(container, dict) else range(len(container)):
                yield container, key
                containers.append(container[key])
