from __future__ import annotations

import math

import pytest
import torch

import properties
from scorefield.denoisers import Gaussian
from scorefield.diffusion import Diffusion
from scorefield.processes import EDM, VP, Process
from scorefield.rng import Mixed, Samples
from scorefield.samplers import (
    DDIM,
    DPM,
    DormandPrince,
    Heun,
    Sampling,
    decode,
    encode,
    sample,
    spherical_interpolation,
)

D = torch.float64
PROCESSES = properties.instances(Process, "scorefield.processes")
every_process = pytest.mark.parametrize("process", PROCESSES, ids=properties.label)


@every_process
def test_latents_of_gaussian_data_are_what_they_were_made_of(process):
    """The flow of Gaussian data is x = m + √(C + σ²) z at every level."""
    distribution = properties.example_gaussian()
    z = Samples(0, count=50).normal((50, 2), D)
    level = process.level(torch.zeros((), dtype=D))
    x = distribution.colour(z, level)
    diffusion = Diffusion(process, distribution, distribution)
    torch.testing.assert_close(encode(diffusion, x), z, rtol=0, atol=1e-9)
    torch.testing.assert_close(decode(diffusion, z), x, rtol=0, atol=1e-9)


@every_process
@pytest.mark.parametrize(
    ("sampler", "steps", "error"), [(None, 1, 1e-3), (Heun(), 100, 3e-2), (DPM(), 200, 3e-2)], ids=repr
)
def test_there_and_back(process, sampler, steps, error, mixture):
    """The median over data; what lies between modes is spread far apart on the way, by any solver."""
    diffusion = Diffusion(process, mixture, mixture.moments())
    x = mixture.sample(200, Samples(0, count=200))
    back = decode(diffusion, encode(diffusion, x, Sampling(sampler, steps)), Sampling(sampler, steps))
    assert float((back - x).abs().amax(1).median()) < error


def test_latents_of_data_are_standard_normal(mixture):
    """All moments up to the fourth of 20,000 latents, within 5 standard errors; so is what arcs between them."""
    count = 20_000
    diffusion = Diffusion(EDM(1e-3, 200.0), mixture, mixture.moments())
    x = mixture.sample(2 * count, Samples(0, count=2 * count))
    z = encode(diffusion, x)
    a, b = z.split(count)
    for frame in spherical_interpolation(a, b, 4):
        for power, moment, variance in ((1, 0, 1), (2, 1, 2), (3, 0, 15), (4, 3, 96)):
            apart = (frame**power).mean(0) - moment
            assert float(apart.abs().max()) < 5 * math.sqrt(variance / count)
        assert abs(float((frame[:, 0] * frame[:, 1]).mean())) < 5 / math.sqrt(count)
    straight = (a + b) / 2  # the line between two latents is too narrow: the test can see it
    assert float(straight.var()) == pytest.approx(0.5, abs=0.03)


def test_an_arc_has_its_ends():
    a, b = torch.randn(3, 2), torch.randn(3, 2)
    frames = spherical_interpolation(a, b, 5)
    assert len(frames) == 5 and torch.equal(frames[0], a) and torch.equal(frames[-1], b)
    torch.testing.assert_close(frames[2], (a + b) * math.sqrt(0.5))
    for count, other in ((1, b), (3, b[:2])):
        with pytest.raises(ValueError, match="an interpolation has two ends of one shape, got count="):
            spherical_interpolation(a, other, count)


def test_latents_refuse_noise(mixture):
    diffusion = Diffusion(VP(), mixture)
    for way in (encode, decode):
        with pytest.raises(
            ValueError, match=r"latents need a deterministic sampler, and DDIM\(eta=0.5\) draws noise: take"
        ):
            way(diffusion, torch.zeros(1, 2, dtype=D), Sampling(DDIM(0.5), 4))


def test_decoding_may_denoise(mixture):
    diffusion = Diffusion(VP(), mixture, mixture.moments())
    z = Samples(0, count=4).normal((4, 2), D)
    end = torch.zeros((), dtype=D)
    x = decode(diffusion, z)
    expected = diffusion.split(x * diffusion.process.alpha(end), end)[0]
    torch.testing.assert_close(decode(diffusion, z, denoise=True), expected, rtol=1e-10, atol=1e-12)


def test_grids_of_fields_and_single_precision():
    distribution = Gaussian(torch.zeros(1, 3, 2), torch.full((1, 3, 2), 0.5))
    x = Samples(0, count=2).normal((2, 1, 3, 2))
    diffusion = Diffusion(EDM(), distribution, distribution)
    z = encode(diffusion, x, DormandPrince())
    assert z.shape == x.shape and z.dtype == torch.float32
    torch.testing.assert_close(decode(diffusion, z), x, rtol=1e-3, atol=1e-3)


@every_process
@pytest.mark.parametrize("eta", [0.0, 1.0])
def test_mixed_noise_keeps_the_distribution_of_what_is_drawn(process, eta):
    """For Gaussian data a sampler is affine in its noise, x = m + A z; cos φ A z + sin φ A z' has the same covariance."""
    distribution = properties.example_gaussian()
    diffusion = Diffusion(process, distribution, distribution)

    def draw(rng):
        return sample(diffusion, (3, 2), Sampling(DDIM(eta), 6), rng)

    a, b = (draw(Samples(seed, count=3)) for seed in (0, 1))
    for angle in (0.0, 0.4, math.pi / 2):
        found = draw(Mixed(Samples(0, count=3), Samples(1, count=3), angle))
        still = sample(diffusion, (1, 2), Sampling(DDIM(eta), 6), properties.Noises())[:1]  # no noise at all: the mean
        expected = still + math.cos(angle) * (a - still) + math.sin(angle) * (b - still)
        torch.testing.assert_close(found, expected, rtol=1e-9, atol=1e-9)
