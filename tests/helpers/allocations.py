"""Count how often NumPy takes memory for an array, by a handler of its C interface that counts and hands on."""

import ctypes
from collections.abc import Callable
from typing import Any

import numpy as np

_SET_HANDLER, _GET_HANDLER = 304, 305  # where PyDataMem_SetHandler and _GetHandler stand in NumPy's table of functions
_NAME = b"mem_handler"  # of the capsule

_Malloc = ctypes.CFUNCTYPE(ctypes.c_void_p, ctypes.c_void_p, ctypes.c_size_t)
_Calloc = ctypes.CFUNCTYPE(ctypes.c_void_p, ctypes.c_void_p, ctypes.c_size_t, ctypes.c_size_t)
_Realloc = ctypes.CFUNCTYPE(ctypes.c_void_p, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_size_t)
_Free = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_size_t)


class _Handler(ctypes.Structure):
    """PyDataMem_Handler."""

    _fields_ = (
        ("name", ctypes.c_char * 127),
        ("version", ctypes.c_uint8),
        ("context", ctypes.c_void_p),
        ("malloc", _Malloc),
        ("calloc", _Calloc),
        ("realloc", _Realloc),
        ("free", _Free),
    )


def _pointer_of(capsule: Any, name: bytes | None) -> int:
    function = ctypes.pythonapi.PyCapsule_GetPointer
    function.restype, function.argtypes = ctypes.c_void_p, (ctypes.py_object, ctypes.c_char_p)
    return function(capsule, name)


def _function(index: int, *arguments: Any) -> Any:
    table = ctypes.cast(_pointer_of(np._core._multiarray_umath._ARRAY_API, None), ctypes.POINTER(ctypes.c_void_p))
    return ctypes.PYFUNCTYPE(ctypes.py_object, *arguments)(table[index])


class _Counting:
    """A handler that counts; it lives as long as the process, since each array is freed by the one that made it."""

    def __init__(self) -> None:
        self.count = 0
        self._get = _function(_GET_HANDLER)
        self._set = _function(_SET_HANDLER, ctypes.py_object)
        below = _Handler.from_address(_pointer_of(self._get(), _NAME))

        def malloc(_: Any, size: int) -> int:
            self.count += 1
            return below.malloc(below.context, size)

        def calloc(_: Any, number: int, size: int) -> int:
            self.count += 1
            return below.calloc(below.context, number, size)

        def realloc(_: Any, pointer: int, size: int) -> int:
            self.count += 1
            return below.realloc(below.context, pointer, size)

        def free(_: Any, pointer: int, size: int) -> None:
            below.free(below.context, pointer, size)

        functions = (_Malloc(malloc), _Calloc(calloc), _Realloc(realloc), _Free(free))
        self._handler = _Handler(b"counting", 1, None, *functions)
        new = ctypes.pythonapi.PyCapsule_New
        new.restype, new.argtypes = ctypes.py_object, (ctypes.c_void_p, ctypes.c_char_p, ctypes.c_void_p)
        self._capsule = new(ctypes.addressof(self._handler), _NAME, None)

    def during(self, function: Callable[[], Any]) -> int:
        """Return how many pieces of memory NumPy takes while a function runs."""
        before = self._set(self._capsule)
        self.count = 0
        try:
            function()
        finally:
            self._set(before)
        return self.count


_counting: list[_Counting] = []


def allocations(function: Callable[[], Any]) -> int:
    """Return how many arrays of memory of their own NumPy makes while a function runs; views take none."""
    if not _counting:
        _counting.append(_Counting())
    return _counting[0].during(function)
