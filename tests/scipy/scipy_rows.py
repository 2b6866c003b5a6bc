"""SciPy's functions on traced arrays: one row for each call that is differentiated, and for each that is refused.

``python tests/scipy/scipy_rows.py`` writes the tables into ``docs/scipy.md``.
"""

import ast
import re
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

PAGE = Path(__file__).parents[2] / "docs" / "scipy.md"
BEGIN, END = "<!-- written by tests/scipy/scipy_rows.py -->", "<!-- end -->"

rng = np.random.default_rng(0)
ARGUMENTS = {
    "x": ("any numbers, 4 x 6", rng.standard_normal((4, 6))),
    "y": ("any numbers, 4 x 6", rng.standard_normal((4, 6))),
    "p": ("positive, 4 x 6", rng.uniform(0.5, 2.0, (4, 6))),
    "r": ("positive, 4 x 6", rng.uniform(0.5, 2.0, (4, 6))),
    "q": ("between 0 and 1, 4 x 6", rng.uniform(0.1, 0.9, (4, 6))),
    "v": ("any numbers, 9", rng.standard_normal(9)),
    "w": ("any numbers, 9", rng.standard_normal(9)),
    "u": ("positive, 9", rng.uniform(0.5, 2.0, 9)),
    "t": ("increasing, 9", np.linspace(0.0, 1.0, 9) + rng.uniform(0.0, 0.05, 9)),
    "z": ("any numbers, 33", rng.standard_normal(33)),
    "a": ("any numbers, 4 x 4", rng.standard_normal((4, 4))),
    "b": ("positive, 4", rng.uniform(0.5, 1.0, 4)),
    "c": ("positive, 3", rng.uniform(0.5, 1.0, 3)),
    "s": ("a number between 0 and 1", np.asarray(0.7)),
    "points": ("any numbers, 5 x 3", rng.standard_normal((5, 3))),
    "others": ("any numbers, 5 x 3", rng.standard_normal((5, 3))),
    "turns": ("rotation vectors, 5 x 3", rng.standard_normal((5, 3))),
    "quaternions": ("any numbers, 5 x 4", rng.standard_normal((5, 4))),
}
"""What the calls are differentiated for: name, description, value."""


class Row(NamedTuple):
    """A call of SciPy.

    ``call`` is an expression of Python with SciPy's modules and the names of the arguments. ``strict`` says why it is
    not run on array-api-strict, if it is not; ``refused`` why it is not differentiated.
    """

    call: str
    strict: str = ""
    refused: str = ""


IN_PLACE = "SciPy changes an array there, `h /= 2.0`, that the derivative still needs"
DIFFERENTIATED = [
    Row("special.softmax(x, axis=1)"),
    Row("special.xlogy(p, r)"),
    Row("stats.circmean(x, axis=1)"),
    Row("stats.circstd(x, axis=1)"),
    Row("stats.circvar(x, axis=1)"),
    Row("stats.describe(x, axis=1)"),
    Row("stats.differential_entropy(x, axis=1)"),
    Row("stats.differential_entropy(v, method='vasicek')"),
    Row("stats.directional_stats(points)"),
    Row("stats.gmean(p, axis=1)"),
    Row("stats.gmean(p, axis=1, weights=r)"),
    Row("stats.gstd(p, axis=1)"),
    Row("stats.hmean(p, axis=1)"),
    Row("stats.kstat(v, 3)"),
    Row("stats.kstatvar(v, 2)"),
    Row("stats.kurtosis(x, axis=1)"),
    Row("stats.kurtosis(x, axis=1, bias=False)"),
    Row("stats.moment(x, 3, axis=1)"),
    Row("stats.pmean(p, 3.0, axis=1)"),
    Row("stats.pmean(p, 3.0, axis=1, weights=r)"),
    Row("stats.sem(x, axis=1)"),
    Row("stats.sigmaclip(v)"),
    Row("stats.skew(x, axis=1)"),
    Row("stats.skew(x, axis=1, bias=False)"),
    Row("stats.tmax(x, 3.0, axis=1)"),
    Row("stats.tmin(x, -3.0, axis=1)"),
    Row("stats.trim_mean(x, 0.2, axis=1)"),
    Row("stats.tsem(x, (-3.0, 3.0), axis=1)"),
    Row("stats.tstd(x, (-3.0, 3.0), axis=1)"),
    Row("stats.tvar(x, (-3.0, 3.0), axis=1)"),
    Row("stats.zmap(x, y, axis=1)"),
    Row("integrate.cumulative_trapezoid(v, t)"),
    Row("integrate.cumulative_trapezoid(x, axis=1, initial=0)"),
    Row("integrate.romb(v, dx=0.1)", strict=IN_PLACE),
    Row("integrate.trapezoid(v, t)"),
    Row("integrate.trapezoid(x, dx=0.1, axis=1)"),
    Row("signal.abcd_normalize(a, a, a, a)"),
    Row("signal.bilinear_zpk(c, b, s, 2.0)"),
    Row("signal.fftconvolve(v, c)"),
    Row("signal.firwin(5, s)"),
    Row("signal.freqz(c, b)"),
    Row("signal.freqz_zpk(c, b, s)"),
    Row("signal.gauss_spline(x, 3)"),
    Row("signal.lp2bp_zpk(c, b, s)"),
    Row("signal.lp2bs_zpk(c, b, s)"),
    Row("signal.lp2hp_zpk(c, b, s)"),
    Row("signal.lp2lp(c, b, 2.0)"),
    Row("signal.lp2lp_zpk(c, b, s)"),
    Row("signal.normalize(c, b)"),
    Row("signal.resample(v, 12)"),
    Row("signal.vectorstrength(u, s)"),
    Row("linalg.fiedler(v)"),
    Row("linalg.orthogonal_procrustes(points, others)"),
    Row("fft.fft(v)"),
    Row("fft.fft2(x)"),
    Row("fft.fftn(x)"),
    Row("fft.fftshift(x)"),
    Row("fft.fht(v, 0.1, 1.0)"),
    Row("fft.hfft(v)"),
    Row("fft.hfft2(x)"),
    Row("fft.hfftn(x)"),
    Row("fft.ifft(v)"),
    Row("fft.ifft2(x)"),
    Row("fft.ifftn(x)"),
    Row("fft.ifftshift(x)"),
    Row("fft.ifht(v, 0.1, 1.0)"),
    Row("fft.ihfft(v)"),
    Row("fft.ihfft2(x)"),
    Row("fft.ihfftn(x)"),
    Row("fft.irfft(v)"),
    Row("fft.irfft2(x)"),
    Row("fft.irfftn(x)"),
    Row("fft.rfft(v)"),
    Row("fft.rfft2(x)"),
    Row("fft.rfftn(x)"),
    Row("Rotation.from_quat(quaternions).apply(points)"),
    Row("Rotation.from_quat(quaternions).as_matrix()"),
    Row("Rotation.from_mrp(points).as_quat()"),
    Row("Rotation.from_rotvec(turns).as_mrp()"),
    Row("Rotation.from_rotvec(turns).as_matrix()"),
    Row("Rotation.from_rotvec(turns).as_rotvec()"),
    Row("Rotation.from_rotvec(turns).magnitude()"),
    Row("(Rotation.from_rotvec(turns) ** 2.0).as_quat()"),
    Row("(Rotation.from_rotvec(turns) * Rotation.from_quat(quaternions)).as_quat()"),
    Row("Rotation.concatenate([Rotation.from_rotvec(turns)]).as_matrix()"),
    Row("Rotation.from_rotvec(turns).mean().as_quat()"),
    Row("optimize.rosen(v)"),
    Row("constants.convert_temperature(v, 'C', 'F')"),
    Row("constants.lambda2nu(u)"),
    Row("constants.nu2lambda(u)"),
]

RANKS = [
    Row("stats.chatterjeexi(v, w)"),
    Row("stats.cramervonmises_2samp(v, w)"),
    Row("stats.friedmanchisquare(v, w, u)"),
    Row("stats.kruskal(v, w)"),
    Row("stats.mood(v, w)"),
    Row("stats.rankdata(x, axis=1)"),
    Row("stats.spearmanrho(v, w)"),
]
"""Functions of ranks: constant as long as no two numbers change their order."""

TO_NUMPY = "converts to NumPy, for code that accepts nothing else"
NUMPY_NAMES = "calls a function of `numpy` by its name"
MIXES = "has made a NumPy array, and asks for one namespace of it and a traced array"
ASSIGNS = "assigns to elements"
READS = "reads a value to decide what to do"
METHODS = "uses a method of NumPy's arrays that is not in the standard"
REASONS = {
    TO_NUMPY: "a function of NumPy met",
    NUMPY_NAMES: r"numpy\.\w+ met",
    MIXES: "Multiple namespaces",
    ASSIGNS: "item assignment|on a view|a function of NumPy met|cannot become float",
    READS: "cannot become",
    METHODS: "has no attribute",
}
"""The error that each reason comes with."""

REFUSED = [
    Row("special.betaln(p, r)", refused=TO_NUMPY),
    Row("special.boxcox(p, r)", refused=TO_NUMPY),
    Row("special.cbrt(p)", refused=TO_NUMPY),
    Row("special.digamma(p)", refused=TO_NUMPY),
    Row("special.entr(p)", refused=TO_NUMPY),
    Row("special.erf(x)", refused=TO_NUMPY),
    Row("special.erfc(x)", refused=TO_NUMPY),
    Row("special.expit(x)", refused=TO_NUMPY),
    Row("special.gammainc(p, r)", refused=TO_NUMPY),
    Row("special.gammaln(p)", refused=TO_NUMPY),
    Row("special.huber(p, x)", refused=TO_NUMPY),
    Row("special.i0(x)", refused=TO_NUMPY),
    Row("special.kl_div(p, r)", refused=TO_NUMPY),
    Row("special.log_ndtr(x)", refused=TO_NUMPY),
    Row("special.log_softmax(x, axis=1)", refused=ASSIGNS),
    Row("special.logit(q)", refused=TO_NUMPY),
    Row("special.logsumexp(x, axis=1)", refused=ASSIGNS),
    Row("special.multigammaln(p + 4.0, 2)", refused=TO_NUMPY),
    Row("special.ndtr(x)", refused=TO_NUMPY),
    Row("special.ndtri(q)", refused=TO_NUMPY),
    Row("special.rel_entr(p, r)", refused=MIXES),
    Row("special.sinc(x)", refused=TO_NUMPY),
    Row("special.xlog1py(p, r)", refused=TO_NUMPY),
    Row("stats.alexandergovern(v, w, u)", refused=MIXES),
    Row("stats.bartlett(v, w, u)", refused=MIXES),
    Row("stats.boxcox_llf(0.5, u)", refused=ASSIGNS),
    Row("stats.chisquare(p, axis=1)", refused=MIXES),
    Row("stats.combine_pvalues(q, axis=1)", refused=MIXES),
    Row("stats.entropy(p, axis=1)", refused=TO_NUMPY),
    Row("stats.entropy(p, r, axis=1)", refused=MIXES),
    Row("stats.f_oneway(v, w, u)", refused=ASSIGNS),
    Row("stats.false_discovery_control(q, axis=1)", refused=MIXES),
    Row("stats.fligner(v, w)", refused=MIXES),
    Row("stats.gzscore(p, axis=1)", refused=ASSIGNS),
    Row("stats.iqr(x, axis=1)", refused=MIXES),
    Row("stats.jarque_bera(x, axis=1)", refused=MIXES),
    Row("stats.kurtosistest(z)", refused=TO_NUMPY),
    Row("stats.levene(v, w, u)", refused=MIXES),
    Row("stats.lmoment(v)", refused=ASSIGNS),
    Row("stats.median_abs_deviation(x, axis=1)", refused=MIXES),
    Row("stats.normaltest(z)", refused=TO_NUMPY),
    Row("stats.pearsonr(x, y, axis=1)", refused=ASSIGNS),
    Row("stats.power_divergence(p, axis=1)", refused=MIXES),
    Row("stats.quantile(x, 0.3, axis=1)", refused=MIXES),
    Row("stats.skewtest(z)", refused=TO_NUMPY),
    Row("stats.tmean(x, (-3.0, 3.0), axis=1)", refused=MIXES),
    Row("stats.ttest_1samp(x, 0.5, axis=1)", refused=MIXES),
    Row("stats.ttest_ind(x, y, axis=1)", refused=MIXES),
    Row("stats.ttest_rel(x, y, axis=1)", refused=MIXES),
    Row("stats.variation(p, axis=1)", refused=MIXES),
    Row("stats.yeojohnson_llf(0.5, v)", refused=MIXES),
    Row("stats.zscore(x, axis=1)", refused=ASSIGNS),
    Row("integrate.cubature(lambda m: b[0] * m[:, 0] ** 2, b[:1], b[1:2] + 1.0).estimate", refused=NUMPY_NAMES),
    Row("integrate.cumulative_simpson(v, x=t)", refused=ASSIGNS),
    Row("integrate.qmc_quad(lambda m: s * m[0], [0.0], [1.0])", refused=NUMPY_NAMES),
    Row("integrate.simpson(v, x=t)", refused=TO_NUMPY),
    Row("signal.convolve(v, c)", refused=READS),
    Row("signal.convolve2d(x, a)", refused=TO_NUMPY),
    Row("signal.correlate(v, c)", refused=READS),
    Row("signal.cspline1d(v)", refused=TO_NUMPY),
    Row("signal.deconvolve(v, c)", refused=MIXES),
    Row("signal.detrend(x, axis=1)", refused=TO_NUMPY),
    Row("signal.envelope(z)", refused=ASSIGNS),
    Row("signal.filtfilt(c, b, z)", refused=TO_NUMPY),
    Row("signal.hilbert(x, axis=1)", refused=ASSIGNS),
    Row("signal.hilbert2(x)", refused=ASSIGNS),
    Row("signal.iirnotch(s, 3.0)", refused=READS),
    Row("signal.lfilter(c, b, v)", refused=NUMPY_NAMES),
    Row("signal.lp2hp(c, b)", refused=ASSIGNS),
    Row("signal.medfilt(v)", refused=TO_NUMPY),
    Row("signal.oaconvolve(z, c)", refused=MIXES),
    Row("signal.periodogram(z)", refused=TO_NUMPY),
    Row("signal.resample_poly(v, 2, 1)", refused=MIXES),
    Row("signal.savgol_filter(v, 5, 2)", refused=MIXES),
    Row("signal.sos2tf(p)", refused=MIXES),
    Row("signal.stft(z)", refused=TO_NUMPY),
    Row("signal.tf2zpk(c, b)", refused=ASSIGNS),
    Row("signal.upfirdn(c, v)", refused=TO_NUMPY),
    Row("signal.welch(z)", refused=TO_NUMPY),
    Row("signal.wiener(v)", refused=MIXES),
    Row("signal.windows.exponential(5, tau=s)", refused=NUMPY_NAMES),
    Row("signal.windows.gaussian(5, s)", refused=NUMPY_NAMES),
    Row("signal.windows.general_cosine(9, c)", refused=NUMPY_NAMES),
    Row("signal.windows.general_hamming(5, s)", refused=TO_NUMPY),
    Row("signal.windows.kaiser(5, s)", refused=TO_NUMPY),
    Row("signal.windows.tukey(5, s)", refused=READS),
    Row("signal.zpk2tf(b, c, s)", refused=MIXES),
    Row("linalg.block_diag(x, a)", refused=MIXES),
    Row("linalg.det(a)", refused=TO_NUMPY),
    Row("linalg.expm(a)", refused=TO_NUMPY),
    Row("linalg.inv(a)", refused=TO_NUMPY),
    Row("linalg.lstsq(points, others)", refused=TO_NUMPY),
    Row("linalg.solve(a, b)", refused=TO_NUMPY),
    Row("linalg.toeplitz(c, b)", refused=NUMPY_NAMES),
    Row("fft.dct(v)", refused=TO_NUMPY),
    Row("fft.dctn(x)", refused=TO_NUMPY),
    Row("fft.dst(v)", refused=TO_NUMPY),
    Row("ndimage.convolve(x, a)", refused=TO_NUMPY),
    Row("ndimage.gaussian_filter(x, 1.0)", refused=TO_NUMPY),
    Row("ndimage.sobel(x)", refused=TO_NUMPY),
    Row("ndimage.sum(x)", refused=TO_NUMPY),
    Row("spatial.distance.cdist(points, others)", refused=TO_NUMPY),
    Row("spatial.distance.pdist(points)", refused=TO_NUMPY),
    Row("Rotation.from_euler('xyz', turns).as_matrix()", refused=MIXES),
    Row("Rotation.from_rotvec(turns).as_euler('xyz')", refused=MIXES),
    Row("Rotation.from_rotvec(turns).inv().as_quat()", refused=ASSIGNS),
    Row("RigidTransform.from_translation(points).as_matrix()", refused=MIXES),
    Row("RigidTransform.from_exp_coords(x).as_matrix()", refused=MIXES),
    Row("RigidTransform.from_components(points, Rotation.from_rotvec(turns)).as_exp_coords()", refused=MIXES),
    Row("RigidTransform.from_components(points, Rotation.from_rotvec(turns)).apply(others)", refused=MIXES),
    Row("Rotation.from_davenport([0.0, 0.0, 1.0], 'extrinsic', s).as_quat()", refused=NUMPY_NAMES),
    Row("Slerp([0.0, 1.0, 2.0, 3.0, 4.0], Rotation.from_rotvec(turns))([0.5]).as_quat()", refused=ASSIGNS),
    Row("cluster.vq.whiten(points)", refused=ASSIGNS),
    Row("cluster.vq.vq(points, others)", refused=TO_NUMPY),
    Row("interpolate.Akima1DInterpolator(t, v)(s)", refused=ASSIGNS),
    Row("interpolate.CubicSpline(t, v)(s)", refused=TO_NUMPY),
    Row("interpolate.PchipInterpolator(t, v)(s)", refused=NUMPY_NAMES),
    Row("interpolate.RBFInterpolator(points, b[:1] * points[:, 0])(others)", refused=METHODS),
    Row("interpolate.make_interp_spline(t, v)(s)", refused=TO_NUMPY),
    Row("interpolate.CubicHermiteSpline(t, v, w)(s)", refused=TO_NUMPY),
    Row("differentiate.derivative(lambda m: m**2, s).df", refused=MIXES),
    Row("differentiate.jacobian(lambda m: m**2, b).df", refused=ASSIGNS),
    Row(
        "optimize.elementwise.find_minimum(lambda m, k: (m - k) ** 2, (s - 2.0, s, s + 3.0), args=(s,)).x",
        refused=ASSIGNS,
    ),
    Row("optimize.elementwise.find_root(lambda m, k: m**2 - k, (0.0 * s, s + 1.0), args=(s,)).x", refused=ASSIGNS),
    Row("optimize.rosen_der(v)", refused=ASSIGNS),
    Row("optimize.rosen_hess(v)", refused=MIXES),
    Row("optimize.rosen_hess_prod(v, w)", refused=ASSIGNS),
]


def names(row: Row) -> list[str]:
    """Return the arguments that a call is differentiated for."""
    found = {node.id for node in ast.walk(ast.parse(row.call)) if isinstance(node, ast.Name)}
    return [name for name in ARGUMENTS if name in found]


def function(row: Row) -> str:
    """Return the function of a call: what is left without what stands between brackets."""
    name, before = row.call, ""
    while name != before:
        name, before = re.sub(r"\([^()]*\)|\[[^\[\]]*\]", "", name), name
    return name.lstrip(".")


def tables() -> str:
    """Return the tables of the page."""
    ranks = "Rank statistics are constant until two numbers change their order."
    return "\n".join(
        [
            *("### Differentiated", "", _count(DIFFERENTIATED), "", *_with_strict(DIFFERENTIATED), ""),
            *("### Derivative zero", "", f"{ranks} {_count(RANKS)}", "", *_with_strict(RANKS), ""),
            *("### Refused", "", _count(REFUSED), ""),
            *_table(("call", "because SciPy"), [(f"`{row.call}`", row.refused) for row in REFUSED]),
            *("", "### The arguments", ""),
            *_table(("name", "numbers"), [(f"`{name}`", text) for name, (text, _) in ARGUMENTS.items()]),
        ]
    )


def _with_strict(rows: Sequence[Row]) -> list[str]:
    cells = [(f"`{row.call}`", f"no: {row.strict}" if row.strict else "yes") for row in rows]
    return _table(("call", "also on array-api-strict"), cells)


def _table(head: tuple[str, str], rows: Sequence[tuple[str, str]]) -> list[str]:
    return [f"| {first} | {second} |" for first, second in (head, ("---", "---"), *rows)]


def _count(rows: Sequence[Row]) -> str:
    return f"{len(rows)} calls of {len({function(row) for row in rows})} functions."


def written(page: str) -> str:
    """Return the page with the tables of today between its two marks."""
    before, rest = page.split(BEGIN)
    return f"{before}{BEGIN}\n\n{tables()}\n\n{END}{rest.split(END)[1]}"


if __name__ == "__main__":
    PAGE.write_text(written(PAGE.read_text("utf-8")), "utf-8")
