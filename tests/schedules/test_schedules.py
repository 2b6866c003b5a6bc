"""Schedules: their corners, what they refuse, data for JSON, and the learning rates of an optimizer."""

import json
import math
from dataclasses import FrozenInstanceError, dataclass

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import nnx
from nnx import schedules
from nnx.errors import ArgumentError, UsageError

S = schedules
EACH = [
    S.Constant(0.3),
    S.Step(0.3, every=7, factor=0.5),
    S.MultiStep(0.3, milestones=[2, 30]),
    S.Exponential(0.3, 0.9),
    S.Linear(0.3, 10, end=0.1),
    S.Polynomial(0.3, 10, end=0.1, power=0.5),
    S.Cosine(0.3, 10, end=0.1),
    S.InverseSquareRoot(0.3, 4),
    S.CosineRestarts(0.3, 10, growth=2, end=0.1),
    S.OneCycle(0.3, 10, start=0.2, end=0.1),
    S.WarmUp(S.Cosine(0.3, 10), 5, start=0.1),
    S.Join([S.Constant(0.3), S.WarmUp(S.Step(0.2, 3), 4), S.Linear(0.1, 5)], boundaries=[3, 9]),
]
each = pytest.mark.parametrize("schedule", EACH, ids=lambda schedule: type(schedule).__name__)


@each
def test_it_is_a_finite_number_of_python_at_any_step(schedule):
    for step in (*range(50), 10**9, 2**63, 10**400):
        assert type(schedule(step)) is float
        assert 0.0 <= schedule(step) <= 0.3 * (1 + 1e-15)
    assert schedule(np.int64(7)) == schedule(7)


@each
@pytest.mark.parametrize("step", [-1, 1.0, "1", None, True, np.zeros(2, int)])
def test_a_step_is_an_integer_from_0(schedule, step):
    with pytest.raises(ArgumentError, match="expected step to be an integer of at least 0, got"):
        schedule(step)


@each
def test_it_is_data(schedule):
    config = json.loads(json.dumps(schedule.config()))
    made = nnx.from_config(config)
    assert made == schedule
    assert hash(made) == hash(schedule)
    assert repr(made) == repr(schedule)
    with pytest.raises(FrozenInstanceError):
        made.start = 1.0


@each
def test_an_optimizer_has_it_in_its_configuration(schedule):
    model = nnx.Linear(1, 1)
    optimizer = nnx.SGD(model, schedule)
    assert optimizer.learning_rate == schedule(0)
    made = nnx.from_config(json.loads(json.dumps(optimizer.config())), model=model)
    assert made.config() == optimizer.config()
    assert made.learning_rate == schedule(0)


def test_names_that_layers_and_initializers_have_too():
    assert S.Linear(1.0, 2).config() == {"type": "schedules.Linear", "start": 1.0, "steps": 2, "end": 0.0}
    assert type(nnx.from_config({"type": "Linear", "in_features": 1, "out_features": 1})) is nnx.Linear
    assert nnx.from_config({"type": "Constant", "value": 2.0}) == nnx.initializers.Constant(2.0)
    assert nnx.from_config({"type": "schedules.Constant", "value": 2.0}) == S.Constant(2.0)


@pytest.mark.parametrize("kind", [S.Linear, S.Cosine, S.Polynomial])
@given(start=st.floats(0, 1e300), end=st.floats(0, 1e300), steps=st.integers(1, 10**30))
def test_start_and_end_are_exact(kind, start, end, steps):
    schedule = kind(start, steps, end)
    assert schedule(0) == start
    assert schedule(steps) == schedule(steps + 1) == schedule(100 * steps) == end
    if steps > 1:
        middle, slack = schedule(steps // 2), 4e-16 * max(start, end) + 1e-323  # the second where numbers are subnormal
        assert min(start, end) - slack <= middle <= max(start, end) + slack


@given(start=st.floats(0, 1e300), peak=st.floats(0, 1e300), end=st.floats(0, 1e300), steps=st.integers(1, 10**9))
@pytest.mark.parametrize("options", [{}, {"curve": "linear"}, {"three_phases": True}, {"rise": 0.0}])
def test_one_cycle_ends_at_its_last_step(options, start, peak, end, steps):
    schedule = S.OneCycle(peak, steps, start=start, end=end, **options)
    assert schedule(steps - 1) == schedule(steps) == schedule(10**12) == end
    assert max(map(schedule, range(50))) <= max(start, peak, end) * (1 + 1e-15)


def test_one_cycle_has_its_peak_where_the_rise_ends():
    schedule = S.OneCycle(0.7, 100, start=0.1)
    assert schedule(0) == 0.1
    assert schedule(29) == max(map(schedule, range(100))) == 0.7
    schedule = S.OneCycle(0.7, 100, three_phases=True, rise=0.25)
    assert (schedule(0), schedule(24), schedule(48)) == (0.7 / 25, 0.7, 0.7 / 25)
    assert schedule(99) == 0.7 / 25 / 10_000


def test_a_cosine_restarts_at_the_very_step():
    assert S.CosineRestarts(0.3, 7)(7 * 10**30) == 0.3
    schedule = S.CosineRestarts(0.3, 10, growth=3)
    begins = [10 * (3**i - 1) // 2 for i in range(60)]
    assert [schedule(begin) for begin in begins] == [0.3] * 60
    assert all(schedule(begin - 1) < 0.25 for begin in begins[1:])


def test_factors_change_at_the_very_step():
    schedule = S.MultiStep(1.0, milestones=[1, 10**20], factor=0.5)
    assert [schedule(step) for step in (0, 1, 10**20 - 1, 10**20)] == [1.0, 0.5, 0.5, 0.25]
    schedule = S.Step(1.0, every=10**20, factor=2.0)
    assert [schedule(step) for step in (10**20 - 1, 10**20)] == [1.0, 2.0]


def test_what_grows_beyond_all_floats_is_infinite_and_an_optimizer_says_so():
    schedule = S.Exponential(1.0, 1.1)
    assert schedule(10**9) == math.inf
    optimizer = nnx.SGD(nnx.Linear(1, 1), lambda step: schedule(step + 10**9))
    with pytest.raises(ArgumentError, match="expected a schedule that returns a finite learning_rate >= 0, got inf"):
        _ = optimizer.learning_rate


def test_warm_up_and_inverse_square_root_are_the_schedule_of_the_transformer():
    schedule = S.WarmUp(S.InverseSquareRoot(0.5, 4000), 4000)
    for step in (1, 2000, 4000, 4001, 100_000):
        assert schedule(step) == pytest.approx(0.5 * math.sqrt(4000) * min(step**-0.5, step * 4000**-1.5), rel=1e-15)


def test_parts_may_be_any_functions():
    schedule = S.WarmUp(lambda step: 1.0 + step, 2)
    assert [schedule(step) for step in range(4)] == [0.0, 0.5, 1.0, 2.0]
    assert S.Join([schedule], [])(3) == 2.0


def test_a_schedule_of_ones_own():
    @dataclass(frozen=True)
    class Mine(S.Schedule):
        start: float

        def at(self, step):
            return self.start / (step + 1)

    assert S.WarmUp(Mine(1.0), 4)(5) == 0.5
    assert nnx.from_config(S.WarmUp(Mine(1.0), 4).config(), allow=(Mine,)) == S.WarmUp(Mine(1.0), 4)
    with pytest.raises(ArgumentError, match="expected a finite start >= 0, got -1"):
        Mine(-1)
    with pytest.raises(UsageError, match=r"Schedule defines no at\(self, step\)"):
        S.Schedule()(0)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: S.Constant(-1.0), "expected a finite value >= 0, got -1.0"),
        (lambda: S.Constant(None), "expected a finite value >= 0, got None"),
        (lambda: S.Cosine("0.1", 10), "expected a finite start >= 0, got '0.1'"),
        (lambda: S.Cosine(math.inf, 10), "expected a finite start >= 0, got inf"),
        (lambda: S.Cosine(0.1, 0), "expected steps to be an integer of at least 1, got 0"),
        (lambda: S.Cosine(0.1, 10.5), "expected steps to be an integer of at least 1, got 10.5"),
        (lambda: S.Linear(0.1, 10, math.nan), "expected a finite end >= 0, got nan"),
        (lambda: S.Polynomial(0.1, 10, power=-1), "expected a finite power >= 0, got -1"),
        (lambda: S.Step(0.1, 10, 0), "expected a finite factor > 0, got 0"),
        (lambda: S.Step(0.1, True), "expected every to be an integer of at least 1, got True"),
        (lambda: S.CosineRestarts(0.1, 10, growth=1.5), "expected growth to be an integer of at least 1, got 1.5"),
        (lambda: S.MultiStep(0.1, [3, 3]), r"expected milestones to be .* each greater than the last, got \[3, 3\]"),
        (lambda: S.MultiStep(0.1, 3), "expected milestones to be steps of at least 1, .* got 3"),
        (lambda: S.MultiStep(0.1, [0]), r"expected milestones to be steps of at least 1, .* got \[0\]"),
        (lambda: S.OneCycle(0.1, 10, rise=2), r"expected rise in \[0, 1\], got 2"),
        (lambda: S.OneCycle(0.1, 10, rise=0.5, three_phases=True), "expected rise < 0.5 with three phases"),
        (lambda: S.OneCycle(0.1, 10, curve="cos"), "expected curve to be one of 'cosine', 'linear', got 'cos'"),
        (lambda: S.OneCycle(0.1, 10, start=-1), "expected a finite start >= 0, got -1"),
        (lambda: S.WarmUp(0.1, 10), r"expected schedule to be a schedule, such as nnx.*Constant\(0.1\), got 0.1"),
        (lambda: S.WarmUp(S.Cosine, 10), "expected schedule to be a schedule, .* got the class Cosine"),
        (lambda: S.Join([], []), r"expected schedules to be a list of at least one schedule, got \[\]"),
        (lambda: S.Join(S.Constant(1.0), []), "expected schedules to be a list of at least one schedule, got Constant"),
        (lambda: S.Join([S.Constant(1.0), 2.0], [3]), r"expected schedules\[1\] to be a schedule, .* got 2.0"),
        (lambda: S.Join([S.Constant(1.0)], [3]), "expected 0 boundaries between 1 schedules, got 1"),
    ],
)
def test_what_they_refuse(make, message):
    with pytest.raises(ArgumentError, match=message):
        make()
