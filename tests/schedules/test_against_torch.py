"""The schedules of PyTorch, step by step."""

import pytest

from nnx import schedules as s

torch = pytest.importorskip("torch", reason="torch is not installed")
of_torch = torch.optim.lr_scheduler
STEPS = 200


def joined(optimizer):
    parts = [of_torch.LinearLR(optimizer, 0.25, 1.0, 10), of_torch.CosineAnnealingLR(optimizer, 190)]
    return of_torch.SequentialLR(optimizer, parts, milestones=[10])


PAIRS = {
    "ConstantLR": (
        s.Join([s.Constant(0.15), s.Constant(0.3)], [7]),
        lambda o: of_torch.ConstantLR(o, 0.5, 7),
    ),
    "StepLR": (s.Step(0.3, 7), lambda o: of_torch.StepLR(o, 7)),
    "MultiStepLR": (s.MultiStep(0.3, [1, 20, 150], 0.5), lambda o: of_torch.MultiStepLR(o, [1, 20, 150], 0.5)),
    "ExponentialLR": (s.Exponential(0.3, 0.97), lambda o: of_torch.ExponentialLR(o, 0.97)),
    "LinearLR": (s.Linear(0.1, 150, 0.3), lambda o: of_torch.LinearLR(o, 1 / 3, 1.0, 150)),
    "PolynomialLR": (s.Polynomial(0.3, 150, power=1.5), lambda o: of_torch.PolynomialLR(o, 150, 1.5)),
    "CosineAnnealingLR": (s.Cosine(0.3, 199, 0.01), lambda o: of_torch.CosineAnnealingLR(o, 199, 0.01)),
    "CosineAnnealingWarmRestarts": (
        s.CosineRestarts(0.3, 7, 2, 0.01),
        lambda o: of_torch.CosineAnnealingWarmRestarts(o, 7, 2, 0.01),
    ),
    "CosineAnnealingWarmRestarts of one length": (
        s.CosineRestarts(0.3, 30),
        lambda o: of_torch.CosineAnnealingWarmRestarts(o, 30),
    ),
    "OneCycleLR": (s.OneCycle(0.3, STEPS), lambda o: of_torch.OneCycleLR(o, 0.3, STEPS)),
    "OneCycleLR, linear": (
        s.OneCycle(0.3, STEPS, rise=0.333, start=0.1, end=0.01, curve="linear"),
        lambda o: of_torch.OneCycleLR(
            o, 0.3, STEPS, pct_start=0.333, div_factor=3, final_div_factor=10, anneal_strategy="linear"
        ),
    ),
    "OneCycleLR in three phases": (
        s.OneCycle(0.3, STEPS, rise=0.4, three_phases=True),
        lambda o: of_torch.OneCycleLR(o, 0.3, STEPS, pct_start=0.4, three_phase=True),
    ),
    "SequentialLR": (s.WarmUp(s.Cosine(0.3, 190), 10, 0.075), joined),
    "SequentialLR as a join": (s.Join([s.Linear(0.075, 10, 0.3), s.Cosine(0.3, 190)], [10]), joined),
}


@pytest.mark.parametrize("name", PAIRS)
def test_two_hundred_steps(name):
    ours, theirs = PAIRS[name]
    optimizer = torch.optim.SGD([torch.zeros(1)], lr=0.3)
    scheduler = theirs(optimizer)
    for step in range(STEPS):
        assert ours(step) == pytest.approx(optimizer.param_groups[0]["lr"], abs=1e-12, rel=0), step
        if step < STEPS - 1:  # after its last step one cycle of theirs is an error
            optimizer.step()
            scheduler.step()
