from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from laws import Answer, Noises
from scorefield.denoisers import Denoiser, EDMPrediction, Gaussian, Preconditioned
from scorefield.objectives import DenoisingScoreMatching, LogNormal, LogUniform, ProcessLevels
from scorefield.processes import EDM, VP
from scorefield.rng import Samples, Steps

D = torch.float64


def expected_loss(denoiser: Denoiser, law: Gaussian, level: Tensor, scale: float) -> float:
    """The exact mean over data of a Gaussian law and noise: an affine error is known by its values at unit vectors.

    E‖e(g)‖² = ‖e(0)‖² + Σ_i ‖e(unit i) - e(0)‖², here from losses alone: ‖a‖² = (‖e + a‖² + ‖e - a‖²)/2 - ‖e‖².
    """
    n = law.mean.numel()
    objective = DenoisingScoreMatching(LogNormal(), scale)
    data = law.sample(1 + n, Noises())  # m, m + each column of a root of the covariance
    zero = data[:1]
    still = float(objective.at(denoiser, zero, level, Fixed(torch.zeros_like(zero))))
    units = torch.eye(n, dtype=D).reshape(n, *law.mean.shape)
    flat = torch.zeros_like(units)
    total = still
    for step, noise in ((data[1:] - zero, flat), (flat, units)):
        ahead = objective.at(denoiser, zero + step, level, Fixed(noise))
        back = objective.at(denoiser, zero - step, level, Fixed(-noise))
        total += float(((ahead + back) / 2 - still).sum())
    return total


class Fixed(Noises):
    """Noise that is given."""

    def __init__(self, z: Tensor) -> None:
        self.z = z

    def normal(self, shape, dtype=None, device=None) -> Tensor:
        assert tuple(shape) == tuple(self.z.shape)
        return self.z


@pytest.mark.parametrize("level", [0.01, 0.8, 50.0])
@pytest.mark.parametrize("scale", [1.0, 0.3])
def test_the_exact_denoiser_reaches_the_optimum(level, scale, gaussian):
    """w(σ) tr(C σ² (C + σ²)⁻¹) / n, and no linear denoiser does better."""
    level = torch.tensor(level, dtype=D)
    weight = 1 / level**2 + 1 / scale**2
    best = float(weight * (gaussian.values * level**2 / (gaussian.values + level**2)).sum() / 2)
    assert expected_loss(gaussian, gaussian, level, scale) == pytest.approx(best, rel=1e-9)
    for other in (
        Gaussian(gaussian.mean, 1.1 * gaussian.covariance),
        Gaussian(gaussian.mean + 0.1, gaussian.covariance),
    ):
        assert expected_loss(other, gaussian, level, scale) > best


@pytest.mark.parametrize("scale", [1.0, 0.3])
@pytest.mark.parametrize("level", [1e-3, 0.5, 80.0])
def test_a_network_that_answers_zero_has_the_loss_one(level, scale):
    law = Gaussian(torch.zeros(2, 3, dtype=D), torch.full((2, 3), scale**2, dtype=D))
    denoiser = Preconditioned(Answer(torch.zeros((), dtype=D)), EDMPrediction(scale))
    assert expected_loss(denoiser, law, torch.tensor(level, dtype=D), scale) == pytest.approx(1, rel=1e-9)


def test_the_loss_is_that_of_the_networks_answer():
    """With the Karras parametrization: the mean square of F less what it should be."""
    x0, z = (Samples(seed, count=5).normal((5, 3), D) for seed in (0, 1))
    level = torch.tensor([0.01, 0.1, 1.0, 10.0, 80.0], dtype=D)[:, None]
    answer = torch.full((5, 3), 0.3, dtype=D)
    loss = DenoisingScoreMatching(LogNormal(), 0.7).at(
        Preconditioned(Answer(answer), EDMPrediction(0.7)), x0, level, Fixed(z)
    )
    skip, out = EDMPrediction(0.7).coefficients(level)
    target = (x0 - skip * (x0 + level * z)) / out
    torch.testing.assert_close(loss, ((answer - target) ** 2).mean(1), rtol=1e-8, atol=1e-10)


def test_an_infinite_scale_leaves_the_weight_of_the_level_alone():
    level = torch.tensor([1e-3, 0.5, 80.0], dtype=D)
    flat = DenoisingScoreMatching(LogNormal(), math.inf)
    assert torch.equal(flat.weight(level), 1 / level**2)
    torch.testing.assert_close(DenoisingScoreMatching(LogNormal(), 1e9).weight(level), flat.weight(level))


def test_each_datum_has_its_loss_and_its_level():
    x0 = Samples(0, count=64).normal((64, 2, 3))
    levels, rng = LogUniform(0.1, 1.0), Steps(3)
    seen = []

    class Spy(Denoiser):
        def forward(self, x: Tensor, level: Tensor) -> Tensor:
            seen.append(level)
            return torch.zeros_like(x)

    loss = DenoisingScoreMatching(levels)(Spy(), x0, rng.at(5))
    assert loss.shape == (64,)
    assert seen[0].shape == (64, 1, 1)
    assert torch.equal(seen[0].flatten(), levels.draw(rng.at(5).spread(64)))
    weight = 1 / seen[0].flatten() ** 2 + 1
    torch.testing.assert_close(loss, weight * (x0**2).mean((1, 2)))


def test_training_samples_the_law_of_levels_without_bias():
    """The mean over steps of an even grid's mean is the law's, with less variance than independent levels have."""
    levels, batch, steps = LogNormal(-0.5, 1.2), 16, 2000

    def means(rng_of):
        return torch.stack([levels.draw(rng_of(step)).log().mean() for step in range(steps)])

    even = means(lambda step: Steps(0).at(step).spread(batch, D))
    free = means(lambda step: Steps(1).at(step).uniform((batch,), D))
    for found in (even, free):
        assert abs(float(found.mean()) + 0.5) < 5 * float(found.std()) / math.sqrt(steps)
    assert float(even.std()) < float(free.std()) / 2


# -- laws of levels ------------------------------------------------------------------------------------------------


def test_quantiles_of_a_log_normal():
    u = torch.special.ndtr(torch.tensor([-2.0, -1.0, 0.0, 1.0, 2.0], dtype=D))
    found = LogNormal(-0.5, 1.2).draw(u).log()
    torch.testing.assert_close(found, -0.5 + 1.2 * torch.arange(-2.0, 3.0, dtype=D), rtol=1e-10, atol=1e-10)
    ends = LogNormal(0.0, 1.0).draw(torch.tensor([0.0, 1 - 2**-24])).log()
    assert bool((ends.abs() > 4.5).all() & (ends.abs() < 5.5).all())


def test_quantiles_of_a_log_uniform():
    found = LogUniform(0.1, 1000.0).draw(torch.tensor([0.0, 0.25, 0.5, 1.0], dtype=D))
    torch.testing.assert_close(found, torch.tensor([0.1, 1.0, 10.0, 1000.0], dtype=D))


def test_a_clock_has_the_levels_of_its_process():
    u = torch.linspace(0, 1, 11, dtype=D)
    torch.testing.assert_close(ProcessLevels(VP()).draw(u), VP().level(u))


@pytest.mark.parametrize("count", [2, 10, 1000])
def test_a_clock_with_a_count_has_so_many_levels_all_alike(count):
    u = (torch.arange(10 * count) + 0.5) / (10 * count)
    found, often = ProcessLevels(EDM(), count).draw(u.to(D)).unique(return_counts=True)
    expected = EDM().level(torch.linspace(0, 1, count, dtype=D))
    torch.testing.assert_close(found, expected, rtol=1e-12, atol=0)
    assert (often == 10).all()
    last = ProcessLevels(EDM(), count).draw(torch.tensor(1 - 2**-24))
    assert float(last) == pytest.approx(80.0, rel=1e-5)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: LogNormal(math.nan), "LogNormal needs a finite mean and std > 0, got mean=nan, std=1.2"),
        (lambda: LogNormal(0.0, 0.0), "LogNormal needs a finite mean and std > 0, got mean=0, std=0"),
        (lambda: LogUniform(0.0, 1.0), "LogUniform needs 0 < low < high, got low=0, high=1"),
        (lambda: LogUniform(2.0, 1.0), "LogUniform needs 0 < low < high, got low=2, high=1"),
        (lambda: LogUniform(1.0, math.inf), "LogUniform needs 0 < low < high, got low=1, high=inf"),
        (lambda: ProcessLevels(VP(), 1), "a clock needs at least 2 times, got count=1: leave it out for all times"),
        (
            lambda: DenoisingScoreMatching(LogNormal(), 0.0),
            "DenoisingScoreMatching needs scale > 0, the standard deviation of data, or math.inf for the weight 1/σ², got 0",
        ),
    ],
)
def test_values_that_make_no_law(make, message):
    with pytest.raises(ValueError, match=f"^{message}$"):
        make()
