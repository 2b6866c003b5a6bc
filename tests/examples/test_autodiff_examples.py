"""The examples of autodiff beyond layers, as a newcomer runs them: each saves its plot and shows what it claims."""

import pytest
from printed import numbers


def test_recover_a_parameter(run):
    text = run("recover_a_parameter")
    assert numbers("true #, recovered #, off by # %", text) == [
        (1.0, pytest.approx(1.0, rel=0.01), pytest.approx(0, abs=1)),
        (0.3, pytest.approx(0.3, rel=0.01), pytest.approx(0, abs=1)),
    ]
    [(first, last, noise)] = numbers("loss from # to #; the noise alone gives #", text)
    assert first > 1
    assert last == pytest.approx(noise, rel=0.05)


def test_neural_ode(run):
    text = run("neural_ode", "--steps", "500")
    [(first, last)] = numbers("loss from # to #", text)
    assert last < 0.02 * first
    [(error, largest)] = numbers("largest error #, rabbits up to #", text)
    assert error < 0.1 * largest


def test_neural_ode_with_remat(run):
    text = run("neural_ode", "--steps", "40", "--remat")
    [(difference, with_remat, without)] = numbers("differ by at most #, peak # MB, not # MB", text)
    assert difference < 1e-6
    assert with_remat < 0.3 * without


def test_largest_curvature(run):
    text = run("largest_curvature")
    [(by_products, dense, difference)] = numbers("eigenvalue #, of the dense matrix #, relative difference #", text)
    assert difference < 1e-6
    assert by_products == pytest.approx(dense, rel=1e-6)
    [(eigenvalue, products)] = numbers("eigenvalue # after # products", text)
    assert products < 100
    assert numbers("largest stable learning rate: #", text) == [pytest.approx(2 / eigenvalue, rel=1e-3)]
    above, below = numbers("rate # \\* limit: loss #, at most #, at last #", text)
    for share, (rate, first, highest, last) in ((1.1, above), (0.9, below)):
        assert rate == share
        assert last < 0.6 * first
        assert (highest > 2 * first) == (share > 1)
    wider = dict(numbers("rate # \\* limit: the limit is [^,]*, # times", text))
    assert wider[1.1] > 1.1


def test_implicit_layer(run):
    text = run("implicit_layer")
    [training, new] = numbers("accuracy on .* points: # %", text)
    assert training > 99
    assert new > 97
    [(steps, difference)] = numbers("after # steps: largest difference #", text)
    assert steps > 10
    assert difference < 1e-6
    [(unrolled, implicit)] = numbers("ms and # MB; implicit: .* ms and # MB", text)
    assert implicit < 0.5 * unrolled
