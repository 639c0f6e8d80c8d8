from __future__ import annotations

import math

import numpy as np
import pytest
import torch

import properties
from properties import STEPS
from scorefield.denoisers import Gaussian
from scorefield.diffusion import Diffusion
from scorefield.processes import EDM, Flow, Process
from scorefield.rng import Samples
from scorefield.samplers import DormandPrince, ExponentialAdams
from scorefield.samplers.exponential import _weights

D = torch.float64
PROCESSES = properties.instances(Process, "scorefield.processes")
every = pytest.mark.parametrize("process", PROCESSES, ids=lambda process: type(process).__name__)


def spread_error(sampler: ExponentialAdams, process: Process, std: float, steps: int) -> float:
    distribution = Gaussian(torch.zeros(1, dtype=D), torch.full((1, 1), std**2, dtype=D))
    _, _, covariance = properties.propagate(
        sampler, Diffusion(process, distribution, distribution), 1, steps, denoise=True
    )[-1]
    return math.sqrt(float(covariance)) / std - 1


@every
@pytest.mark.parametrize("scale", [1.0, 0.3])
@pytest.mark.parametrize("order", [1, 3])
def test_gaussian_data_come_home_in_one_step(process, scale, order):
    """If they are centred and of the standard deviation `scale`; with many steps as well."""
    distribution = Gaussian(torch.zeros(3, dtype=D), torch.full((3,), scale**2, dtype=D))
    diffusion = Diffusion(process, distribution, distribution)
    x = diffusion.prior((4, 3), Samples(0, count=4))
    alpha, sigma = process(torch.tensor([1.0, 0.0], dtype=D))
    expected = (
        x * torch.sqrt((alpha[1] * scale) ** 2 + sigma[1] ** 2) / torch.sqrt((alpha[0] * scale) ** 2 + sigma[0] ** 2)
    )
    for steps in (1, 5):
        times = torch.linspace(1, 0, steps + 1, dtype=D)
        *_, found = ExponentialAdams(order, scale).trajectory(diffusion, x, times, properties.Noises())
        torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-12)


@every
@pytest.mark.parametrize("order", [2, 3])
@pytest.mark.parametrize("eta", [0.5, 1.0])
def test_with_fresh_noise_it_keeps_the_distribution_of_gaussian_data(process, order, eta):
    """In one step as in many: mean and covariance by exact propagation, the prior's included."""
    distribution = Gaussian(torch.zeros(1, dtype=D), torch.full((1,), 0.09, dtype=D))
    diffusion = Diffusion(process, distribution, distribution)
    alpha, sigma = process(torch.zeros((), dtype=D))
    for steps in (1, 5):
        _, _, covariance = properties.propagate(ExponentialAdams(order, 0.3, eta), diffusion, 1, steps, denoise=False)[
            -1
        ]
        assert float(covariance) == pytest.approx(float(alpha**2 * 0.09 + sigma**2), rel=1e-10)


def test_weights_are_exact_for_polynomials():
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


def test_the_slope_of_the_noisy_process_is_integrated_with_its_weight():
    """∫ cos^p φ dφ, in closed form for p = 1."""
    (weight,) = _weights([1.4], 0.2, 1.0)
    assert weight == pytest.approx(math.sin(0.2) - math.sin(1.4), rel=1e-12)


def test_the_second_evaluation_mends_the_first_step(mixture):
    """u_1 = n_1 (u_0/n_0 - ½ (φ_1 - φ_0) (F_0 + F_1)) is what the second step, with F_0 and F_1, begins at."""
    process, x = EDM(), 80 * Samples(0, count=3).normal((3, 2), D)
    diffusion = Diffusion(process, mixture)
    times = torch.tensor([1.0, 0.5, 0.3], dtype=D)
    states = list(ExponentialAdams(3).trajectory(diffusion, x, times, properties.Noises()))
    levels = process.sigma(times)
    norm, phi = torch.sqrt(levels**2 + 1), torch.atan(levels)
    mean = [diffusion.split(state, t)[0] for state, t in zip(states, times)]
    f = [(m - u / n**2) * n / level for m, u, n, level in zip(mean, states, norm, levels)]
    torch.testing.assert_close(states[1], norm[1] * (x / norm[0] - (phi[1] - phi[0]) * f[0]), rtol=1e-12, atol=1e-12)
    mended = x / norm[0] - (phi[1] - phi[0]) / 2 * (f[0] + f[1])
    h, before = phi[2] - phi[1], phi[1] - phi[0]
    expected = norm[2] * (mended - h * (f[1] + h / (2 * before) * (f[1] - f[0])))
    torch.testing.assert_close(states[2], expected, rtol=1e-11, atol=1e-11)


@pytest.mark.parametrize("order", [1, 2, 3, 4])
def test_the_first_step_does_not_spoil_the_order(order):
    """Not even where long steps are taken through noise: first-order starts leave orders 3 and 4 at 2 there."""
    distribution = properties.example_mixture()
    diffusion = Diffusion(Flow(), distribution, distribution.moments())
    x = diffusion.prior((48, 2), Samples(1, count=48))

    def end(sampler, steps):
        *_, last = sampler.trajectory(diffusion, x, torch.linspace(1, 0, steps + 1, dtype=D), properties.Noises())
        return last

    truth = end(DormandPrince(1e-11, 1e-11), 1)
    coarse, fine = (float((end(ExponentialAdams(order), n) - truth).norm(dim=1).median()) for n in (128, 256))
    assert math.log2(coarse / fine) == pytest.approx(order, abs=0.15)


@pytest.mark.parametrize(
    ("sampler", "row"),
    [
        (ExponentialAdams(2), (-0.238, -0.0749, -0.0204, -0.00524, -0.00133, -3.39e-4)),
        (ExponentialAdams(3), (-0.135, -0.0280, -0.00419, -5.41e-4, -7.36e-5, -1.61e-5)),
        (ExponentialAdams(4), (-0.0382, -0.00659, -4.71e-4, -2.42e-5, -8.23e-6, -7.98e-6)),
        (ExponentialAdams(3, eta=1.0), (1.12, -0.0476, -0.00877, -0.00106, -1.04e-4, -1.11e-5)),
    ],
    ids=repr,
)
def test_errors_in_the_spread_of_data_of_another_width(sampler, row):
    """Of std ½ for a scale of 1: the grid of the table that other samplers are found in."""
    for steps, printed in zip(STEPS, row):
        digit = 10.0 ** (math.floor(math.log10(abs(printed))) - 2)
        assert abs(spread_error(sampler, EDM(), 0.5, steps - 1) - printed) <= 0.5001 * digit


def test_a_scale_that_is_too_large_errs_by_less_than_one_too_small():
    """What its docstring says of smooth fields, whose parts have deviations of 0.2 to 8."""
    process = EDM(0.005, 80.0)
    small, large = (
        [spread_error(ExponentialAdams(3, scale, 1.0), process, std, 24) for std in (0.2, 1.0, 8.0)] for scale in (1, 4)
    )
    assert small == pytest.approx([-0.023, 0.0, -0.074], abs=0.002)
    assert large == pytest.approx([-0.016, -0.014, 0.0], abs=0.002)


@pytest.mark.parametrize("order", [0, 5])
def test_orders_that_there_are_not(order):
    with pytest.raises(ValueError, match=f"ExponentialAdams needs an order from 1 to 4, got order={order}"):
        ExponentialAdams(order)


@pytest.mark.parametrize("scale", [0.0, math.inf])
def test_a_scale_that_is_none(scale):
    with pytest.raises(ValueError, match=f"ExponentialAdams needs scale > 0, got scale={scale:g}"):
        ExponentialAdams(scale=scale)


@pytest.mark.parametrize("eta", [-0.1, math.inf])
def test_an_eta_that_is_none(eta):
    with pytest.raises(ValueError, match=f"ExponentialAdams needs 0 <= eta < inf, got eta={eta:g}"):
        ExponentialAdams(eta=eta)
