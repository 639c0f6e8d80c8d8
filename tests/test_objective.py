from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from properties import Answer, Noises
from scorefield.denoisers import Denoiser, EDMPrediction, Gaussian, Preconditioned
from scorefield.objectives import DenoisingScoreMatching, LogNormal, LogUniform, ProcessLevels
from scorefield.processes import EDM, VP
from scorefield.rng import Samples, Steps

D = torch.float64


def expected_loss(denoiser: Denoiser, gaussian: Gaussian, level: Tensor, scale: float) -> float:
    """The exact mean over Gaussian data and noise: an affine error is determined by its values at unit vectors.

    E‖e(g)‖² = ‖e(0)‖² + Σ_i ‖e(unit i) - e(0)‖², here from losses only: ‖a‖² = (‖e + a‖² + ‖e - a‖²)/2 - ‖e‖².
    """
    n = gaussian.mean.numel()
    objective = DenoisingScoreMatching(LogNormal(), scale)
    data = gaussian.sample(1 + n, Noises())  # m, m + each column of a root of the covariance
    zero = data[:1]
    centre = float(objective.at(denoiser, zero, level, Fixed(torch.zeros_like(zero))))
    units = torch.eye(n, dtype=D).reshape(n, *gaussian.mean.shape)
    flat = torch.zeros_like(units)
    total = centre
    for step, noise in ((data[1:] - zero, flat), (flat, units)):
        forward = objective.at(denoiser, zero + step, level, Fixed(noise))
        backward = objective.at(denoiser, zero - step, level, Fixed(-noise))
        total += float(((forward + backward) / 2 - centre).sum())
    return total


class Fixed(Noises):
    """A source of given noise."""

    def __init__(self, z: Tensor) -> None:
        self.z = z

    def normal(self, shape, dtype=None, device=None) -> Tensor:
        assert tuple(shape) == tuple(self.z.shape)
        return self.z


@pytest.mark.parametrize("level", [0.01, 0.8, 50.0])
@pytest.mark.parametrize("scale", [1.0, 0.3])
def test_the_exact_denoiser_reaches_the_minimum(level, scale, gaussian):
    """w(σ) tr(C σ² (C + σ²)⁻¹) / n, and other linear denoisers have a larger loss."""
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
def test_a_network_with_output_zero_has_loss_one(level, scale):
    gaussian = Gaussian(torch.zeros(2, 3, dtype=D), torch.full((2, 3), scale**2, dtype=D))
    denoiser = Preconditioned(Answer(torch.zeros((), dtype=D)), EDMPrediction(scale))
    assert expected_loss(denoiser, gaussian, torch.tensor(level, dtype=D), scale) == pytest.approx(1, rel=1e-9)


def test_the_loss_is_the_squared_error_of_the_network_output():
    """With the EDM parametrization."""
    x0, z = (Samples(seed, count=5).normal((5, 3), D) for seed in (0, 1))
    level = torch.tensor([0.01, 0.1, 1.0, 10.0, 80.0], dtype=D)[:, None]
    answer = torch.full((5, 3), 0.3, dtype=D)
    loss = DenoisingScoreMatching(LogNormal(), 0.7).at(
        Preconditioned(Answer(answer), EDMPrediction(0.7)), x0, level, Fixed(z)
    )
    skip, out = EDMPrediction(0.7).coefficients(level)
    target = (x0 - skip * (x0 + level * z)) / out
    torch.testing.assert_close(loss, ((answer - target) ** 2).mean(1), rtol=1e-8, atol=1e-10)


def test_an_infinite_scale_gives_the_weight_one_over_the_squared_level():
    level = torch.tensor([1e-3, 0.5, 80.0], dtype=D)
    flat = DenoisingScoreMatching(LogNormal(), math.inf)
    assert torch.equal(flat.weight(level), 1 / level**2)
    torch.testing.assert_close(DenoisingScoreMatching(LogNormal(), 1e9).weight(level), flat.weight(level))


def test_each_sample_has_its_own_loss_and_level():
    x0 = Samples(0, count=64).normal((64, 2, 3))
    levels, rng = LogUniform(0.1, 1.0), Steps(3)
    levels_used = []

    class Spy(Denoiser):
        def forward(self, x: Tensor, level: Tensor) -> Tensor:
            levels_used.append(level)
            return torch.zeros_like(x)

    loss = DenoisingScoreMatching(levels)(Spy(), x0, rng.at(5))
    assert loss.shape == (64,)
    assert levels_used[0].shape == (64, 1, 1)
    assert torch.equal(levels_used[0].flatten(), levels.draw(rng.at(5).stratified(64)))
    weight = 1 / levels_used[0].flatten() ** 2 + 1
    torch.testing.assert_close(loss, weight * (x0**2).mean((1, 2)))


def test_stratified_levels_are_unbiased():
    """Their mean has the expectation of the distribution, and less variance than that of independent levels."""
    levels, batch, steps = LogNormal(-0.5, 1.2), 16, 2000

    def means(rng_of):
        return torch.stack([levels.draw(rng_of(step)).log().mean() for step in range(steps)])

    stratified = means(lambda step: Steps(0).at(step).stratified(batch, D))
    independent = means(lambda step: Steps(1).at(step).uniform((batch,), D))
    for found in (stratified, independent):
        assert abs(float(found.mean()) + 0.5) < 5 * float(found.std()) / math.sqrt(steps)
    assert float(stratified.std()) < float(independent.std()) / 2


# -- level distributions -------------------------------------------------------------------------------------------


def test_quantiles_of_a_log_normal():
    u = torch.special.ndtr(torch.tensor([-2.0, -1.0, 0.0, 1.0, 2.0], dtype=D))
    found = LogNormal(-0.5, 1.2).draw(u).log()
    torch.testing.assert_close(found, -0.5 + 1.2 * torch.arange(-2.0, 3.0, dtype=D), rtol=1e-10, atol=1e-10)
    ends = LogNormal(0.0, 1.0).draw(torch.tensor([0.0, 1 - 2**-24])).log()
    assert bool((ends.abs() > 4.5).all() & (ends.abs() < 5.5).all())


def test_quantiles_of_a_log_uniform():
    found = LogUniform(0.1, 1000.0).draw(torch.tensor([0.0, 0.25, 0.5, 1.0], dtype=D))
    torch.testing.assert_close(found, torch.tensor([0.1, 1.0, 10.0, 1000.0], dtype=D))


def test_process_levels():
    u = torch.linspace(0, 1, 11, dtype=D)
    torch.testing.assert_close(ProcessLevels(VP()).draw(u), VP().level(u))


@pytest.mark.parametrize("count", [2, 10, 1000])
def test_process_levels_with_a_count_are_equally_likely(count):
    u = (torch.arange(10 * count) + 0.5) / (10 * count)
    found, counts = ProcessLevels(EDM(), count).draw(u.to(D)).unique(return_counts=True)
    expected = EDM().level(torch.linspace(0, 1, count, dtype=D))
    torch.testing.assert_close(found, expected, rtol=1e-12, atol=0)
    assert (counts == 10).all()
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
        (
            lambda: ProcessLevels(VP(), 1),
            "ProcessLevels needs at least 2 times, got count=1: leave it out for all times",
        ),
        (
            lambda: DenoisingScoreMatching(LogNormal(), 0.0),
            "DenoisingScoreMatching needs scale > 0, the standard deviation of the data, or math.inf for the weight 1/σ², got 0",  # noqa: E501
        ),
    ],
)
def test_bad_arguments_are_refused(make, message):
    with pytest.raises(ValueError, match=f"^{message}$"):
        make()
