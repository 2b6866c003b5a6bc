"""Norm, clipping and noise of gradients."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import nnx
from nnx.errors import ArgumentError, DTypeError, UsageError
from nnx.testing import assert_close

SHAPES = {"0.weight": (3, 4), "0.bias": (4,), "1.scale": (), "1.empty": (0, 2)}


def drawn(xp, dtype="float32", scale=1.0, seed=0):
    rng = np.random.default_rng(seed)
    return {path: xp.asarray(scale * rng.normal(size=shape), dtype=dtype) for path, shape in SHAPES.items()}


def flat(xp, gradients):
    return np.concatenate([xp.to_numpy(g).astype("float64").ravel() for g in gradients.values()])


def number(value):
    return float(value)


CHANGES = {
    "norm": lambda g: nnx.clip_by_global_norm(g, 0.5),
    "value": lambda g: nnx.clip_by_value(g, 0.5),
    "noise": lambda g: nnx.add_noise(g, 0.5, seed=3, step=7),
}
each_change = pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_the_norm(xp, dtype):
    gradients = drawn(xp, dtype)
    norm = nnx.global_norm(gradients)
    assert norm.shape == ()
    assert nnx.backend.dtype_name(norm.dtype) == dtype
    assert nnx.backend.device_of(norm) == nnx.backend.device_of(gradients["0.bias"])
    assert number(norm) == pytest.approx(np.linalg.norm(flat(xp, gradients)), rel=1e-6)


@pytest.mark.parametrize("scale", [1e-44, 1e-30, 1e20, 1e37])
def test_the_norm_neither_overflows_nor_vanishes(xp, scale):
    gradients = drawn(xp, scale=scale)
    if xp.name == "jax" and scale == 1e-44:
        pytest.skip("XLA computes with 0 for a subnormal number")
    norm = np.linalg.norm(flat(xp, gradients))
    assert number(nnx.global_norm(gradients)) == pytest.approx(norm, rel=1e-5 if scale > 1e-40 else 0.2)
    if scale > 1:
        clipped = nnx.clip_by_global_norm(gradients, 1.0)
        assert_close(flat(xp, clipped), flat(xp, gradients) / norm, rtol=1e-5)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_half_precision(xp, dtype):
    if not hasattr(xp.namespace, dtype):
        pytest.skip(f"{xp.name} has no {dtype}")
    gradients = {"weight": xp.asarray(np.full((200, 200), 300.0), dtype), "bias": xp.asarray(np.full(9, -300.0), dtype)}
    norm = nnx.global_norm(gradients)
    assert nnx.backend.dtype_name(norm.dtype) == "float32"
    assert number(norm) == pytest.approx(300.0 * math.sqrt(40009), rel=1e-6)
    clipped = nnx.clip_by_global_norm(gradients, 2.0)
    assert {nnx.backend.dtype_name(g.dtype) for g in clipped.values()} == {dtype}
    assert number(nnx.global_norm(clipped)) == pytest.approx(2.0, rel=4e-3)
    assert number(nnx.clip_by_value(gradients, 1e6)["bias"][0]) == pytest.approx(-300.0, rel=4e-3)
    noisy = nnx.add_noise(gradients, 1.0, seed=0, step=0)
    assert nnx.backend.dtype_name(noisy["bias"].dtype) == dtype


def test_complex_gradients(xp):
    gradients = {"w": xp.asarray([3.0 + 4.0j, 0.0], "complex64"), "b": xp.asarray([12.0], "float32")}
    norm = nnx.global_norm(gradients)
    assert (number(norm), nnx.backend.dtype_name(norm.dtype)) == (13.0, "float32")
    clipped = nnx.clip_by_global_norm(gradients, 1.3)
    assert_close(xp.to_numpy(clipped["w"]), np.asarray([0.3 + 0.4j, 0.0], "complex64"), rtol=1e-6)
    for change in (CHANGES["value"], CHANGES["noise"]):
        with pytest.raises(DTypeError, match="the gradient of 'w': expected a real dtype, got complex64; "):
            change(gradients)


def test_several_dtypes(xp):
    gradients = {"w": xp.asarray([3.0], "float32"), "b": xp.asarray([4.0], "float64")}
    assert nnx.backend.dtype_name(nnx.global_norm(gradients).dtype) == "float64"
    clipped = nnx.clip_by_global_norm(gradients, 1.0)
    assert [nnx.backend.dtype_name(g.dtype) for g in clipped.values()] == ["float32", "float64"]
    assert_close(flat(xp, clipped), np.asarray([0.6, 0.8]), rtol=1e-6)


def test_what_is_within_the_limit_keeps_its_bits(xp):
    gradients = drawn(xp)
    for clipped in (nnx.clip_by_global_norm(gradients, 1e3), nnx.clip_by_value(gradients, 1e3)):
        for path, g in gradients.items():
            assert xp.to_numpy(clipped[path]).tobytes() == xp.to_numpy(g).tobytes()


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_what_is_not_finite_is_still_seen_afterwards(xp, bad):
    gradients = drawn(xp) | {"1.scale": xp.asarray(bad)}
    assert not number(nnx.all_finite(gradients))
    assert number(nnx.all_finite(drawn(xp)))
    norm = number(nnx.global_norm(gradients))
    assert math.isnan(norm) if math.isnan(bad) else norm == math.inf
    for change in CHANGES.values():
        changed = change(gradients)
        assert str(number(changed["1.scale"])) == str(bad)
        assert np.count_nonzero(xp.to_numpy(changed["0.weight"])) == 12


@each_change
def test_nothing_is_written_and_all_else_is_kept(xp, change):
    gradients = drawn(xp)
    before = flat(xp, gradients)
    changed = change(gradients)
    assert_close(flat(xp, gradients), before, rtol=0.0)
    for path, g in gradients.items():
        assert changed[path] is not g
        assert (type(changed[path]), changed[path].shape, changed[path].dtype) == (type(g), g.shape, g.dtype) or (
            xp.name.startswith("numpy") and g.shape == ()  # a scalar of NumPy's
        )
        assert nnx.backend.device_of(changed[path]) == nnx.backend.device_of(g)


def test_no_value_is_read(monkeypatch):
    strict = pytest.importorskip("array_api_strict", reason="array-api-strict is not installed")

    def refuse(self):
        raise AssertionError("the value of an array was read")

    gradients = {"w": strict.ones((2, 3), dtype=strict.float32)}
    for name in ("__float__", "__bool__", "__int__", "__index__", "__complex__"):
        monkeypatch.setattr(strict._array_object.Array, name, refuse)
    for change in CHANGES.values():
        nnx.all_finite(change(gradients))


def test_noise_is_a_function_of_seed_step_and_path(xp):
    zeros = {path: xp.asarray(np.zeros(1000)) for path in ("a", "b")}
    draw = lambda **options: flat(xp, nnx.add_noise(zeros, 2.0, **{"seed": 0, "step": 0} | options))  # noqa: E731
    noise = draw()
    assert_close(draw(), noise, rtol=0.0)
    assert abs(noise.mean()) < 0.2
    assert noise.std() == pytest.approx(2.0, rel=0.1)
    assert abs(np.corrcoef(noise[:1000], noise[1000:])[0, 1]) < 0.15
    assert not np.any(draw(step=1) == noise)
    assert not np.any(draw(seed=1) == noise)
    on_numpy = nnx.add_noise({"b": np.zeros(1000, "float32")}, 2.0, seed=0, step=0)
    assert_close(noise[1000:], on_numpy["b"].astype("float64"), rtol=1e-6)


def test_changed_gradients_still_know_their_model():
    make = lambda: nnx.Linear(2, 1, rng=0)  # noqa: E731
    model, other = make(), make()
    gradients = nnx.grad(lambda m: nnx.functional.mse(m(np.ones((1, 2), "float32")), np.zeros((1, 1), "float32")))(
        model
    )
    for change in CHANGES.values():
        gradients = change(gradients)
    nnx.SGD(model, 0.1).step(gradients)
    with pytest.raises(UsageError, match="these are the gradients of another Linear than"):
        nnx.SGD(other, 0.1).step(gradients)


def test_clipping_can_be_differentiated():
    def clipped(x):
        return nnx.clip_by_global_norm({"x": x}, 1.0)["x"]

    nnx.testing.check_gradients(clipped, np.asarray([3.0, -4.0, 1.0]))
    nnx.testing.check_gradients(clipped, np.asarray([0.3, -0.4, 0.1]))


@given(
    values=st.lists(st.floats(-1e3, 1e3), min_size=1, max_size=9), limit=st.floats(1e-3, 1e3), parts=st.integers(1, 3)
)
def test_as_pytorch_clips(values, limit, parts):
    torch = pytest.importorskip("torch", reason="torch is not installed")
    gradients = dict(enumerate(np.array_split(np.asarray(values), parts)))
    for ours, theirs, slack in (
        (nnx.clip_by_global_norm, torch.nn.utils.clip_grad_norm_, 1e-6),
        (nnx.clip_by_value, torch.nn.utils.clip_grad_value_, 0.0),
    ):
        leaves = [torch.zeros(g.shape, dtype=torch.float64) for g in gradients.values()]
        for leaf, g in zip(leaves, gradients.values(), strict=True):
            leaf.grad = torch.asarray(g.copy())
        theirs(leaves, limit)
        # Theirs divides by the norm plus 1e-6, so its result is shorter, by at most 1e-6.
        expected = np.concatenate([leaf.grad.numpy() for leaf in leaves])
        found = np.concatenate([*ours(gradients, limit).values()])
        assert_close(found, expected, rtol=1e-12, atol=1.001 * slack)


def test_a_model_without_gradients():
    assert (
        nnx.clip_by_global_norm({}, 1.0) == nnx.clip_by_value({}, 1.0) == nnx.add_noise({}, 1.0, seed=0, step=0) == {}
    )
    for function in (nnx.global_norm, nnx.all_finite):
        with pytest.raises(ArgumentError, match=r"expected at least one gradient, got none; is .* frozen\?"):
            function({})


@pytest.mark.parametrize("limit", [0, -1.0, math.inf, math.nan, "1", None])
@pytest.mark.parametrize("clip", [nnx.clip_by_global_norm, nnx.clip_by_value])
def test_a_limit_is_a_positive_number(clip, limit):
    with pytest.raises(ArgumentError, match="expected a finite limit >"):
        clip({"w": np.ones(2)}, limit)


@pytest.mark.parametrize(
    ("gradients", "options", "error", "message"),
    [
        ([np.ones(2)], {}, ArgumentError, "expected gradients as a dict from path to array, .* got list"),
        ({"w": 1.0}, {}, DTypeError, "the gradient of 'w': expected an array of a floating-point dtype, got float"),
        ({"w": np.ones(2, "int64")}, {}, DTypeError, "the gradient of 'w': .* floating-point dtype, got int64"),
        ({"w": np.ones(2)}, {"std": -1.0}, ArgumentError, "expected a finite std >= 0, got -1.0"),
        ({"w": np.ones(2)}, {"seed": 1.5}, ArgumentError, "expected seed to be an integer of Python, got float"),
        ({"w": np.ones(2)}, {"step": -1}, ArgumentError, "expected step >= 0, got -1"),
    ],
)
def test_what_is_refused(gradients, options, error, message):
    with pytest.raises(error, match=message):
        nnx.add_noise(gradients, **{"std": 1.0, "seed": 0, "step": 0} | options)
