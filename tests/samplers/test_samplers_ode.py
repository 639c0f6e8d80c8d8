"""The probability flow: what every deterministic sampler does to the path of a sample, down and up."""

from __future__ import annotations

import math
from functools import cache

import pytest
import torch
from torch import Tensor

import properties
from properties import STEPS, table_error
from scorefield.diffusion import Diffusion
from scorefield.processes import EDM, VP, Process
from scorefield.rng import Samples
from scorefield.samplers import DDIM, DPM, DPM2S, IPNDM, DormandPrince, ExponentialAdams, Heun, UniPC, trajectory_from
from scorefield.schedules import Angle, Karras, LogLevel
from scorefield.toys import eight_gaussians, unequal_modes

D = torch.float64
PROCESSES = properties.instances(Process, "scorefield.processes")
every = pytest.mark.parametrize("process", PROCESSES, ids=lambda process: type(process).__name__)


@pytest.mark.parametrize(
    ("sampler", "row", "digits"),
    [
        (Heun(), (0.39, 0.072, 0.016, 0.0037, 8.8e-4, 2.1e-4), 2),
        (DPM2S(), (-0.113, -0.0313, -0.00799, -0.00201, -5.10e-4, -1.33e-4), 3),
    ],
    ids=repr,
)
def test_errors_in_the_spread_have_their_printed_digits(sampler, row, digits):
    for steps, printed in zip(STEPS, row):
        digit = 10.0 ** (math.floor(math.log10(abs(printed))) + 1 - digits)
        assert abs(table_error(sampler, steps) - printed) <= 0.5001 * digit


# -- the path of each sample ---------------------------------------------------------------------------------------

COUNT = 48
DOWN = torch.tensor([1.0, 0.0], dtype=D)
BY_ORDER = {
    1: [DDIM(), DPM(1), IPNDM(1), ExponentialAdams(1)],
    2: [Heun(), DPM2S(), DPM(), DPM(3), IPNDM(2), IPNDM(3), IPNDM(4), ExponentialAdams(2)],
    3: [UniPC(2), ExponentialAdams(3)],
    4: [UniPC(3), ExponentialAdams(4)],
}
ORDERS = {sampler: order for order, samplers in BY_ORDER.items() for sampler in samplers}


def mixture() -> Diffusion:
    distribution = properties.example_mixture()
    return Diffusion(EDM(), distribution, distribution.moments())


def end(sampler, x: Tensor, times: Tensor) -> Tensor:
    for state in sampler.trajectory(mixture(), x, times, properties.Noises()):
        x = state
    return x


def median(x: Tensor) -> float:
    """Of the lengths: a few samples pass where two modes part, and err more."""
    return float(x.norm(dim=1).median())


def rate(errors: list[float]) -> float:
    return math.log2(errors[0] / errors[1])


@cache
def latents() -> Tensor:
    return mixture().prior((COUNT, 2), Samples(1, count=COUNT))


@cache
def reference() -> Tensor:
    """Two methods that share no formula agree on it."""
    tight = end(DormandPrince(1e-11, 1e-11), latents(), DOWN)
    fine = end(ExponentialAdams(4), latents(), torch.linspace(1, 0, 1025, dtype=D))
    assert median(tight - fine) < 1e-8
    return tight


@pytest.mark.parametrize(("sampler", "order"), ORDERS.items(), ids=repr)
def test_order(sampler, order):
    grid = LogLevel() if isinstance(sampler, DPM) else Karras()
    errors = [median(end(sampler, latents(), grid.times(EDM(), steps)) - reference()) for steps in (96, 192)]
    assert rate(errors) == pytest.approx(order, abs=0.15)


@pytest.mark.parametrize("sampler", [s for s, order in ORDERS.items() if order > 1 or s == DDIM()], ids=repr)
def test_data_are_led_up_and_down_again(sampler):
    """To the latent that the flow gives them, at the order of the method, and home at that order or a higher one."""
    x = properties.example_mixture().sample(COUNT, Samples(3, count=COUNT))
    latent = end(DormandPrince(1e-11, 1e-11), x, DOWN.flip(0))
    order, off, apart = ORDERS[sampler], [], []
    for steps in (80, 160):
        times = torch.linspace(0, 1, steps + 1, dtype=D)
        up = end(sampler, x, times)
        off.append(median(up - latent) / 80)
        apart.append(median(end(sampler, up, times.flip(0)) - x))
    assert rate(off) == pytest.approx(order, abs=0.15)
    assert rate(apart) > order - 0.15
    assert apart[1] < 0.03


@every
@pytest.mark.parametrize("sampler", [Heun(), DPM2S(), UniPC(), IPNDM(), ExponentialAdams()], ids=repr)
def test_the_flow_of_gaussian_data(process, sampler, gaussian):
    """x_s = α_s (m + (C + level_s²)^½ (C + level_1²)^-½ (x_1/α_1 - m)), pathwise, and closer with more steps."""
    x = Samples(2, count=6).normal((6, 2), D) * process.sigma(torch.ones((), dtype=D))
    diffusion = Diffusion(process, gaussian, gaussian)
    errors = []
    for steps in (24, 96):
        times = LogLevel().times(process, steps)
        error = 0.0
        for t, state in zip(times, sampler.trajectory(diffusion, x, times, properties.Noises())):
            spread = torch.sqrt(gaussian.values + process.level(t) ** 2)
            moved = gaussian._to_eigenbasis(x / process.alpha(times[0])) * spread
            moved = moved / torch.sqrt(gaussian.values + process.level(times[0]) ** 2)
            apart = gaussian._to_eigenbasis(state / process.alpha(t)) - moved
            error = max(error, float((apart / spread).norm(dim=1).max()))
        errors.append(error)
    assert errors[1] < 0.05
    assert errors[1] < 0.4 * errors[0]


# -- published numbers: the median distance to the true end, by evaluations -----------------------------------------


@cache
def start_and_end(name: str) -> tuple[Diffusion, Tensor, Tensor]:
    distribution = {"eight": eight_gaussians, "two": unequal_modes}[name]().mixture
    diffusion, rng = Diffusion(EDM(), distribution), Samples(0, count=400)
    x = 80 * rng.normal((400, 2), D)
    *_, (_, truth) = trajectory_from(diffusion, x, DormandPrince(1e-9, 1e-9), DOWN, rng)
    return diffusion, x, truth


def by_width(name: str) -> ExponentialAdams:
    return ExponentialAdams(3, {"eight": 2.03, "two": 4.12}[name])  # the root mean square deviation of the data


@pytest.mark.parametrize(
    ("sampler", "grid", "eight", "two"),
    [
        (DDIM(), Karras(), (0.17, 0.082), (0.20, 0.10)),
        (Heun(), Karras(), (0.53, 0.068), (0.46, 0.076)),
        (DPM(), Karras(), (0.12, 0.018), (0.095, 0.019)),
        (DPM(), LogLevel(), (0.077, 0.014), (0.080, 0.014)),
        (DPM(3), LogLevel(), (0.018, 0.0016), (0.049, 0.0048)),
        (UniPC(3), LogLevel(), (0.050, 0.0026), (0.087, 0.0011)),
        (IPNDM(3), Karras(), (0.016, 0.0035), (0.017, 0.0052)),
        (None, Angle, (0.014, 0.0010), (0.019, 0.0017)),
    ],
    ids=repr,
)
def test_paths_end_where_published_ones_do(sampler, grid, eight, two):
    for name, row in (("eight", eight), ("two", two)):
        diffusion, x, truth = start_and_end(name)
        method = sampler or by_width(name)
        where = grid if sampler else Angle(method.scale)
        for evaluations, printed in zip((16, 32), row):
            steps = (evaluations - 1) // (2 if isinstance(method, Heun) else 1)
            times = where.times(diffusion.process, steps)
            *_, (_, found) = trajectory_from(diffusion, x, method, times, Samples(1, count=400))
            error = median(found - truth)
            assert error < 1.3 * printed
            assert sampler is None or error > 0.7 * printed  # ours mends its first step, the published one does not


# -- formulas ------------------------------------------------------------------------------------------------------


def test_heun_is_algorithm_1_of_karras():
    process, distribution = EDM(), properties.example_mixture()
    diffusion, x = Diffusion(process, distribution), 5 * Samples(0, count=3).normal((3, 2), D)
    t, s = torch.tensor(0.7, dtype=D), torch.tensor(0.6, dtype=D)
    now, after = process.sigma(t), process.sigma(s)
    slope = (x - distribution(x, now)) / now
    guess = x + (after - now) * slope
    expected = x + (after - now) * (slope + (guess - distribution(guess, after)) / after) / 2
    torch.testing.assert_close(Heun().step(diffusion, x, t, s, properties.Noises()), expected, rtol=1e-12, atol=1e-12)


def test_dpm_2s_is_algorithm_1_of_its_paper():
    """With r = ½: u = σ_m/σ_t x - α_m (e^{-h/2} - 1) D(x, t), x⁺ = σ_s/σ_t x - α_s (e^{-h} - 1) D(u, m)."""
    process, distribution = VP(), properties.example_mixture()
    diffusion, x = Diffusion(process, distribution), Samples(0, count=3).normal((3, 2), D)
    t, s = torch.tensor(0.7, dtype=D), torch.tensor(0.4, dtype=D)
    m = process.time(torch.sqrt(process.level(t) * process.level(s)))
    h = torch.log(process.level(t) / process.level(s))
    (alpha, sigma), (alpha_s, sigma_s) = process(m), process(s)
    u = sigma / process.sigma(t) * x - alpha * torch.expm1(-h / 2) * diffusion.split(x, t)[0]
    expected = sigma_s / process.sigma(t) * x - alpha_s * torch.expm1(-h) * diffusion.split(u, m)[0]
    torch.testing.assert_close(DPM2S().step(diffusion, x, t, s, properties.Noises()), expected, rtol=1e-10, atol=1e-12)
