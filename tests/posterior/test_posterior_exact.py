"""Posteriors against closed forms."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from scipy import stats
from torch import Tensor, nn

import properties
from scorefield.data.layout import Layout
from scorefield.denoisers import Denoiser, Gaussian, Mixture
from scorefield.diffusion import Diffusion
from scorefield.measurement import Blur, Function, Linear, Mask, Measurement, PoissonNoise, Simulator
from scorefield.posterior import (
    DPS,
    TMPD,
    AnnealedLikelihood,
    Method,
    MomentMatching,
    PiGDM,
    Posterior,
    StandardizedMeasurement,
    exact_posterior,
    posterior_of,
)
from scorefield.posterior.solve import conjugate_gradients, direct, krylov_root, positive, root
from scorefield.processes import EDM, VP
from scorefield.rng import Samples
from scorefield.samplers import DormandPrince, ExponentialAdams, Heun, Sampling, sample
from scorefield.schedules import LogLevel
from scorefield.units import Standardize

D = torch.float64
LEVELS = (1e-4, 1e-2, 0.3, 1.0, 7.0, 100.0)


def seeded(*shape: int, seed: int = 0) -> Tensor:
    return torch.from_numpy(np.random.default_rng(seed).normal(size=shape))


def distribution(n: int = 4) -> Gaussian:
    root = seeded(n, n, seed=3)
    return Gaussian(seeded(n, seed=4), root @ root.T + 0.05 * torch.eye(n))


def measurement(m: int = 2, n: int = 4, noise: object = 0.3) -> Measurement:
    return Measurement(Linear(seeded(m, n, seed=5)), seeded(m, seed=6) + 1, noise)


NOISES = [0.3, torch.tensor([0.1, 2.0]), torch.tensor([[0.5, 0.3], [0.3, 0.4]], dtype=D)]


@pytest.mark.parametrize("noise", NOISES, ids=["one", "each", "covariance"])
def test_moment_matching_is_exact_for_gaussian_data(noise):
    prior, seen = distribution(), measurement(noise=noise)
    exact, _ = exact_posterior(prior, seen)
    for level in LEVELS:
        x, sigma = prior.sample(6, Samples(0, 0, 6), level), torch.tensor(level, dtype=D)
        torch.testing.assert_close(Posterior(prior, seen)(x, sigma), exact(x, sigma), rtol=1e-9, atol=1e-9)


def test_conjugate_gradients_find_the_same():
    prior, seen = distribution(), measurement(m=30)  # more numbers than iterations, of which n + 1 are enough
    exact, _ = exact_posterior(prior, seen)
    posterior = Posterior(prior, seen, MomentMatching(iterations=20, tolerance=1e-12))
    for level in LEVELS:
        x, sigma = prior.sample(6, Samples(0, 0, 6), level), torch.tensor(level, dtype=D)
        torch.testing.assert_close(posterior(x, sigma), exact(x, sigma), rtol=1e-8, atol=1e-8)


def test_the_units_and_axes_are_those_of_the_user():
    """An image with channels last, standardized: the posterior of the user's Gaussian, moved into the model's units."""
    layout = Layout((2, 3, 2), "grid", 2)
    units = Standardize((2, 2, 3), seeded(2, 1, 1, seed=7), seeded(2, 1, 1, seed=8).abs() + 0.5)
    inner = distribution(12)
    inner = Gaussian(inner.mean.reshape(2, 2, 3), inner.covariance)
    seen = Measurement(Mask(torch.arange(12).reshape(2, 3, 2) % 3 > 0), seeded(8, seed=9), 0.2)
    # the same, worked out outside, in the units and axes of the user
    turn = layout.outward(torch.eye(12, dtype=D).reshape(12, 2, 2, 3) * units.std).flatten(1).T
    mean = layout.outward(units.inverse(inner.mean[None]))[0]
    outer, log_outer = exact_posterior(Gaussian(mean, turn @ inner.covariance @ turn.T), seen)
    found, log_inner = exact_posterior(inner, StandardizedMeasurement(seen, layout, units))
    torch.testing.assert_close(layout.outward(units.inverse(found.mean[None]))[0], outer.mean)
    torch.testing.assert_close(turn @ found.covariance @ turn.T, outer.covariance)
    torch.testing.assert_close(log_inner, log_outer)
    posterior, moments = posterior_of(inner, seen, None, layout, units, inner)
    torch.testing.assert_close(moments.covariance, found.covariance)
    x, sigma = inner.sample(5, Samples(0, 0, 5), 0.7), torch.tensor(0.7, dtype=D)
    torch.testing.assert_close(posterior(x, sigma), found(x, sigma), rtol=1e-9, atol=1e-9)


def test_sampling_is_exact_end_to_end():
    """The flow is affine, so that unit vectors tell the mean and the covariance that it makes, to 1e-8."""
    prior, seen = distribution(3), measurement(2, 3, 0.5)
    exact, _ = exact_posterior(prior, seen)
    posterior, moments = posterior_of(prior, seen, None, Layout((3,)), Standardize((3,)), prior)
    diffusion = Diffusion(EDM(1e-5, 80.0), posterior, moments)
    found = properties.propagate(DormandPrince(1e-11, 1e-11), diffusion, 3, 1, denoise=True)[-1]
    torch.testing.assert_close(found[1], exact.mean, rtol=0, atol=1e-8)
    torch.testing.assert_close(found[2], exact.covariance, rtol=0, atol=1e-8)


@pytest.mark.parametrize("sampler", [Heun(), ExponentialAdams(2, eta=1.0)], ids=properties.label)
def test_every_sampler_makes_of_it_what_it_makes_of_the_exact_posterior(sampler):
    prior, seen = distribution(3), measurement(2, 3, 0.5)
    exact, _ = exact_posterior(prior, seen)
    states = [
        properties.propagate(sampler, Diffusion(VP(), denoiser, exact), 3, 24, denoise=True, grid=LogLevel())[-1]
        for denoiser in (Posterior(prior, seen), exact)
    ]
    for one, other in zip(*states):
        torch.testing.assert_close(one, other, rtol=0, atol=1e-8)


def test_a_posterior_is_a_prior_again():
    """One measurement after the other is both together."""
    prior, one, two = distribution(), measurement(2), Measurement(Linear(seeded(1, 4, seed=11)), [0.3], 0.2)
    joined = Measurement(
        Linear(torch.cat((one.operator.matrix, two.operator.matrix))),
        torch.cat((one.y, two.y)),
        torch.tensor([0.3, 0.3, 0.2], dtype=D),
    )
    both, after = Posterior(prior, joined), Posterior(Posterior(prior, one), two)
    x, sigma = prior.sample(4, Samples(0, 0, 4), 0.6), torch.tensor(0.6, dtype=D)
    torch.testing.assert_close(after(x, sigma), both(x, sigma), rtol=1e-9, atol=1e-9)


def mixture() -> Mixture:
    means = torch.tensor([[1.0, 3.0], [0.0, -0.6], [-1.5, 1.0]], dtype=D)
    roots = torch.tensor([[[0.6, 0], [0.2, 0.5]], [[0.5, 0], [-0.3, 0.6]], [[0.4, 0], [0.1, 0.4]]], dtype=D)
    return Mixture(means, roots @ roots.mT, torch.tensor([0.45, 0.25, 0.3], dtype=D))


def test_the_posterior_of_a_mixture_is_that_of_bayes():
    """Against the product of prior and likelihood, on a lattice."""
    prior, seen = mixture(), Measurement(Linear([[1.0, 0.3]]), [0.6], 0.5)
    exact, evidence = exact_posterior(prior, seen)
    side = torch.linspace(-6, 8, 561, dtype=D)
    x = torch.cartesian_prod(side, side)
    height = prior.log_prob(x) + torch.from_numpy(
        stats.norm(0.6, 0.5).logpdf((x @ torch.tensor([1.0, 0.3], dtype=D)).numpy())
    )
    cell = 2 * math.log(float(side[1] - side[0]))
    torch.testing.assert_close(height.logsumexp(0) + cell, evidence, rtol=1e-6, atol=1e-6)
    near = height > -20
    torch.testing.assert_close(exact.log_prob(x[near]), height[near] - evidence, rtol=1e-8, atol=1e-8)


def test_values_and_slopes_of_likelihoods_agree():
    """For Gaussian data the likelihood of a noisy state is known, and its gradient is the shift."""
    prior, seen = distribution(), measurement()
    level = torch.tensor(0.8, dtype=D)
    found = Posterior(prior, seen).moments_given(x := prior.sample(3, Samples(0, 0, 3), 0.8), level)
    spread = prior.covariance @ torch.linalg.inv(prior.covariance + level**2 * torch.eye(4, dtype=D)) * level**2
    a = seen.operator.matrix
    total = a @ spread @ a.T + 0.09 * torch.eye(2, dtype=D)
    for i in range(3):
        known = stats.multivariate_normal((a @ found.prior[i]).numpy(), total.numpy()).logpdf(seen.y.numpy())
        assert float(found.log_prob[i]) == pytest.approx(known, rel=1e-9)
    torch.testing.assert_close(found.mean, Posterior(prior, seen)(x, level))


@pytest.mark.parametrize("method", [PiGDM(), TMPD()], ids=properties.label)
def test_where_others_are_exact(method):
    """ΠGDM for standard normal data, TMPD where nothing is correlated."""
    white = Gaussian(torch.zeros(3, dtype=D), torch.ones(3, dtype=D))
    seen = Measurement(Mask([1, 0, 1]), [0.4, -1.0], torch.tensor([0.2, 0.5]))
    exact, _ = exact_posterior(Gaussian(white.mean, torch.eye(3, dtype=D)), seen)
    for level in LEVELS:
        x, sigma = seeded(5, 3) * math.hypot(1, level), torch.tensor(level, dtype=D)
        torch.testing.assert_close(Posterior(white, seen, method)(x, sigma), exact(x, sigma), rtol=1e-9, atol=1e-9)


def test_annealed_likelihood_is_right_where_the_level_is_small():
    prior, seen = distribution(), measurement()
    exact, _ = exact_posterior(prior, seen)
    x, sigma = prior.sample(5, Samples(0, 0, 5), 1e-3), torch.tensor(1e-3, dtype=D)
    score, known = ((d(x, sigma) - x) / sigma**2 for d in (Posterior(prior, seen, AnnealedLikelihood()), exact))
    torch.testing.assert_close(score, known, rtol=0.01, atol=0.01)


class Bent(Denoiser):
    """A denoiser like no Gaussian's, of any shape."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.tensor(0.7, dtype=D))

    def forward(self, x: Tensor, level: Tensor) -> Tensor:
        return (x + 0.3 * torch.sin(2 * x) + 0.1 * x.roll(1, -1)) / (1 + level**2) * self.weight


METHODS = [*properties.instances(Method, "scorefield.posterior"), MomentMatching(iterations=2, tolerance=0.05)]
OPERATORS = [
    Blur(1.0),
    Mask(seeded(4, 5) > 0),
    Function(lambda x: torch.tanh(x).cumsum(-1)),
    Function(lambda x: x[:, :2].square()),
]


@pytest.mark.parametrize("operator", OPERATORS, ids=["blur", "mask", "tanh", "square"])
@pytest.mark.parametrize("method", METHODS, ids=properties.label)
def test_no_sample_sees_another(method, operator):
    x = seeded(5, 1, 4, 5) * torch.logspace(-1, 1, 5).double().reshape(-1, 1, 1, 1)
    for noise in (0.3, PoissonNoise(3.0)):
        y = operator(torch.ones(1, 4, 5, dtype=D))[0]
        seen = Measurement(operator, y.round().abs() if isinstance(noise, PoissonNoise) else y, noise)
        posterior = Posterior(Bent(), seen, method, Layout((4, 5), "grid"))
        for level in (torch.tensor(0.5, dtype=D), torch.linspace(0.1, 3, 5, dtype=D).reshape(-1, 1, 1, 1)):
            whole = posterior(x, level)
            assert bool(torch.isfinite(whole).all()) and whole.shape == x.shape and not whole.requires_grad
            for i in (0, 3):
                alone = posterior(x[i : i + 1], level if level.ndim == 0 else level[i : i + 1])
                torch.testing.assert_close(alone[0], whole[i], rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("method", METHODS, ids=properties.label)
def test_methods_are_values(method):
    properties.is_a_frozen_value(method)


def test_several_measurements_go_side_by_side():
    prior, seen = distribution(), measurement()
    y = seeded(3, 2, seed=12)
    x, level = prior.sample(3, Samples(0, 0, 3), 0.5), torch.tensor(0.5, dtype=D)
    whole = Posterior(prior, seen).about(y)(x, level)
    for i in range(3):
        alone = Posterior(prior, Measurement(seen.operator, y[i], 0.3))(x[i : i + 1], level)
        torch.testing.assert_close(alone[0], whole[i])


def test_gradients_flow_through_it():
    prior, seen = distribution(), measurement()
    exact, _ = exact_posterior(prior, seen)
    level, x = torch.tensor(0.7, dtype=D), prior.sample(1, Samples(0, 0, 1), 0.7)
    found, known = (
        torch.autograd.functional.jacobian(lambda x, d=d: d(x, level), x) for d in (Posterior(prior, seen), exact)
    )
    torch.testing.assert_close(found, known, rtol=1e-9, atol=1e-9)


def test_a_simulator_is_as_good_as_a_function():
    a = seeded(3, 4, seed=5)
    box = Simulator(lambda x: x @ a.numpy().T, lambda x, v: v @ a.numpy(), lambda x, u: u @ a.numpy().T)
    x, level = seeded(2, 4), torch.tensor(0.5, dtype=D)
    y = seeded(3, seed=6)
    found = [Posterior(distribution(), Measurement(f, y, 0.3))(x, level) for f in (box, Linear(a))]
    torch.testing.assert_close(*found)
    blind = Simulator(box.run, box.pull)
    one, other = (Posterior(distribution(), Measurement(f, y, 0.3), DPS())(x, level) for f in (blind, Linear(a)))
    torch.testing.assert_close(one, other)


def test_solvers_get_along_with_matrices_that_are_not_positive():
    w = torch.diag(torch.tensor([-3.0, 0.5, 2.0], dtype=D))[None]
    r = torch.ones(1, 3, dtype=D)
    torch.testing.assert_close(positive(w)[0].diagonal(), torch.tensor([0.0, 0.5, 2.0], dtype=D))
    torch.testing.assert_close(direct(w, r)[0][0], torch.tensor([1.0, 1 / 1.5, 1 / 3], dtype=D))
    torch.testing.assert_close(direct(w, r)[1], torch.tensor([math.log(4.5)], dtype=D))
    found = conjugate_gradients(lambda v: (w @ v[..., None])[..., 0], r, 10, 1e-9)
    assert bool(torch.isfinite(found).all())
    assert float((r - found - (w @ found[..., None])[..., 0]).norm()) <= float(r.norm()) + 1e-12


def test_roots_by_products():
    """As many products as there are numbers find √W z, fewer nearly; and not more than there are numbers are made."""
    w = torch.randn(2, 12, 12, generator=torch.Generator().manual_seed(0), dtype=D)
    w, z = w @ w.mT / 12 + 0.1 * torch.eye(12), torch.randn(2, 12, generator=torch.Generator().manual_seed(1), dtype=D)
    exact = (root(w) @ z[..., None])[..., 0]
    torch.testing.assert_close(root(w) @ root(w), w)
    apply = lambda v: (w @ v[..., None])[..., 0]  # noqa: E731
    for count, error in ((12, 1e-9), (50, 1e-9), (6, 0.05)):
        assert float(((krylov_root(apply, z, count) - exact).norm(dim=1) / exact.norm(dim=1)).max()) < error
    assert float(krylov_root(lambda v: 0 * v, z, 3).abs().max()) < 1e-9  # nothing to draw


def test_what_is_refused():
    prior, seen = distribution(), measurement()
    with pytest.raises(ValueError, match="iterations >= 1 and 0 <= tolerance < 1, got iterations=0"):
        MomentMatching(iterations=0)
    with pytest.raises(ValueError, match="AnnealedLikelihood needs iterations >= 1"):
        AnnealedLikelihood(tolerance=1.0)
    with pytest.raises(ValueError, match="zeta > 0"):
        DPS(0.0)
    with pytest.raises(ValueError, match="closed form needs a linear operator with Gaussian noise, got Function"):
        exact_posterior(prior, Measurement(Function(torch.sin), seeded(4), 0.1))
    with pytest.raises(ValueError, match="Linear with PoissonNoise noise"):
        exact_posterior(prior, Measurement(Linear(torch.eye(4)), [1.0, 2.0, 3.0, 4.0], PoissonNoise()))
    with pytest.raises(ValueError, match="DPS models the gradient of the likelihood and not its value"):
        Posterior(prior, seen, DPS()).moments_given(seeded(1, 4), torch.tensor(1.0, dtype=D))
    with pytest.raises(ValueError, match="they must agree"):
        posterior_of(prior, Measurement(Linear(torch.eye(4)), [1.0], 0.1), None, Layout((4,)), Standardize((4,)), prior)


def test_noise_may_be_counts():
    """Counts of a Gaussian rate, against the posterior on a lattice."""
    prior = Gaussian(torch.full((1,), 20.0, dtype=D), torch.full((1, 1), 16.0, dtype=D))
    seen = Measurement(Linear([[1.0]]), [52.0], PoissonNoise(2.0))
    side = np.linspace(1, 45, 4401)
    height = stats.norm(20, 4).logpdf(side) + stats.poisson(2 * side).logpmf(52)
    weight = np.exp(height - height.max())
    mean = (weight * side).sum() / weight.sum()
    std = math.sqrt((weight * (side - mean) ** 2).sum() / weight.sum())
    diffusion = Diffusion(EDM(0.01, 400.0), Posterior(prior, seen), prior)
    x = sample(diffusion, (2000, 1), Sampling(ExponentialAdams(2, 4.0), 64, LogLevel()), Samples(0, 0, 2000))
    assert float(x.mean()) == pytest.approx(mean, abs=0.15) and float(x.std()) == pytest.approx(std, rel=0.06)


def test_the_derivative_of_a_network_is_believed_at_levels_that_it_knows():
    """Above, the covariance is that of Gaussian data of the same moments; denoisers in closed form are believed always."""
    prior, seen, moments = Bent(), measurement(), distribution()
    exact = Gaussian(moments.mean, moments.covariance)
    for level, known in ((1e-3, Posterior(prior, seen)), (1e4, None)):
        x, sigma = moments.sample(3, Samples(0, 0, 3), level), torch.tensor(level, dtype=D)
        with torch.no_grad():
            found = Posterior(prior, seen, moments=moments).moments_given(x, sigma, covariance=True)
        if known is not None:
            torch.testing.assert_close(found.mean, known(x, sigma), rtol=1e-6, atol=1e-6)
        else:
            torch.testing.assert_close(found.covariance, moments.covariance.expand(3, 4, 4), rtol=1e-4, atol=1e-4)
    x, sigma = moments.sample(3, Samples(0, 0, 3), 5.0), torch.tensor(5.0, dtype=D)
    torch.testing.assert_close(
        Posterior(exact, seen, moments=distribution(4))(x, sigma), Posterior(exact, seen)(x, sigma)
    )
    with pytest.raises(ValueError, match="reach > 0 up to which derivatives count, got reach=0"):
        Posterior(prior, seen, reach=0.0)
