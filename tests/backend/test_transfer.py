import itertools

import numpy as np
import pytest

import nnx
from nnx.backend import asarray, device_of, dtype_name
from nnx.errors import BackendError, DeviceError, DTypeError
from nnx.testing import assert_close

SPECS = ["numpy", "array-api-strict", "array-api-strict:device1", "torch", "jax", "cupy"]
DTYPES = ["float32", "float64", "int8", "int32", "int64", "uint8", "bool", "complex64"]


@pytest.fixture
def need():
    """Skip where a library is missing, and switch the 64-bit mode of JAX on."""

    def check(*specs):
        for spec in specs:
            name = spec.partition(":")[0]
            if name not in nnx.available_backends():
                pytest.skip(f"{name} is not available")
            if name == "jax":
                import jax

                jax.config.update("jax_enable_x64", True)

    return check


@pytest.mark.parametrize(("source", "target"), list(itertools.product(SPECS, SPECS)))
def test_every_pair_of_libraries(need, source, target):
    need(source, target)
    for dtype in DTYPES:
        host = np.asarray([[0, 1], [1, 0]]).astype(dtype)
        there = nnx.to_device(nnx.to_device(host, source), target)
        with nnx.use_backend(target):
            expected = asarray(host)
        assert_close(there, expected)
        assert dtype_name(there.dtype) == dtype
        assert_close(nnx.to_numpy(there), host)


@pytest.mark.parametrize("spec", SPECS)
def test_read_only_and_strided_arrays_move(need, spec):
    need(spec)
    host = np.arange(12.0).reshape(3, 4)
    for view in (host[::-1], host[:, ::2], host.T, host[1], np.asarray(host[0, 0]), host[:0]):
        view.flags.writeable = False
        assert_close(nnx.to_numpy(nnx.to_device(view, spec)), view)


def test_an_array_that_is_there_is_returned_itself(xp):
    x = xp.asarray([1.0])
    moved = nnx.to_device(x, xp.spec)
    assert_close(moved, x)
    if xp.name.startswith("numpy"):
        assert moved is x


def test_trees_keep_what_is_no_array(xp):
    tree = {"x": xp.asarray([1.0]), "n": 3, "s": ["text", None]}
    assert_close(nnx.to_numpy(tree), {"x": np.ones(1, np.float32), "n": 3, "s": ["text", None]})
    assert_close(nnx.to_device(nnx.to_numpy(tree), xp.spec), tree)


def test_a_device_alone_keeps_the_library():
    strict = pytest.importorskip("array_api_strict")
    moved = nnx.to_device([strict.ones(1)], "device1")
    assert_close(moved, [strict.ones(1, device=strict.Device("device1"))])


def test_unknown_places():
    with pytest.raises(BackendError, match="unknown backend 'nowhere'"):
        nnx.to_device(np.ones(1), "nowhere")
    with pytest.raises(DeviceError, match="backend 'numpy' has no device 'cuda:7'; it has cpu"):
        nnx.to_device(np.ones(1), "cuda:7")


class TestAsarray:
    def test_python_floats_are_float32(self, xp):
        like = xp.asarray([0.0])
        for data in (1.5, [1.5, 2.0], [[1, 2.5]]):
            assert_close(asarray(data, like=like), xp.asarray(data, "float32"))

    def test_other_data_keeps_its_dtype(self, xp):
        like = xp.asarray([0.0])
        for data in (np.float64(1.5), np.ones(2, "float64"), np.ones(2, "int16"), np.asarray([True])):
            assert dtype_name(asarray(data, like=like).dtype) == data.dtype.name
        assert dtype_name(asarray([1, 2], like=like).dtype) == "int64"

    def test_a_dtype_may_be_of_any_library_or_a_name(self, xp):
        for dtype in ("float64", np.float64, np.dtype("float64"), xp.namespace.float64):
            assert_close(asarray([1.0], dtype=dtype, like=xp.asarray([0.0])), xp.asarray([1.0], "float64"))

    def test_a_dtype_that_is_asked_for_has_every_digit(self, xp):
        like = xp.asarray([0.0])
        assert asarray(0.1, dtype="float64", like=like) == 0.1
        assert asarray([2.0**24 + 1], dtype="int64", like=like)[0] == 2**24 + 1

    def test_the_selected_backend_is_the_default(self, xp):
        with nnx.use_backend(xp.spec):
            assert_close(asarray([1.0]), xp.asarray([1.0]))
            assert device_of(asarray([1.0])) == device_of(xp.asarray([1.0]))


def test_a_dtype_that_the_library_cannot_hold():
    jax = pytest.importorskip("jax", reason="JAX is not installed")
    before = jax.config.jax_enable_x64
    jax.config.update("jax_enable_x64", False)
    try:
        with pytest.raises(
            DTypeError, match=r"jax on device .* gave float32 for float64; choose a dtype that it has, or"
        ):
            nnx.to_device(np.ones(2), "jax")
    finally:
        jax.config.update("jax_enable_x64", before)


def test_bfloat16_where_the_library_has_it(xp):
    if hasattr(xp.namespace, "bfloat16"):
        made = asarray([1.0, 2.5], dtype="bfloat16", like=xp.empty)
        assert dtype_name(made.dtype) == "bfloat16"
        assert device_of(made) == device_of(xp.empty)
        assert float(made[1]) == 2.5
    else:
        with pytest.raises(DTypeError, match=r"has no bfloat16, which torch and JAX have; choose a dtype that it has"):
            asarray([1.0], dtype="bfloat16", like=xp.empty)


@pytest.mark.parametrize("dtype", ["bfloat16", "float8_e4m3fn", "float8_e5m2"])
@pytest.mark.parametrize(("source", "target"), list(itertools.permutations(["torch", "jax", "numpy"], 2)))
def test_small_floats_keep_their_bits(need, source, target, dtype):
    need(source, target)
    kind = getattr(pytest.importorskip("ml_dtypes", reason="ml_dtypes is not installed"), dtype)
    host = np.arange(6).astype(kind).reshape(2, 3).T
    there = nnx.to_device(nnx.to_device(host, source), target)
    assert dtype_name(there.dtype) == dtype
    assert nnx.to_numpy(there).tobytes() == host.tobytes()


def test_a_small_float_that_a_library_lacks(need):
    need("array-api-strict")
    kind = pytest.importorskip("ml_dtypes", reason="ml_dtypes is not installed").float8_e5m2
    with pytest.raises(DTypeError, match="array-api-strict has no float8_e5m2, which torch and JAX have; choose a"):
        nnx.to_device(np.ones(2, kind), "array-api-strict")
