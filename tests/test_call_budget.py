"""Steps stay within a stored budget of Python calls and of new arrays, so that overhead does not creep back."""

import numpy as np
import pytest
import step_budget

import nnx

BUDGET = step_budget.budget()
SLACK = {"calls": 0.05, "arrays": 0.1}
"""By which part a step may go beyond its budget: versions of Python and NumPy differ in a few of them."""


@pytest.mark.parametrize("tier", step_budget.TIERS)
@pytest.mark.parametrize("name", step_budget.STEPS)
def test_a_step_stays_within_its_budget(name, tier):
    if not step_budget.has_tier(tier):
        pytest.skip("there is no Numba, or it is left out")
    found, allowed = step_budget.cost(name, tier), BUDGET[name][tier]
    over = [
        f"{number} {what}, the budget is {allowed[what]}"
        for what, number in found.items()
        if number > allowed[what] * (1 + SLACK[what])
    ]
    assert not over, (
        f"a step ({name}; {tier}) takes {' and '.join(over)}. Where do they come from? If it has to be, "
        "python tests/helpers/step_budget.py writes the numbers of today, and the commit says why."
    )


def test_the_budget_names_the_steps_that_there_are():
    assert BUDGET.keys() == step_budget.STEPS.keys(), "run python tests/helpers/step_budget.py"


def test_what_is_counted():
    x = np.ones(3)
    assert step_budget.calls(lambda: None) == step_budget.allocations(lambda: None) == 0
    assert step_budget.calls(lambda: nnx.ReLU()(x)) > 1
    assert step_budget.allocations(lambda: (np.zeros(3), x[1:], np.negative(x))) == 2
