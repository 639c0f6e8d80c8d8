from __future__ import annotations

import math
from itertools import pairwise

import pytest
import torch

import properties
from properties import STEPS, table_error
from scorefield.diffusion import Diffusion
from scorefield.processes import EDM, VE, Process
from scorefield.rng import Samples
from scorefield.samplers import DDIM, Ancestral, Sampling, sample

D = torch.float64
PROCESSES = properties.instances(Process, "scorefield.processes")
every = pytest.mark.parametrize("process", PROCESSES, ids=lambda process: type(process).__name__)
fresh = pytest.mark.parametrize("sampler", [DDIM(1.0), Ancestral()], ids=repr)


def closed_form(steps: int, std: float = 0.5) -> float:
    """√(s² + σ_T²) Π(1 + (σ_{i+1} - σ_i) σ_i / (s² + σ_i²)): each Euler step multiplies."""
    sigma = [*EDM().sigma(torch.linspace(1, 0, steps, dtype=D)).tolist(), 0.0]
    product = math.prod(1 + (after - now) * now / (std**2 + now**2) for now, after in pairwise(sigma))
    return math.sqrt(std**2 + sigma[0] ** 2) * product


@pytest.mark.parametrize(
    ("sampler", "row"),
    [
        (DDIM(), (-0.33, -0.17, -0.088, -0.044, -0.022, -0.011)),
        (DDIM(1.0), (-0.46, -0.29, -0.16, -0.088, -0.046, -0.023)),
        (Ancestral(), (-0.46, -0.29, -0.16, -0.088, -0.046, -0.023)),
    ],
    ids=repr,
)
def test_errors_in_the_spread_have_their_printed_digits(sampler, row):
    for steps, printed in zip(STEPS, row):
        digit = 10.0 ** (math.floor(math.log10(abs(printed))) - 1)
        assert abs(table_error(sampler, steps) - printed) <= 0.5001 * digit


def test_ddim_has_its_closed_form():
    assert closed_form(18) == pytest.approx(0.42303969866, abs=5e-12)
    for steps in (2, 18, 100):
        assert 0.5 * (1 + table_error(DDIM(), steps)) == pytest.approx(closed_form(steps), rel=1e-12)


@pytest.mark.parametrize("sampler", [DDIM(0.0), DDIM(0.5), Ancestral()], ids=repr)
def test_first_order(sampler):
    coarse, fine = (abs(table_error(sampler, steps)) for steps in (256, 512))
    assert math.log2(coarse / fine) == pytest.approx(1, abs=0.05)


@every
@fresh
def test_it_is_the_exact_posterior_of_the_step(process, sampler, mixture):
    """x_s = α_{t|s} σ_s²/σ_t² x_t + α_s σ²_{t|s}/σ_t² D + σ_{t|s} σ_s/σ_t z, α_{t|s} = α_t/α_s (DDPM, eq. 7)."""
    x = Samples(0, count=5).normal((5, 2), D)
    z = Samples(1, count=5).normal((5, 2), D)
    diffusion = Diffusion(process, mixture)
    for t, s in ((1.0, 0.7), (0.5, 0.45), (0.3, 0.0)):
        t, s = torch.tensor(t, dtype=D), torch.tensor(s, dtype=D)
        (alpha_t, sigma_t), (alpha_s, sigma_s) = process(t), process(s)
        mean, _ = diffusion.split(x, t)
        alpha = alpha_t / alpha_s
        square = sigma_t**2 - alpha**2 * sigma_s**2
        expected = alpha * sigma_s**2 / sigma_t**2 * x + alpha_s * square / sigma_t**2 * mean
        expected = expected + square.sqrt() * sigma_s / sigma_t * z
        found = sampler.step(diffusion, x, t, s, Samples(1, count=5))
        torch.testing.assert_close(found, expected, rtol=1e-10, atol=1e-12)


@every
@fresh
def test_it_is_the_first_step_of_sde_dpm_solver(process, sampler, mixture):
    """σ_s/σ_t e^-h x + α_s (1 - e^-2h) D + σ_s √(1 - e^-2h) z with h = ln level_t - ln level_s (Lu et al., 2022)."""
    x = Samples(0, count=5).normal((5, 2), D)
    z = Samples(1, count=5).normal((5, 2), D)
    diffusion = Diffusion(process, mixture)
    for t, s in ((1.0, 0.7), (0.5, 0.45), (0.3, 0.0)):
        t, s = torch.tensor(t, dtype=D), torch.tensor(s, dtype=D)
        (alpha_t, sigma_t), (alpha_s, sigma_s) = process(t), process(s)
        h, mean = torch.log(sigma_t / alpha_t) - torch.log(sigma_s / alpha_s), diffusion.split(x, t)[0]
        expected = sigma_s / sigma_t * torch.exp(-h) * x - alpha_s * torch.expm1(-2 * h) * mean
        expected = expected + sigma_s * torch.sqrt(-torch.expm1(-2 * h)) * z
        found = sampler.step(diffusion, x, t, s, Samples(1, count=5))
        torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-12)


@every
def test_ancestral_is_ddim_with_fresh_noise(process, mixture):
    diffusion = Diffusion(process, mixture, mixture.moments())
    one, other = (
        sample(diffusion, (5, 2), Sampling(each, 12), Samples(2, count=5)) for each in (Ancestral(), DDIM(1.0))
    )
    torch.testing.assert_close(one, other, rtol=1e-12, atol=1e-12)


@fresh
def test_ve_ancestral_sampling(sampler, mixture):
    """x + (σ_t² - σ_s²) score + σ_s √((σ_t² - σ_s²)/σ_t²) z (Song et al., 2021, Appendix F)."""
    process, x = VE(0.1, 10.0), Samples(0, count=5).normal((5, 2), D)
    t, s = torch.tensor(0.5, dtype=D), torch.tensor(0.4, dtype=D)
    square = process.sigma(t) ** 2 - process.sigma(s) ** 2
    z = Samples(1, count=5).normal((5, 2), D)
    diffusion = Diffusion(process, mixture)
    expected = x + square * diffusion.score(x, t) + process.sigma(s) * (square / process.sigma(t) ** 2).sqrt() * z
    found = sampler.step(diffusion, x, t, s, Samples(1, count=5))
    torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("eta", [0.3, 1.0])
def test_eta_is_the_part_of_the_noise_that_is_fresh(eta, mixture):
    """σ_up = η σ_s √(1 - (level_s/level_t)²), and what was there keeps √(σ_s² - σ_up²)."""
    process, x = VE(0.1, 10.0), Samples(0, count=4).normal((4, 2), D)
    t, s = torch.tensor(0.6, dtype=D), torch.tensor(0.3, dtype=D)
    mean, noise = Diffusion(process, mixture).split(x, t)
    up = eta * process.sigma(s) * torch.sqrt(1 - (process.sigma(s) / process.sigma(t)) ** 2)
    kept = torch.sqrt(process.sigma(s) ** 2 - up**2)
    expected = mean + kept * noise + up * Samples(1, count=4).normal((4, 2), D)
    found = DDIM(eta).step(Diffusion(process, mixture), x, t, s, Samples(1, count=4))
    torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-12)


def test_eta_zero_draws_no_noise(mixture):
    rng = properties.Noises()
    t = torch.tensor(0.5, dtype=D)
    DDIM().step(Diffusion(VE(), mixture), torch.ones(1, 2, dtype=D), t, t / 2, rng)
    assert rng.calls == 0


@pytest.mark.parametrize("eta", [-0.1, 1.5, math.nan])
def test_an_eta_that_is_none(eta):
    with pytest.raises(ValueError, match=f"DDIM needs 0 <= eta <= 1, got eta={eta:g}"):
        DDIM(eta)
