from __future__ import annotations

import math
from functools import cache

import pytest
import torch
from torch import Tensor

import properties
from scorefield.denoisers import Denoiser, Gaussian, Mixture
from scorefield.diffusion import Diffusion
from scorefield.processes import EDM, VP, Process
from scorefield.rng import Samples
from scorefield.samplers import DormandPrince, ExponentialAdams
from scorefield.toys import eight_gaussians

D = torch.float64
DOWN = torch.tensor([1.0, 0.0], dtype=D)
PROCESSES = properties.instances(Process, "scorefield.processes")
every = pytest.mark.parametrize("process", PROCESSES, ids=lambda process: type(process).__name__)


class Watched(Denoiser):
    """Remembers how many samples it was asked of, call by call."""

    def __init__(self, distribution: Mixture) -> None:
        super().__init__()
        self.distribution = distribution
        self.asked: list[int] = []

    def forward(self, x: Tensor, level: Tensor) -> Tensor:
        self.asked.append(len(x))
        return self.distribution(x, level)


def end(sampler, diffusion: Diffusion, x: Tensor, times: Tensor = DOWN) -> Tensor:
    for state in sampler.trajectory(diffusion, x, times, properties.Noises()):
        x = state
    return x


def eight() -> tuple[Diffusion, Tensor]:
    distribution = eight_gaussians().mixture
    diffusion = Diffusion(EDM(), distribution, distribution.moments())
    return diffusion, diffusion.prior((100, 2), Samples(0, count=100))


@cache
def truth() -> Tensor:
    """By a method that shares no formula."""
    return end(ExponentialAdams(4, 2.0), *eight(), torch.linspace(1, 0, 1025, dtype=D))


@pytest.mark.parametrize(
    ("tolerance", "median", "largest"), [(1e-2, 2e-2, 2.0), (1e-4, 5e-4, 0.2), (1e-6, 2e-6, 1e-4), (1e-8, 2e-8, 1e-6)]
)
def test_the_error_follows_the_tolerance(tolerance, median, largest):
    error = (end(DormandPrince(tolerance, tolerance), *eight()) - truth()).norm(dim=1)
    assert float(error.median()) < median
    assert float(error.max()) < largest


def test_it_takes_few_evaluations_and_leaves_alone_who_has_arrived():
    diffusion, x = eight()
    watched = Watched(diffusion.denoiser)
    end(DormandPrince(), Diffusion(EDM(), watched, diffusion.moments), x)
    assert sum(watched.asked) / len(x) < 70
    assert watched.asked == sorted(watched.asked, reverse=True)
    assert watched.asked[0] == len(x) > watched.asked[-1]


@every
def test_gaussian_data_of_the_known_moments_take_one_step(process, gaussian):
    """x_s = α_s (m + (C + level_s²)^½ (C + level_1²)^-½ (x_1/α_1 - m)), whatever the tolerance."""
    watched = Watched(gaussian)
    diffusion = Diffusion(process, watched, gaussian)
    x = diffusion.prior((4, 2), Samples(0, count=4))
    widths = [torch.sqrt(gaussian.values + process.level(t) ** 2) for t in DOWN]
    moved = gaussian._from_eigenbasis(gaussian._to_eigenbasis(x / process.alpha(DOWN[0])) / widths[0] * widths[1])
    found = end(DormandPrince(0.1, 0.1), diffusion, x)
    torch.testing.assert_close(found, process.alpha(DOWN[1]) * moved, rtol=1e-9, atol=1e-9)
    assert len(watched.asked) <= 2 + 3 * 6


@every
def test_up_and_down_again(process):
    """Data become latents, and the latents those data, to the tolerance; each from its own outlier to its own mode."""
    distribution = properties.example_mixture()
    diffusion, sampler = Diffusion(process, distribution, distribution.moments()), DormandPrince(1e-8, 1e-8)
    x = torch.cat([distribution.sample(10, Samples(0, count=10)), torch.tensor([[9.0, -9.0]], dtype=D)])
    x = process.mix(x, torch.zeros_like(x), DOWN[1])
    latent = end(sampler, diffusion, x, DOWN.flip(0))
    assert float((latent / process.sigma(DOWN[0])).abs().max()) > 2
    torch.testing.assert_close(end(sampler, diffusion, latent), x, rtol=0, atol=1e-5)


def test_no_sample_depends_on_its_companions(mixture):
    """An outlier among them takes more steps; the others take theirs."""
    diffusion = Diffusion(VP(), mixture, mixture.moments())
    x = diffusion.prior((6, 2), Samples(0, count=6))
    x[3] *= 30
    whole = end(DormandPrince(), diffusion, x)
    for i in range(6):
        torch.testing.assert_close(end(DormandPrince(), diffusion, x[i : i + 1])[0], whole[i], rtol=1e-9, atol=1e-9)


def test_the_grid_says_where_it_is_looked_at(mixture):
    diffusion = Diffusion(EDM(), mixture, mixture.moments())
    x = diffusion.prior((8, 2), Samples(0, count=8))
    times = torch.tensor([1.0, 0.8, 0.35, 0.0], dtype=D)
    sampler = DormandPrince(1e-9, 1e-9)
    states = list(sampler.trajectory(diffusion, x, times, properties.Noises()))
    assert len(states) == 4
    for i in (1, 2, 3):
        direct = end(sampler, diffusion, x, torch.stack([times[0], times[i]]))
        torch.testing.assert_close(states[i], direct, rtol=1e-6, atol=1e-6)


def test_states_of_any_shape_and_type_without_moments():
    """Narrow numbers are solved for in wide ones, and come back as they were."""
    distribution = Gaussian(torch.zeros(3, 2, 2), torch.full((3, 2, 2), 0.25))
    x = 80 * Samples(0, count=2).normal((2, 3, 2, 2), torch.float32)
    found = end(DormandPrince(1e-6, 1e-6), Diffusion(EDM(), distribution), x, DOWN.float())
    assert found.dtype == torch.float32
    torch.testing.assert_close(found, x * math.sqrt(0.25 + 0.002**2) / math.sqrt(0.25 + 80**2), rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize(("rtol", "atol"), [(0.0, 1e-4), (1e-4, -1.0), (math.nan, 1e-4)])
def test_tolerances_that_are_none(rtol, atol):
    with pytest.raises(ValueError, match=f"DormandPrince needs positive tolerances, got rtol={rtol:g}, atol={atol:g}"):
        DormandPrince(rtol, atol)
