import math

import pytest
import torch

from scorefield.denoisers import Gaussian, Mixture
from scorefield.diffusion import Diffusion
from scorefield.processes import EDM, VP, Flow
from scorefield.rng import Samples
from scorefield.samplers import (
    DPM,
    IPNDM,
    DormandPrince,
    Heun,
    Sampling,
    UniPC,
    few_steps_sampling,
    flow_sampling,
    image_sampling,
    learn_steps,
    sample,
    sde_sampling,
    unlearned,
    variance_ratios,
)
from scorefield.schedules import Karras, Learned, LogLevel

PROCESS = EDM(0.005, 40.0)
MEANS = torch.tensor([[-1.2, 0.0], [0.8, 0.5]], dtype=torch.float64)
DATA = Mixture(MEANS, torch.tensor([0.1, 0.3]).double(), torch.tensor([0.4, 0.6]).double())


@pytest.mark.parametrize("process", [EDM(0.01, 100.0), VP().spanning(0.01, 50.0), Flow().spanning(0.02, 60.0)])
def test_steps_follow_the_density(process):
    low, high = process.ends()
    levels = Learned((0.0, 2.0)).levels(process, 9)
    assert levels[0] == high and levels[-1] == low
    part = torch.log(high / levels) / math.log(high / low)  # the density is e^{2y} there
    assert torch.allclose(torch.expm1(2 * part) / math.expm1(2), torch.linspace(0, 1, 9).double(), atol=1e-5)
    even = LogLevel().levels(process, 9)
    assert torch.allclose(Learned().levels(process, 9), even) and torch.allclose(
        Learned((1.0, 1.0)).levels(process, 9), even
    )


def test_a_density_stands_for_its_own_levels_and_is_constant_beyond_them():
    schedule = Learned((1.0, 0.0), high=10.0, low=0.1)
    levels = schedule.levels(EDM(0.001, 1000.0), 1000).log()
    steps = -levels.diff()
    assert torch.allclose(steps[:200], steps[:1], rtol=1e-3) and torch.allclose(steps[-150:], steps[-1:], rtol=1e-3)
    assert float(steps[-1] / steps[0]) == pytest.approx(math.e, rel=1e-3)


@pytest.mark.parametrize("wrong", [{"density": (1.0,)}, {"density": (0.0, math.inf)}, {"low": 1.0}, {"fallback": 0}])
def test_a_density_that_makes_no_sense_is_refused(wrong):
    with pytest.raises(ValueError, match="Learned needs"):
        Learned(**wrong)


@pytest.mark.slow
def test_few_steps_that_were_learned_end_where_many_do():
    diffusion = Diffusion(PROCESS, DATA, DATA.moments())
    found = learn_steps(diffusion, (2,), Sampling(IPNDM(3), process=PROCESS))
    assert found is not None and found.accurate and found.sampling.steps in (11, 15)
    rng = Samples(7, 0, 500)  # other samples
    exact = sample(diffusion, (500, 2), Sampling(UniPC(3), 64), rng)

    def distance(sampling):  # which no trajectory dominates that ends at the other mode
        away = (sample(diffusion, (500, 2), sampling, rng) - exact).square().mean(1)
        return float(away.sqrt().quantile(0.9))

    assert distance(found.sampling) < 0.015 < 0.03 < distance(Sampling(UniPC(3), 11))


def test_what_was_learned_keeps_thin_and_wide_directions():
    wide = torch.tensor([3.0, 1.0, 0.02], dtype=torch.float64)
    data = Gaussian(torch.zeros_like(wide), wide**2)
    found = learn_steps(Diffusion(PROCESS, data, data), (3,), Sampling(IPNDM(3), process=PROCESS))
    assert found is not None and found.accurate
    s = torch.logspace(math.log10(0.02), math.log10(3.0), 25, dtype=torch.float64)
    ratios = variance_ratios(found.sampling, s) * (1 + (0.005 / s) ** 2)  # without the last denoising
    assert float((ratios - 1).abs().max()) < 0.035


def test_what_does_not_end_is_not_learned():
    class Broken(Gaussian):
        def forward(self, x, level):
            return super().forward(x, level) / 0.0

    data = Broken(torch.zeros(2).double(), torch.ones(2).double())
    assert learn_steps(Diffusion(PROCESS, data, data), (2,), Sampling(IPNDM(3), process=PROCESS)) is None


@pytest.mark.parametrize("sampler", [DPM(2, eta=1.0), DormandPrince(), None])
def test_schedules_are_learned_for_deterministic_samplers_with_fixed_steps(sampler):
    with pytest.raises(ValueError, match="deterministic sampler"):
        learn_steps(Diffusion(PROCESS, DATA), (2,), Sampling(sampler, process=PROCESS))


def test_few_steps_of_images_are_for_their_own_sampler_and_schedule():
    process = EDM(0.003, 55.0)
    usual = image_sampling(process)
    assert Sampling(usual.sampler).merged(usual) == Sampling(schedule=usual.schedule).merged(usual) == usual
    assert Sampling(steps=40).merged(usual) == usual.replace(steps=40)
    for sampler in (Heun(), DPM(2, eta=1.0)):
        assert Sampling(sampler).merged(usual) == Sampling(sampler, 25, None, process)
    assert Sampling(schedule=Karras()).merged(usual) == usual.replace(steps=25, schedule=Karras())
    assert unlearned(usual) == sde_sampling(process)


def test_another_sampler_does_not_take_over_what_was_learned():
    usual = few_steps_sampling(PROCESS)
    assert usual.to_be_learned and Sampling(IPNDM(3)).merged(usual) == usual
    assert Sampling(steps=20).merged(usual) == usual.replace(steps=20)
    assert Sampling(Heun()).merged(usual) == Sampling(Heun(), 32, None, PROCESS)
    assert Sampling(Heun(), schedule=Karras()).merged(usual) == Sampling(Heun(), 32, Karras(), PROCESS)
    assert Sampling(Heun(), 5).merged(usual).steps == 5
    assert unlearned(usual) == flow_sampling(PROCESS)
    assert unlearned(flow_sampling(PROCESS)) == flow_sampling(PROCESS)
    assert unlearned(few_steps_sampling(EDM(1e-5, 40.0))).steps == 38
