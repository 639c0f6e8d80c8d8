from __future__ import annotations

import math
from functools import cache

import pytest
import torch
from torch import Tensor

import properties
from properties import STEPS, table_error
from scorefield.denoisers import Denoiser, Gaussian
from scorefield.diffusion import Diffusion
from scorefield.processes import VE, Process, TutorialVE
from scorefield.rng import Samples
from scorefield.samplers import (
    SRA1,
    EulerMaruyama,
    Milstein,
    ReverseDiffusion,
    Sampler,
    Sampling,
    StochasticHeun,
    sample,
)

D = torch.float64
PROCESSES = properties.instances(Process, "scorefield.processes")
every = pytest.mark.parametrize("process", PROCESSES, ids=lambda process: type(process).__name__)
NARROW = Gaussian(torch.ones(1, dtype=D), torch.full((1,), 0.25, dtype=D))


@pytest.mark.parametrize(
    ("sampler", "row"),
    [
        (ReverseDiffusion(), ("1.4", "0.46", "0.19", "0.089", "0.043", "0.021")),
        (StochasticHeun(), ("22", "-0.031", "-0.0094", "-0.0019", "-4e-4", "-1e-4")),
        (SRA1(), ("15e1", "0.55", "0.073", "0.016", "0.0038", "9e-4")),
    ],
    ids=repr,
)
def test_errors_in_the_spread_have_their_printed_digits(sampler, row):
    for steps, printed in zip(STEPS, row):
        digits = len(printed.split("e")[0].lstrip("-0.").replace(".", ""))
        assert float(f"{table_error(sampler, steps):.{digits - 1}e}") == float(printed)


# -- orders --------------------------------------------------------------------------------------------------------


def last_variance(sampler: Sampler, process: Process, steps: int) -> float:
    return float(properties.propagate(sampler, Diffusion(process, NARROW, NARROW), 1, steps, denoise=False)[-1][2])


@pytest.mark.parametrize(
    ("sampler", "order"),
    [(EulerMaruyama(0.5), 1), (ReverseDiffusion(), 1), (StochasticHeun(), 2), (SRA1(), 2)],
    ids=repr,
)
def test_weak_order(sampler, order):
    process = VE(0.1, 10.0)
    coarse, fine = (abs(last_variance(sampler, process, steps) - 0.25 - 0.1**2) for steps in (100, 200))
    assert math.log2(coarse / fine) == pytest.approx(order, abs=0.1)


def test_the_error_of_euler_and_maruyama_is_seen_at_the_ends_alone():
    """For α = 1 and Gaussian data of the variance c it is ½ Δt v_0² (g_0²/v_0² - g_1²/v_1²) + O(Δt²), v = c + σ².

    Most processes end with a small g_0: there errors look to be of second order.
    """
    process, steps = TutorialVE(), 60
    t = torch.tensor([0.0, 1.0], dtype=D)
    v, square = NARROW.covariance[0] + process.sigma(t) ** 2, process.sde(t)[1]
    first_order = float(square[0] - square[1] * (v[0] / v[1]) ** 2) / 2 / steps
    assert last_variance(EulerMaruyama(), process, steps) - float(v[0]) == pytest.approx(first_order, rel=0.1)
    assert table_error(EulerMaruyama(), 32) / table_error(EulerMaruyama(), 64) == pytest.approx(4, abs=0.3)


FINE, COUNT = 1024, 64


class OnePath(properties.Noises):
    """What steps of any length see of one Brownian path W: over m fine steps of length 1, the increment √m z₁ and,
    if `area` is asked for, ∫ W = ½ m^(3/2) (z₁ + z₂/√3)."""

    def __init__(self, steps: int, area: bool) -> None:
        super().__init__()
        m = FINE // steps
        z = Samples(5, count=COUNT).normal((COUNT, FINE, 2, 2), D)
        wiener, within = z[:, :, 0], (z[:, :, 0] + z[:, :, 1] / math.sqrt(3)) / 2
        wiener, within = (a.reshape(COUNT, steps, m, 2) for a in (wiener, within))
        first = wiener.sum(2) / math.sqrt(m)
        integral = (within + wiener.cumsum(2) - wiener).sum(2)
        second = math.sqrt(3) * (2 * integral / m**1.5 - first)
        self.drawn = iter(torch.stack([first, second][: 1 + area], 2).flatten(1, 2).unbind(1))

    def normal(self, shape, dtype=None, device=None) -> Tensor:
        return next(self.drawn)


def end(sampler: Sampler, steps: int, distribution: Denoiser) -> Tensor:
    """In the clock of VE, λ is uniform: all methods see one Wiener process."""
    diffusion = Diffusion(VE(0.01, 50.0), distribution)
    x = diffusion.prior((COUNT, 2), Samples(6, count=COUNT))
    times = torch.linspace(1, 0, steps + 1, dtype=D)
    *_, x = sampler.trajectory(diffusion, x, times, OnePath(steps, isinstance(sampler, SRA1)))
    return x


@cache
def reference(distribution: Denoiser) -> Tensor:
    return end(SRA1(), FINE, distribution)


def strong_order(sampler: Sampler, distribution: Denoiser) -> float:
    coarse, fine = (
        float((end(sampler, steps, distribution) - reference(distribution)).square().mean().sqrt())
        for steps in (64, 256)
    )
    return math.log2(coarse / fine) / 2


@pytest.mark.parametrize("sampler", [EulerMaruyama(), StochasticHeun()], ids=repr)
def test_strong_order_of_what_knows_increments(sampler, gaussian):
    assert strong_order(sampler, gaussian) == pytest.approx(1, abs=0.1)


def test_strong_order_of_what_knows_areas(gaussian):
    """1.5 in general, 2 where the drift is linear."""
    assert strong_order(SRA1(), gaussian) == pytest.approx(2, abs=0.15)
    assert strong_order(SRA1(), properties.example_mixture()) > 1.4


# -- steps ---------------------------------------------------------------------------------------------------------


@every
@pytest.mark.parametrize("eta", [0.0, 0.5, 1.0, 2.0])
def test_euler_maruyama_is_the_textbook_step(process, eta, mixture):
    diffusion, x = Diffusion(process, mixture), Samples(0, count=4).normal((4, 2), D)
    t, s = torch.tensor(0.6, dtype=D), torch.tensor(0.55, dtype=D)
    f, square = process.sde(t)
    expected = x + (f * x - (1 + eta**2) / 2 * square * diffusion.score(x, t)) * (s - t)
    expected = expected + eta * (square * (t - s)).sqrt() * Samples(1, count=4).normal((4, 2), D)
    found = EulerMaruyama(eta).step(diffusion, x, t, s, Samples(1, count=4))
    torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-12)


@every
@pytest.mark.parametrize("eta", [0.0, 0.5, 1.0])
def test_euler_maruyama_is_stable_up_to_its_limit(process, eta):
    """Two states come together if and only if Δt is below 2 / (½ (1 + η²) g²/v + f)."""
    t = torch.tensor(0.7, dtype=D)
    (alpha, sigma), (f, square) = process(t), process.sde(t)
    limit = 2 / ((1 + eta**2) / 2 * square / (alpha**2 * 0.25 + sigma**2) + f)
    x = torch.tensor([[1.0], [0.0], [2.0]], dtype=D)  # of these, `Noises` gives the middle one noise
    for share in (0.99, 1.01):
        step = EulerMaruyama(eta).step(Diffusion(process, NARROW), x, t, t - share * limit, properties.Noises())
        apart = float((step[2] - step[0]).abs())
        assert apart == pytest.approx(2 * share - 1, rel=1e-9) and (apart < 1) == (share < 1)


@every
def test_milstein_is_euler_maruyama_to_the_bit(process, mixture):
    """The term of the Itô-Taylor expansion, ½ g ∂g/∂x (Δw² - Δt), is written out here: it is 0."""
    diffusion, x = Diffusion(process, mixture), Samples(0, count=4).normal((4, 2), D)
    t, s = torch.tensor(0.6, dtype=D), torch.tensor(0.5, dtype=D)

    def g(x: Tensor) -> Tensor:
        return process.sde(t)[1].sqrt().expand_as(x)

    value, slope = torch.func.jvp(g, (x,), (torch.ones_like(x),))
    wiener = (t - s).sqrt() * Samples(1, count=4).normal((4, 2), D)
    euler = EulerMaruyama().step(diffusion, x, t, s, Samples(1, count=4))
    milstein = Milstein().step(diffusion, x, t, s, Samples(1, count=4))
    assert torch.equal(milstein, euler + value * slope * (wiener**2 - (t - s)) / 2)
    whole = [
        sample(diffusion, (4, 2), Sampling(each, 7), Samples(2, count=4)) for each in (EulerMaruyama(), Milstein())
    ]
    assert torch.equal(*whole)


@every
def test_reverse_diffusion_is_the_forward_step_turned_round(process, mixture):
    """The forward step a x + G z takes the marginals from s to t; the reverse one is x - (a - 1) x + G² score + G z."""
    diffusion, x = Diffusion(process, mixture), Samples(0, count=4).normal((4, 2), D)
    t, s = torch.tensor(0.6, dtype=D), torch.tensor(0.5, dtype=D)
    (alpha, sigma), (alpha_s, sigma_s) = process(t), process(s)
    a = alpha / alpha_s
    square = sigma**2 - a**2 * sigma_s**2
    expected = (2 - a) * x + square * diffusion.score(x, t) + square.sqrt() * Samples(1, count=4).normal((4, 2), D)
    found = ReverseDiffusion().step(diffusion, x, t, s, Samples(1, count=4))
    torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-12)


@every
def test_stochastic_heun_is_its_formula(process, mixture):
    diffusion, x = Diffusion(process, mixture), Samples(0, count=4).normal((4, 2), D)
    t, s = torch.tensor(0.6, dtype=D), torch.tensor(0.55, dtype=D)
    start, stop = -process.level(t).log(), -process.level(s).log()
    h, z = stop - start, Samples(1, count=4).normal((4, 2), D)

    def f(u: Tensor, at: Tensor) -> Tensor:
        return 2 * (mixture(u, torch.exp(-at)) - u)

    u = x / process.alpha(t)
    first = h * f(u, start) + math.sqrt(2) * torch.exp(-start) * h.sqrt() * z
    second = h * f(u + first, stop) + math.sqrt(2) * torch.exp(-stop) * h.sqrt() * z
    found = StochasticHeun().step(diffusion, x, t, s, Samples(1, count=4))
    torch.testing.assert_close(found, process.alpha(s) * (u + (first + second) / 2), rtol=1e-11, atol=1e-12)


@every
def test_sra1_is_its_formula(process, mixture):
    diffusion, x = Diffusion(process, mixture), Samples(0, count=4).normal((4, 2), D)
    t, s = torch.tensor(0.6, dtype=D), torch.tensor(0.55, dtype=D)
    start, stop = -process.level(t).log(), -process.level(s).log()
    h, rng = stop - start, Samples(1, count=4)
    one, two = rng.normal((4, 2), D), rng.normal((4, 2), D)
    i_1, i_10 = h.sqrt() * one, h**1.5 * (one + two / math.sqrt(3)) / 2

    def f(u: Tensor, at: Tensor) -> Tensor:
        return 2 * (mixture(u, torch.exp(-at)) - u)

    def g(at: Tensor) -> Tensor:
        return math.sqrt(2) * torch.exp(-at)

    u = x / process.alpha(t)
    ahead = u + 0.75 * h * f(u, start) + 1.5 * g(stop) * i_10 / h
    u = u + h * (f(u, start) + 2 * f(ahead, start + 0.75 * h)) / 3 + g(stop) * (i_1 - i_10 / h) + g(start) * i_10 / h
    found = SRA1().step(diffusion, x, t, s, Samples(1, count=4))
    torch.testing.assert_close(found, process.alpha(s) * u, rtol=1e-11, atol=1e-12)


@pytest.mark.parametrize("eta", [-0.1, math.inf, math.nan])
def test_an_eta_that_is_none(eta):
    with pytest.raises(ValueError, match=f"EulerMaruyama needs 0 <= eta < inf, got eta={eta:g}"):
        EulerMaruyama(eta)
