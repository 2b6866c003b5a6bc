"""Derivatives through SciPy, unmodified: each row against finite differences, in reverse and in forward mode."""

import os
import re
import subprocess
import sys
import warnings
from pathlib import Path

import numpy as np
import pytest
from scipy_rows import ARGUMENTS, DIFFERENTIATED, PAGE, RANKS, REASONS, REFUSED, function, names, written

import nnx
from nnx.errors import MissingRuleError, TraceError

scipy = pytest.importorskip("scipy", reason="SciPy is not installed")
from scipy._lib._array_api import SCIPY_ARRAY_API  # noqa: E402  after the check that it is there

STEP = 1e-4
MODULES = ("constants", "fft", "integrate", "linalg", "optimize", "signal", "special", "stats")
MODULES += ("cluster.vq", "differentiate", "interpolate", "ndimage", "optimize.elementwise")
MODULES += ("spatial.distance", "spatial.transform")

switched_on = pytest.mark.skipif(
    not SCIPY_ARRAY_API, reason="something imported SciPy before its array API mode was switched on"
)


def by_call(rows):
    return pytest.mark.parametrize("row", rows, ids=lambda row: row.call)


def evaluated(row, arguments):
    """Return the floating-point arrays of what a call returns."""
    for module in MODULES:
        __import__(f"scipy.{module}")
    roots = {name.split(".")[0]: getattr(scipy, name.split(".")[0]) for name in MODULES}
    classes = {name: getattr(scipy.spatial.transform, name) for name in ("RigidTransform", "Rotation", "Slerp")}
    scope = {"__builtins__": {}, **roots, **classes, **dict(zip(names(row), arguments, strict=True))}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # SciPy's own, of small samples
        return tuple(parts(eval(row.call, scope)))


def parts(found):
    """Return the real numbers of a result: an array, a tuple or an object with such attributes."""
    if nnx.backend.is_array(found):
        xp = nnx.namespace(found)
        if xp.isdtype(found.dtype, "complex floating"):
            return [xp.real(found), xp.imag(found)]
        return [found] if xp.isdtype(found.dtype, "real floating") else []
    if isinstance(found, (tuple, list)):
        return [part for member in found for part in parts(member)]
    return parts(list(vars(found).values())) if hasattr(found, "__dict__") else []


def draw(rng, arrays):
    return tuple(rng.standard_normal(array.shape) for array in arrays)


def dot(arrays, others):
    pairs = zip(arrays, others, strict=True)
    return sum(float(np.sum(np.asarray(a) * np.asarray(b))) for a, b in pairs)


def central_difference(contracted):
    """Return the derivative of a function of one number at 0, after one step of Richardson's."""
    wide, near = ((contracted(h) - contracted(-h)) / (2.0 * h) for h in (STEP, STEP / 2.0))
    return (4.0 * near - wide) / 3.0


def check(row, convert):
    """Compare both modes with finite differences along a direction; return the three numbers."""
    rng = np.random.default_rng(1)
    arguments = [ARGUMENTS[name][1] for name in names(row)]
    output = evaluated(row, arguments)
    assert output, "nothing came out"
    cotangent, direction = draw(rng, output), draw(rng, arguments)

    def contracted(step):
        return dot(evaluated(row, [a + step * d for a, d in zip(arguments, direction, strict=True)]), cotangent)

    def called(*traced):
        return evaluated(row, traced)

    primals = [convert(a) for a in arguments]
    value, pullback = nnx.vjp(called, *primals)
    reverse = dot(pullback(tuple(map(convert, cotangent))), direction)
    again, tangent = nnx.jvp(called, primals, [convert(d) for d in direction])
    forward = dot(tangent, cotangent)
    for found in (value, again):
        for part, plain in zip(found, output, strict=True):
            np.testing.assert_allclose(np.asarray(part), plain, rtol=1e-12, atol=1e-13)
    numeric = central_difference(contracted)
    scale = max(abs(numeric), 1e-2 * np.sqrt(dot(output, output)))
    assert reverse == pytest.approx(numeric, rel=1e-6, abs=1e-6 * scale)
    assert forward == pytest.approx(reverse, rel=1e-9, abs=1e-9 * scale)
    return numeric


@switched_on
@by_call(DIFFERENTIATED)
def test_derivative(row):
    assert check(row, np.asarray) != 0.0


@switched_on
@by_call(RANKS)
def test_derivative_of_ranks_is_zero(row):
    assert check(row, np.asarray) == 0.0


@switched_on
@by_call([row for row in DIFFERENTIATED + RANKS if not row.strict])
def test_derivative_on_array_api_strict(row):
    check(row, pytest.importorskip("array_api_strict", reason="array-api-strict is not installed").asarray)


@switched_on
@by_call([row for row in DIFFERENTIATED + RANKS if row.strict])
def test_rows_left_out_on_array_api_strict_do_not_work_there(row):
    strict = pytest.importorskip("array_api_strict", reason="array-api-strict is not installed")
    with pytest.raises(Exception):  # noqa: B017  what SciPy raises there is its own affair
        check(row, strict.asarray)


@switched_on
@by_call(REFUSED)
def test_refused_with_an_error_and_never_with_a_lost_derivative(row):
    arguments = [ARGUMENTS[name][1] for name in names(row)]
    assert evaluated(row, arguments), "the call does not work on plain arrays"

    def called(*traced):
        return evaluated(row, traced)

    ways = (
        lambda: nnx.vjp(called, *arguments),
        lambda: nnx.jvp(called, arguments, [np.ones_like(argument) for argument in arguments]),
    )
    for differentiate in ways:
        with pytest.raises(Exception) as caught:
            differentiate()
        chain: list[BaseException | None] = [caught.value]
        while chain[-1] is not None:
            chain.append(chain[-1].__cause__ or chain[-1].__context__)
        own = [error for error in chain if isinstance(error, (MissingRuleError, TraceError))]
        error = own[-1] if own else caught.value
        assert own or isinstance(error, TypeError)
        assert re.search(REASONS[row.refused], str(error)), repr(error)


def test_at_least_forty_functions_are_differentiated():
    assert len({function(row) for row in DIFFERENTIATED}) >= 40


def test_page_has_the_tables_of_today():
    page = PAGE.read_text("utf-8")
    assert page == written(page), "run python tests/scipy/scipy_rows.py"


def run(command):
    root = Path(nnx.__file__).parents[1]
    path = os.pathsep.join(filter(None, [str(root), os.environ.get("PYTHONPATH")]))
    environment = os.environ | {"SCIPY_ARRAY_API": "1", "PYTHONPATH": path}
    done = subprocess.run(command, cwd=root, env=environment, capture_output=True, encoding="utf-8", check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_blocks_of_the_page_run():
    blocks = re.findall(r"^```py\n(.*?)^```", PAGE.read_text("utf-8"), re.MULTILINE | re.DOTALL)
    assert len(blocks) == 3
    run([sys.executable, "-c", "\n".join(blocks)])


if not SCIPY_ARRAY_API:

    def test_rows_in_a_process_of_their_own():
        run([sys.executable, "-m", "pytest", "-q", __file__])
