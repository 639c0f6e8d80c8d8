"""Restart sampling: what is repeated, what it forgets, and what it leaves alone."""

from __future__ import annotations

import math

import pytest
import torch

import properties
from scorefield.denoisers import Denoiser, Gaussian
from scorefield.diffusion import Diffusion
from scorefield.processes import EDM, Process
from scorefield.rng import Samples
from scorefield.samplers import (
    DDIM,
    DPM,
    Consistency,
    DormandPrince,
    Heun,
    Restart,
    Sampler,
    Sampling,
    UniPC,
    sample,
    sde_sampling,
    trajectory,
    unlearned,
    variance_ratios,
)
from scorefield.schedules import ExplicitLevels, LogLevel

D = torch.float64
PROCESSES = properties.instances(Process, "scorefield.processes")
every = pytest.mark.parametrize("process", PROCESSES, ids=lambda process: type(process).__name__)
WHITE = Gaussian(torch.full((1,), 0.4, dtype=D), torch.full((1,), 0.3, dtype=D))


class Watched(Denoiser):
    """A denoiser that is too high above a level, and writes down the levels it is asked at."""

    def __init__(self, denoiser: Denoiser, above: float = math.inf, error: float = 0.0) -> None:
        super().__init__()
        self.denoiser, self.above, self.error = denoiser, above, error
        self.levels: list[float] = []

    def forward(self, x, level):
        self.levels.append(round(float(torch.as_tensor(level).flatten()[0]), 6))
        return self.denoiser(x, level) + self.error * (torch.as_tensor(level) > self.above)


def asked(sampler: Sampler, levels: tuple[float, ...]) -> list[float]:
    """The levels at which the denoiser is evaluated on the way."""
    watched, process = Watched(WHITE), EDM(0.01, 80.0)
    times = ExplicitLevels(levels).times(process, None)
    x = process.level(times[0]) * torch.ones(1, 1, dtype=D)
    list(sampler.trajectory(Diffusion(process, watched), x, times, Samples(0, count=1)))
    assert sampler.evaluations_through(levels) in (len(watched.levels), None)
    return watched.levels


@pytest.mark.parametrize("sampler", [DPM(2), DPM(2, eta=1.0), UniPC(3)], ids=repr)
def test_the_levels_that_are_passed_again(sampler):
    restart = Restart(sampler, low=0.7, high=2.5, repeats=2)
    # half of a step and a whole one, so two, and one more: three of equal ratio, which is 2
    assert asked(restart, (20.0, 5.0, 1.25, 0.3125)) == [20, 5, 1.25, *[2.5, 1.25, 0.625] * 2]
    again = [2.5, 1.574901, 0.992126]  # two steps, and one more
    assert asked(restart, (10.0, 5.0, 2.5, 1.25, 0.625, 0.1)) == [10, 5, 2.5, 1.25, *again * 2, 0.625]
    assert asked(restart, (10.0, 0.625, 0.1)) == [10, *[2.5, 1.25] * 2, 0.625]  # none is in between
    assert asked(restart, (10.0, 4.0, 0.8)) == [10, 4]  # `low` is not reached
    assert asked(restart, (2.5, 1.0, 0.1)) == asked(sampler, (2.5, 1.0, 0.1))  # begins no higher than `high`
    assert asked(restart, (0.5, 0.1)) == [0.5]


def test_evaluations_of_samplers_with_several_or_unknown_ones():
    levels = (10.0, 2.0, 0.5, 0.1)
    assert asked(Restart(Heun(), repeats=3), levels)
    assert Restart(Heun(), repeats=3).evaluations_through(levels) == 24  # 3 steps, and 3 · 3 again
    assert Restart(DormandPrince()).evaluations_through(levels) is None and Restart(DormandPrince()).adaptive
    assert Heun().evaluations_through(levels) == 6


@every
def test_an_error_at_large_levels_is_forgotten(process):
    """The flow from the level a to b takes a mean that is off by e to e √((S + b²)/(S + a²)), and noise leaves it alone."""
    process, low, high = process.matched(0.01, 60.0), 0.5, 3.0
    diffusion = Diffusion(process, Watched(WHITE, above=3.1, error=0.5), WHITE)
    off = []
    for sampler in (Heun(), *(Restart(Heun(), low, high, repeats) for repeats in (1, 3))):
        *_, (_, x) = trajectory(
            diffusion, (1, 1), Sampling(sampler, 300, LogLevel()), properties.Noises(), denoise=False
        )
        off.append(float(x) / float(process.alpha(torch.zeros((), dtype=D))) - 0.4)  # without noise: the mean
    reached = max(level for level in process.level(LogLevel().times(process, 300)).tolist() if level <= low)
    factor = math.sqrt((0.3 + reached**2) / (0.3 + high**2))
    assert abs(off[0]) > 0.01
    assert off[1] / off[0] == pytest.approx(factor, rel=0.01)
    assert off[2] / off[0] == pytest.approx(factor**3, rel=0.02)


@pytest.mark.parametrize("sampler", [DPM(2), DPM(2, eta=1.0), Heun(), UniPC(2)], ids=repr)
def test_variances_become_exact_with_more_steps(sampler):
    """Those of directions that are much wider than `high`, too, in which errors of all repeats add up."""
    deviations = torch.tensor([0.1, 0.5, 1.0, 3.0, 10.0], dtype=D)
    errors = [
        (variance_ratios(Sampling(Restart(sampler), n, LogLevel(), EDM(0.001, 60.0)), deviations) - 1).abs().max()
        for n in (50, 100, 200)
    ]
    assert float(errors[2]) < 0.02 and float(errors[1] / errors[2]) > 1.6


def test_what_stands_in_its_place():
    """Posteriors take the reverse SDE, other samplers as many evaluations, and other restarts as many steps."""
    own = Sampling(Restart(), 20, process=EDM(0.003, 50.0))
    assert unlearned(own) == sde_sampling(own.process)
    assert Sampling(DDIM()).merged(own) == own.replace(sampler=DDIM(), steps=own.evaluations)
    assert own.evaluations > 30
    assert Sampling(Restart(repeats=10)).merged(own).steps == 20 and Sampling(None, 8).merged(own).steps == 8


def test_a_batch_does_not_matter():
    sampling = Sampling(Restart(), 12, process=EDM(0.01, 60.0))
    diffusion = Diffusion(EDM(0.01, 60.0), WHITE, WHITE)
    whole = sample(diffusion, (5, 1), sampling, Samples(3, count=5))
    torch.testing.assert_close(sample(diffusion, (2, 1), sampling, Samples(3, 3, count=2)), whole[3:], rtol=0, atol=0)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"low": 2.0, "high": 1.0}, "Restart needs 0 < low < high, got low=2, high=1"),
        ({"low": 0.0}, "Restart needs 0 < low < high, got low=0, high=2.5"),
        ({"high": math.inf}, "Restart needs 0 < low < high, got low=0.7, high=inf"),
        ({"high": math.nan}, "Restart needs 0 < low < high, got low=0.7, high=nan"),
        ({"repeats": 0}, "Restart needs at least 1 repeat, got repeats=0"),
        ({"sampler": Consistency()}, "Restart needs a sampler whose steps lead from level to level, got Consistency"),
    ],
)
def test_arguments(values, message):
    with pytest.raises(ValueError, match=message):
        Restart(**values)
