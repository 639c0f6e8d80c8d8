from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

import laws
from laws import Noises
from scorefield.denoisers import Gaussian
from scorefield.diffusion import Diffusion
from scorefield.processes import EDM, VP, Process
from scorefield.rng import Samples

D = torch.float64
PROCESSES = laws.instances(Process, "scorefield.processes")
TIMES = [0.0, 0.3, 0.8, 1.0]
every = pytest.mark.parametrize("process", PROCESSES, ids=lambda process: type(process).__name__)


def time(t: float) -> Tensor:
    return torch.tensor(t, dtype=D)


def states(process: Process, t: Tensor, law) -> Tensor:
    rng = Samples(0, count=6)
    x0 = law.sample(6, rng)
    return process.mix(x0, rng.normal_like(x0), t)


@every
@pytest.mark.parametrize("t", TIMES)
def test_the_halves_of_a_state_are_the_state(process, t, mixture):
    t = time(t)
    x = states(process, t, mixture)
    mean, noise = Diffusion(process, mixture).split(x, t)
    torch.testing.assert_close(process.mix(mean, noise, t), x, rtol=1e-12, atol=1e-12)


@every
@pytest.mark.parametrize("t", TIMES)
def test_score_is_the_gradient_of_the_density_at_that_time(process, t, mixture):
    t = time(t)
    alpha, sigma = process(t)
    x = states(process, t, mixture).requires_grad_()
    density = mixture.log_prob(x / alpha, sigma / alpha) - 2 * torch.log(alpha)
    (score,) = torch.autograd.grad(density.sum(), x)
    found = Diffusion(process, mixture).score(x.detach(), t)
    # (x - D)/σ² loses the digits that σ² has
    torch.testing.assert_close(found, score, rtol=1e-10, atol=1e-13 / float(sigma) ** 2)


@every
@pytest.mark.parametrize("t", [0.02, 0.5, 0.98])
def test_velocity_is_that_of_the_closed_form_of_gaussian_data(process, t, gaussian):
    """x_t = α_t (m + (C + level_t²)^½ (C + level_1²)^-½ (u_1 - m)) solves the probability flow."""
    end = gaussian._to_eigenbasis(torch.tensor([[3.0, -7.0]], dtype=D))

    def path(t: Tensor) -> Tensor:
        root = torch.sqrt(gaussian.values + process.level(t) ** 2) / torch.sqrt(
            gaussian.values + process.level(time(1.0)) ** 2
        )
        return process.alpha(t) * gaussian._from_eigenbasis(end * root)

    x, velocity = torch.func.jvp(path, (time(t),), (time(1.0),))
    torch.testing.assert_close(Diffusion(process, gaussian).velocity(x, time(t)), velocity, rtol=1e-9, atol=1e-9)


@every
def test_velocity_is_that_of_the_sde_without_its_noise(process, mixture):
    """f x - g² score / 2 (Song et al., 2021, eq. 13)."""
    t, diffusion = time(0.4), Diffusion(process, mixture)
    x = states(process, t, mixture)
    f, square = process.sde(t)
    expected = f * x - square * diffusion.score(x, t) / 2
    torch.testing.assert_close(diffusion.velocity(x, t), expected, rtol=1e-10, atol=1e-10)


def test_times_of_each_sample(mixture):
    diffusion, x = Diffusion(VP(), mixture), Samples(0, count=3).normal((3, 2), D)
    t = torch.tensor([0.1, 0.5, 0.9], dtype=D)[:, None]
    for method in (diffusion.score, diffusion.velocity, lambda x, t: torch.stack(diffusion.split(x, t), 1)):
        alone = torch.cat([method(x[i : i + 1], t[i, 0]) for i in range(3)])
        torch.testing.assert_close(method(x, t), alone, rtol=1e-12, atol=1e-12)


# -- the prior -----------------------------------------------------------------------------------------------------


@every
@pytest.mark.parametrize("kind", ["full", "diagonal", "none"])
def test_prior_carries_the_moments_of_the_data(process, kind, gaussian):
    """N(α m, α² C + σ²), exactly: fed with unit vectors instead of noise."""
    moments = {"full": gaussian, "diagonal": Gaussian(gaussian.mean, gaussian.covariance.diag()), "none": None}[kind]
    alpha, sigma = process(time(1.0))
    x = Diffusion(process, gaussian, moments).prior((3, 2), Noises())
    moved = x[1:] - x[0]
    mean, covariance = torch.zeros(2, dtype=D), torch.zeros(2, 2, dtype=D)
    if moments is not None:
        mean, covariance = moments.mean, moments.covariance if kind == "full" else moments.covariance.diag()
    torch.testing.assert_close(x[0], alpha * mean, rtol=1e-12, atol=1e-14)
    torch.testing.assert_close(moved.T @ moved, alpha**2 * covariance + sigma**2 * torch.eye(2, dtype=D))


@pytest.mark.parametrize("kind", ["full", "none"])
def test_prior_density(kind, gaussian):
    process, moments = VP(beta_max=5.0), gaussian if kind == "full" else None
    alpha, sigma = process(time(1.0))
    x = Samples(0, count=4).normal((4, 2), D)
    mean = alpha * gaussian.mean if moments else torch.zeros(2, dtype=D)
    covariance = sigma**2 * torch.eye(2, dtype=D) + (alpha**2 * gaussian.covariance if moments else 0)
    expected = torch.distributions.MultivariateNormal(mean, covariance).log_prob(x)
    found = Diffusion(process, gaussian, moments).prior_log_prob(x)
    torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-12)


def test_the_prior_of_a_shape_that_is_not_flat():
    shape = (3, 4, 5)
    law = Gaussian(torch.full(shape, 2.0), torch.full(shape, 0.25))
    rng = Samples(0, count=500)
    x = Diffusion(EDM(0.01, 1.0), law, law).prior((500, *shape), rng, torch.float32)
    assert x.shape == (500, *shape)
    assert x.dtype == torch.float32
    assert abs(float(x.mean()) - 2) < 5 * math.sqrt(1.25 / x.numel())
    assert abs(float(x.var()) - 1.25) < 5 * 1.25 * math.sqrt(2 / x.numel())


def test_types_of_state_and_moments_may_differ(gaussian):
    single = Gaussian(gaussian.mean.float(), gaussian.covariance.float())
    x = Diffusion(VP(), single, single).prior((3, 2), Samples(0, count=3))
    assert x.dtype == D
    exact = Diffusion(VP(), gaussian, gaussian).prior((3, 2), Samples(0, count=3))
    torch.testing.assert_close(x, exact, rtol=1e-5, atol=1e-5)
    assert Diffusion(VP(), gaussian, gaussian).prior_log_prob(x.float()).dtype == torch.float32


def test_a_state_of_another_shape_than_the_data(gaussian):
    message = r"a state must hold data of shape \(2,\), the shape of the data's moments, got \(5,\)"
    with pytest.raises(ValueError, match=message):
        Diffusion(VP(), gaussian, gaussian).prior((10, 5), Samples(0, count=10))
    with pytest.raises(ValueError, match=message):
        Diffusion(VP(), gaussian, gaussian).prior_log_prob(torch.zeros(10, 5))
