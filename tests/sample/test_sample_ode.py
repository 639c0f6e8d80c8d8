from __future__ import annotations

import math
from functools import cache

import numpy as np
import pytest
import torch
from torch import Tensor

import laws
from laws import STEPS, table_error
from scorefield.denoise import Gaussian
from scorefield.diffusion import Diffusion
from scorefield.process import EDM, VP, Process
from scorefield.rng import Samples
from scorefield.sample import DDIM, DPM, ExponentialAdams, Heun
from scorefield.sample.exponential import _weights

D = torch.float64
PROCESSES = laws.instances(Process, "scorefield.process")
every = pytest.mark.parametrize("process", PROCESSES, ids=lambda process: type(process).__name__)


@pytest.mark.parametrize(
    ("sampler", "row"),
    [
        (Heun(), (0.39, 0.072, 0.016, 0.0037, 8.8e-4, 2.1e-4)),
        (DPM(), (0.15, 0.080, 0.017, 0.0038, 9.0e-4, 2.1e-4)),
    ],
    ids=repr,
)
def test_errors_in_the_spread_have_their_printed_digits(sampler, row):
    for steps, printed in zip(STEPS, row):
        digit = 10.0 ** (math.floor(math.log10(printed)) - 1)
        assert abs(table_error(sampler, steps) - printed) <= 0.5001 * digit


# -- the path of each sample ---------------------------------------------------------------------------------------

COUNT = 48


def end(sampler, steps: int, process: Process) -> Tensor:
    mixture = laws.example_mixture()
    diffusion = Diffusion(process, mixture, mixture.moments())
    x = diffusion.prior((COUNT, 2), Samples(1, count=COUNT))
    for state in sampler.trajectory(diffusion, x, torch.linspace(1, 0, steps + 1, dtype=D), laws.Noises()):
        x = state
    return x


@cache
def reference() -> Tensor:
    """Two methods that share no formula agree on it."""
    fine, other = end(ExponentialAdams(4), 2048, EDM()), end(Heun(), 2048, EDM())
    assert float((fine - other).norm(dim=1).median()) < 1e-5
    return fine


@pytest.mark.parametrize(
    ("sampler", "order"),
    [(DDIM(), 1), (Heun(), 2), (DPM(), 2)] + [(ExponentialAdams(p), p) for p in (1, 2, 3, 4)],
    ids=repr,
)
def test_order(sampler, order):
    """Of the median error: a few samples pass where two modes part, and err more."""
    errors = [float((end(sampler, steps, EDM()) - reference()).norm(dim=1).median()) for steps in (128, 256)]
    assert math.log2(errors[0] / errors[1]) == pytest.approx(order, abs=0.15)


@every
@pytest.mark.parametrize("sampler", [Heun(), DPM(), ExponentialAdams(3)], ids=repr)
def test_the_flow_of_gaussian_data(process, sampler, gaussian):
    """x_s = α_s (m + (C + level_s²)^½ (C + level_1²)^-½ (x_1/α_1 - m)), pathwise, and closer with more steps."""
    x = Samples(2, count=6).normal((6, 2), D) * process.sigma(torch.ones((), dtype=D))
    diffusion = Diffusion(process, gaussian, gaussian)
    errors = []
    for steps in (32, 128):
        times = torch.linspace(1, 0, steps + 1, dtype=D)
        error = 0.0
        for t, state in zip(times, sampler.trajectory(diffusion, x, times, laws.Noises())):
            spread = torch.sqrt(gaussian.values + process.level(t) ** 2)
            moved = gaussian._into(x / process.alpha(times[0])) * spread
            moved = moved / torch.sqrt(gaussian.values + process.level(times[0]) ** 2)
            apart = gaussian._into(state / process.alpha(t)) - moved
            error = max(error, float((apart / spread).norm(dim=1).max()))
        errors.append(error)
    assert errors[1] < 0.4
    assert errors[1] < 0.7 * errors[0]


@every
@pytest.mark.parametrize("scale", [1.0, 0.3])
@pytest.mark.parametrize("order", [1, 3])
def test_exponential_adams_takes_gaussian_data_home_in_one_step(process, scale, order):
    """If they are centred and of the standard deviation `scale`; with many steps as well."""
    law = Gaussian(torch.zeros(3, dtype=D), torch.full((3,), scale**2, dtype=D))
    diffusion = Diffusion(process, law, law)
    x = diffusion.prior((4, 3), Samples(0, count=4))
    alpha, sigma = process(torch.tensor([1.0, 0.0], dtype=D))
    expected = (
        x * torch.sqrt((alpha[1] * scale) ** 2 + sigma[1] ** 2) / torch.sqrt((alpha[0] * scale) ** 2 + sigma[0] ** 2)
    )
    for steps in (1, 5):
        times = torch.linspace(1, 0, steps + 1, dtype=D)
        *_, found = ExponentialAdams(order, scale).trajectory(diffusion, x, times, laws.Noises())
        torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-12)


@every
@pytest.mark.parametrize("eta", [0.5, 1.0])
def test_with_fresh_noise_it_keeps_the_law_of_gaussian_data(process, eta):
    """In one step as in many: mean and covariance by exact propagation, the prior's included."""
    law = Gaussian(torch.zeros(1, dtype=D), torch.full((1,), 0.09, dtype=D))
    diffusion = Diffusion(process, law, law)
    alpha, sigma = process(torch.zeros((), dtype=D))
    for steps in (1, 5):
        _, _, covariance = laws.propagate(ExponentialAdams(2, 0.3, eta), diffusion, 1, steps, denoise=False)[-1]
        assert float(covariance) == pytest.approx(float(alpha**2 * 0.09 + sigma**2), rel=1e-10)


def test_adams_weights_are_exact_for_polynomials():
    """k nodes integrate every polynomial of a degree below k, whatever their distances."""
    nodes, stop = [1.5, 1.2, 1.13, 0.8], 0.55
    for k in range(1, 5):
        used = nodes[-k:]
        weights = _weights(used, stop, 0.0)
        for power in range(k):
            exact = (stop ** (power + 1) - used[-1] ** (power + 1)) / (power + 1)
            assert float(np.dot(weights, np.array(used) ** power)) == pytest.approx(exact, rel=1e-11)
    classic = _weights([0.0, 1.0, 2.0, 3.0], 4.0, 0.0)
    np.testing.assert_allclose(classic, np.array([-9, 37, -59, 55]) / 24, rtol=1e-12)
    tiny = _weights([0.0, 1e-9, 2e-9], 3e-9, 0.0)
    np.testing.assert_allclose(tiny, np.array([5, -16, 23]) / 12e9, rtol=1e-6)


def test_all_first_order_steps_begin_alike(mixture):
    """Without a memory DPM is DDIM."""
    diffusion, x = Diffusion(VP(), mixture), Samples(0, count=3).normal((3, 2), D)
    times = torch.tensor([0.8, 0.5], dtype=D)
    *_, one = DPM().trajectory(diffusion, x, times, laws.Noises())
    *_, other = DDIM().trajectory(diffusion, x, times, laws.Noises())
    torch.testing.assert_close(one, other, rtol=1e-12, atol=1e-12)


def test_dpm_is_algorithm_2_of_its_paper(mixture):
    """D̃ = (1 + 1/2r) D_i - 1/2r D_{i-1}, r = h_{i-1}/h_i, x⁺ = σ⁺/σ x - α⁺ (e^{-h} - 1) D̃ with h in log(α/σ)."""
    process = VP()
    diffusion, x = Diffusion(process, mixture), Samples(0, count=3).normal((3, 2), D)
    times = torch.tensor([0.9, 0.6, 0.25], dtype=D)
    states = list(DPM().trajectory(diffusion, x, times, laws.Noises()))
    half_log_snr = -torch.log(process.level(times))
    before, now = (diffusion.split(state, t)[0] for state, t in zip(states, times[:2]))
    h_before, h = half_log_snr.diff()
    ratio = h_before / h
    extrapolated = (1 + 1 / (2 * ratio)) * now - 1 / (2 * ratio) * before
    (_, sigma), (alpha_after, sigma_after) = process(times[1]), process(times[2])
    expected = sigma_after / sigma * states[1] - alpha_after * torch.expm1(-h) * extrapolated
    torch.testing.assert_close(states[2], expected, rtol=1e-12, atol=1e-12)


def test_heun_is_algorithm_1_of_karras(mixture):
    process = EDM()
    diffusion, x = Diffusion(process, mixture), 5 * Samples(0, count=3).normal((3, 2), D)
    t, s = torch.tensor(0.7, dtype=D), torch.tensor(0.6, dtype=D)
    now, after = process.sigma(t), process.sigma(s)
    slope = (x - mixture(x, now)) / now
    guess = x + (after - now) * slope
    expected = x + (after - now) * (slope + (guess - mixture(guess, after)) / after) / 2
    torch.testing.assert_close(Heun().step(diffusion, x, t, s, laws.Noises()), expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("order", [0, 5])
def test_orders_that_there_are_not(order):
    with pytest.raises(ValueError, match=f"ExponentialAdams needs an order from 1 to 4, got order={order}"):
        ExponentialAdams(order)


@pytest.mark.parametrize("scale", [0.0, math.inf])
def test_a_scale_that_is_none(scale):
    with pytest.raises(ValueError, match=f"ExponentialAdams needs scale > 0, got scale={scale:g}"):
        ExponentialAdams(scale=scale)
