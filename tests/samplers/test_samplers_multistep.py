from __future__ import annotations

import math

import numpy as np
import pytest
import torch

import properties
from properties import STEPS, table_error
from scorefield.diffusion import Diffusion
from scorefield.processes import EDM, VE, VP, Process
from scorefield.rng import Samples
from scorefield.samplers import DDIM, DPM, IPNDM, Sampling, UniPC, sample, variance_ratios
from scorefield.samplers.multistep import _BASHFORTH, _integrate, _moments
from scorefield.schedules import ExplicitLevels, LogLevel

D = torch.float64
PROCESSES = properties.instances(Process, "scorefield.processes")
every = pytest.mark.parametrize("process", PROCESSES, ids=lambda process: type(process).__name__)


@pytest.mark.parametrize(
    ("sampler", "row", "digits"),
    [
        (DPM(), (0.15, 0.080, 0.017, 0.0038, 9.0e-4, 2.1e-4), 2),
        (DPM(3), (0.68, -0.029, 0.0012, 6.7e-4, 2.0e-4, 4.8e-5), 2),
        (DPM(2, eta=1.0), (0.068, 0.15, 0.044, 0.010, 0.0024, 5.8e-4), 2),
        (DPM(3, eta=1.0), (1.6, 0.21, 0.014, 0.0042, 0.0011, 2.8e-4), 2),
        (UniPC(2), (0.014, 0.066, 0.0076, 8.7e-4, 9.7e-5, 4.9e-6), 2),
        (UniPC(3), (0.174, 0.00424, -0.00285, -1.90e-4, -1.93e-5, -8.75e-6), 3),
        (IPNDM(2), (-0.126, -0.0314, -0.00757, -0.00183, -4.52e-4, -1.17e-4), 3),
        (IPNDM(3), (-0.00306, 0.0142, 0.00479, 0.00122, 2.92e-4, 6.55e-5), 3),
        (IPNDM(4), (0.0745, 0.0269, 0.00560, 0.00122, 2.86e-4, 6.44e-5), 3),
    ],
    ids=repr,
)
def test_errors_in_the_spread_have_their_printed_digits(sampler, row, digits):
    for steps, printed in zip(STEPS, row):
        digit = 10.0 ** (math.floor(math.log10(abs(printed))) + 1 - digits)
        assert abs(table_error(sampler, steps) - printed) <= 0.5001 * digit


@pytest.mark.parametrize(
    ("sampler", "order"),
    [
        *((DPM(), 2), (DPM(3), 2), (DPM(2, eta=1.0), 2), (DPM(3, eta=1.0), 2)),
        *((DPM(bounded=True), 2), (DPM(eta=1.0, bounded=True), 2), (UniPC(2), 3), (UniPC(3), 4), (IPNDM(4), 2)),
    ],
    ids=repr,
)
def test_order_of_the_spread(sampler, order):
    """Without the last step to level 0, whose error -(σ_min/std)²/2 does not depend on the number of steps.

    At so small a last level the errors of UniPC's last steps, which are of lower order, are negligible.
    """
    floor = -((0.002 / 0.5) ** 2) / 2
    coarse, fine = (abs(table_error(sampler, steps) - floor) for steps in (128, 256))
    assert math.log2(coarse / fine) == pytest.approx(order, abs=0.15)


@pytest.mark.parametrize("order", [2, 3])
def test_the_last_steps_of_unipc_are_of_lower_order(order):
    """Where the last level is a tenth of the data's deviation they decide: order 2 in the limit."""
    s, floor = torch.tensor([0.5]), 0.25 / (0.25 + 0.05**2)
    ratios = (variance_ratios(Sampling(UniPC(order), steps, process=EDM(0.05, 80.0)), s) for steps in (512, 1024))
    coarse, fine = (abs(float(ratio) - floor) for ratio in ratios)
    assert math.log2(coarse / fine) == pytest.approx(2, abs=0.2)


# -- what they share -----------------------------------------------------------------------------------------------


def test_moments_are_the_integrals_that_they_are_said_to_be():
    """c_j = ∫₀¹ h e^{-h(1-r)} r^j dr, for steps in both directions."""
    points, weights = np.polynomial.legendre.leggauss(40)
    r = (points + 1) / 2
    for h in (-3.0, -0.1, 0.02, 0.5, 8.0):
        expected = [np.sum(weights / 2 * h * np.exp(-h * (1 - r)) * r**j) for j in range(4)]
        np.testing.assert_allclose(_moments(h, 4), expected, rtol=1e-7)


def test_polynomials_are_integrated_exactly():
    """u_s of du/dλ = D(λ) - u for a cubic D, from four values of it at uneven distances."""
    h, nodes, coefficients = 0.7, [-2.1, -1.0, -0.4, 0.0], [1.0, -2.0, 0.5, 3.0]
    values = [torch.tensor(sum(a * r**j for j, a in enumerate(coefficients)), dtype=D) for r in nodes]
    exact = sum(a * c for a, c in zip(coefficients, _moments(h, 4)))
    assert float(_integrate(_moments(h, 4), nodes, values)) == pytest.approx(exact, rel=1e-12)


# -- DPM-Solver++ ----------------------------------------------------------------------------------------------------


@every
def test_the_first_order_is_ddim(process, mixture):
    """DPM(1) is DDIM, and with η = 1 ancestral sampling, whatever the process and the steps."""
    diffusion = Diffusion(process, mixture, mixture.moments())
    x = diffusion.prior((5, 2), Samples(0, count=5))
    times = torch.tensor([1.0, 0.7, 0.65, 0.1, 0.0], dtype=D)
    for sampler, other in ((DPM(1), DDIM()), (DPM(1, eta=1.0), DDIM(1.0))):
        one, two = (list(s.trajectory(diffusion, x, times, Samples(1, count=5))) for s in (sampler, other))
        for a, b in zip(one, two):
            torch.testing.assert_close(a, b, rtol=1e-12, atol=1e-12)


def test_all_orders_begin_alike(mixture):
    diffusion, x = Diffusion(VP(), mixture), Samples(0, count=3).normal((3, 2), D)
    times = torch.tensor([0.8, 0.5], dtype=D)
    *_, expected = DDIM().trajectory(diffusion, x, times, properties.Noises())
    for sampler in (DPM(2), DPM(3), UniPC(2), UniPC(3), IPNDM()):
        *_, found = sampler.trajectory(diffusion, x, times, properties.Noises())
        torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-12)


def test_dpm_is_algorithm_2_of_its_paper(mixture):
    """D̃ = (1 + 1/2r) D_i - 1/2r D_{i-1}, r = h_{i-1}/h_i, x⁺ = σ⁺/σ x - α⁺ (e^{-h} - 1) D̃ with h in log(α/σ)."""
    process = VP()
    diffusion, x = Diffusion(process, mixture), Samples(0, count=3).normal((3, 2), D)
    times = torch.tensor([0.9, 0.6, 0.25], dtype=D)
    states = list(DPM().trajectory(diffusion, x, times, properties.Noises()))
    half_log_snr = -torch.log(process.level(times))
    before, now = (diffusion.split(state, t)[0] for state, t in zip(states, times[:2]))
    h_before, h = half_log_snr.diff()
    ratio = h_before / h
    extrapolated = (1 + 1 / (2 * ratio)) * now - 1 / (2 * ratio) * before
    (_, sigma), (alpha_after, sigma_after) = process(times[1]), process(times[2])
    expected = sigma_after / sigma * states[1] - alpha_after * torch.expm1(-h) * extrapolated
    torch.testing.assert_close(states[2], expected, rtol=1e-12, atol=1e-12)


def test_bounded_steps_are_others_only_where_they_grow(mixture):
    """D̃ = D + ½ min(1, r) (D - D₋₁): for equal and for shorter steps it is that of the paper, for longer ones that of equal."""
    process = EDM(0.01, 40.0)
    diffusion = Diffusion(process, mixture, mixture.moments())

    def ends(sampler: DPM, levels: tuple[float, ...]) -> torch.Tensor:
        sampling = Sampling(sampler, None, ExplicitLevels(levels), process)
        return sample(diffusion, (50, 2), sampling, Samples(0, count=50), dtype=D)

    for levels in ((8.0, 4.0, 2.0, 1.0), (8.0, 3.0, 1.5, 1.0)):
        assert torch.allclose(ends(DPM(bounded=True), levels), ends(DPM(), levels), rtol=0, atol=1e-12)
    x = 8.0 * Samples(0, count=50).child("prior").normal((50, 2), D)
    x = mixture.moments().colour(x / 8.0, torch.tensor(8.0).double())
    before = mixture(x, torch.tensor(8.0).double())
    x = 0.5 * x + 0.5 * before
    now = mixture(x, torch.tensor(4.0).double())
    x = 0.25 * x + 0.75 * (now + 0.5 * (now - before))  # a step twice as long; ½ r would be 1
    expected = mixture(x, torch.tensor(1.0).double())
    assert torch.allclose(ends(DPM(bounded=True), (8.0, 4.0, 1.0)), expected, rtol=0, atol=1e-12)
    assert not torch.allclose(ends(DPM(), (8.0, 4.0, 1.0)), expected, rtol=0, atol=1e-3)


@pytest.mark.parametrize("eta", [0.0, 1.0])
def test_bounded_steps_keep_variances_where_steps_grow(eta):
    sampling = Sampling(DPM(2, eta), 18, LogLevel(0.05), EDM(0.003, 55.0))
    deviations = torch.tensor([0.1, 0.2, 0.5, 1.0], dtype=D)
    plain = (variance_ratios(sampling, deviations) - 1).abs().max()
    bounded = (variance_ratios(sampling.replace(sampler=DPM(2, eta, bounded=True)), deviations) - 1).abs().max()
    assert bounded < 0.1 < plain / 2


@pytest.mark.parametrize("eta", [0.0, 0.6, 1.0])
def test_the_third_order_is_that_of_its_paper(eta, mixture):
    """x⁺ = e^{-H} x - expm1(-H) D + φ_2 d_1 - φ_3 d_2 + noise, with differences over h and H = (1+η²) h."""
    process = VE(0.1, 10.0)
    diffusion, x = Diffusion(process, mixture), 5 * Samples(0, count=3).normal((3, 2), D)
    times = torch.tensor([0.9, 0.6, 0.5, 0.15], dtype=D)
    states = list(DPM(3, eta).trajectory(diffusion, x, times, Samples(1, count=3)))
    rng = Samples(1, count=3)
    noises = [rng.normal((3, 2), D) for _ in times[1:]] if eta else [torch.zeros(3, 2, dtype=D)] * 3
    means = [diffusion.split(state, t)[0] for state, t in zip(states, times)]
    steps = (-torch.log(process.level(times))).diff()
    for i in (1, 2):
        h, big = steps[i], (1 + eta**2) * steps[i]
        phi_2 = torch.expm1(-big) / big + 1
        phi_3 = phi_2 / big - 0.5
        d_10 = (means[i] - means[i - 1]) / (steps[i - 1] / h)
        expected = torch.exp(-big) * states[i] - torch.expm1(-big) * means[i] + phi_2 * d_10
        if i == 2:
            r_0, r_1 = steps[1] / h, steps[0] / h
            d_11 = (means[1] - means[0]) / r_1
            d_2 = (d_10 - d_11) / (r_0 + r_1)
            expected = expected + phi_2 * d_2 * r_0 - phi_3 * d_2
        expected = expected + process.sigma(times[i + 1]) * torch.sqrt(-torch.expm1(-2 * eta**2 * h)) * noises[i]
        torch.testing.assert_close(states[i + 1], expected, rtol=1e-11, atol=1e-11)


# -- UniPC -----------------------------------------------------------------------------------------------------------


def unipc(order: int, known: list, means: list, h: float, u: torch.Tensor, later: torch.Tensor | None) -> torch.Tensor:
    """Algorithms 5 to 8 of the paper with B(h) = expm1(-h): R ρ = b, and ρ = ½ where there is one difference."""
    ratios = [(a - known[-1]) / h for a in known[-order:-1][::-1]] + ([1.0] if later is not None else [])
    others = means[-order:-1][::-1] + ([later] if later is not None else [])
    scale, psi, b = math.expm1(-h), math.expm1(-h) / -h - 1, []
    for j in range(1, len(ratios) + 1):
        b.append(math.factorial(j) * psi / scale)
        psi = psi / -h - 1 / math.factorial(j + 1)
    rho = np.linalg.solve(np.vander(ratios, increasing=True).T, b) if len(ratios) > 1 else [0.5] * len(ratios)
    moved = math.exp(-h) * u - scale * means[-1]
    return moved - scale * sum(p * (other - means[-1]) / r for p, r, other in zip(rho, ratios, others))


@pytest.mark.parametrize("order", [2, 3])
def test_unipc_is_that_of_its_paper(order, mixture):
    """Predict, evaluate, correct: with the order lowered at the end, and no corrector there."""
    process, x = VE(0.1, 10.0), 5 * Samples(0, count=3).normal((3, 2), D)
    diffusion = Diffusion(process, mixture)
    times = torch.tensor([0.95, 0.8, 0.7, 0.5, 0.35, 0.3, 0.1], dtype=D)
    clock = (-torch.log(process.level(times))).tolist()
    states = list(UniPC(order).trajectory(diffusion, x, times, properties.Noises()))
    u, known, means = x, [clock[0]], [diffusion.split(x, times[0])[0]]
    for i in range(6):
        h = clock[i + 1] - clock[i]
        predicted = unipc(min(order, i + 1, 6 - i), known, means, h, u, None)
        torch.testing.assert_close(states[i + 1], predicted, rtol=1e-10, atol=1e-10)
        later = diffusion.split(predicted, times[i + 1])[0]
        u = unipc(min(order, i + 1), known, means, h, u, later)
        known, means = [*known, clock[i + 1]], [*means, later]


@every
def test_the_corrector_costs_nothing(process, mixture):
    class Counting(properties.Denoiser):
        count = 0

        def forward(self, x, level):
            self.count += 1
            return mixture(x, level)

    for sampler in (UniPC(), DPM(), IPNDM()):
        distribution = Counting()
        diffusion = Diffusion(process, distribution, mixture.moments())
        x = diffusion.prior((2, 2), Samples(0, count=2))
        list(sampler.trajectory(diffusion, x, torch.linspace(1, 0, 6, dtype=D), properties.Noises()))
        assert distribution.count == 5


def test_what_is_done_to_the_state_between_moves_stays(mixture):
    """The corrector adds to the state that it is given; it does not bring back its own."""
    diffusion, x = Diffusion(EDM(), mixture), 80 * Samples(0, count=3).normal((3, 2), D)
    times = torch.linspace(1, 0, 5, dtype=D)
    plain, pushed = (UniPC().start(diffusion, times, properties.Noises()) for _ in range(2))
    one = plain(x, times[0], times[1])
    shift = 1e-6 * torch.ones_like(x)
    apart = pushed(x, times[0], times[1]) + shift
    moved = pushed(apart, times[1], times[2]) - plain(one, times[1], times[2])
    assert bool((moved / shift > 0.1).all())


# -- IPNDM -----------------------------------------------------------------------------------------------------------


def test_ipndm_steps_with_the_weights_of_adams_and_bashforth(mixture):
    process, x = VP(), Samples(0, count=3).normal((3, 2), D)
    diffusion = Diffusion(process, mixture)
    times = torch.linspace(0.9, 0.2, 7, dtype=D)
    states = list(IPNDM(4).trajectory(diffusion, x, times, properties.Noises()))
    noises = [diffusion.split(state, t)[1] for state, t in zip(states, times)]
    levels, alphas = process.level(times), process.alpha(times)
    for i, weights in ((1, (3, -1)), (2, (23, -16, 5)), (3, (55, -59, 37, -9)), (5, (55, -59, 37, -9))):
        slope = sum(w / sum(weights) * noises[i - k] for k, w in enumerate(weights))
        expected = alphas[i + 1] * (states[i] / alphas[i] + (levels[i + 1] - levels[i]) * slope)
        torch.testing.assert_close(states[i + 1], expected, rtol=1e-12, atol=1e-12)


def test_the_weights_integrate_polynomials_over_even_steps():
    for count, weights in enumerate(_BASHFORTH, 1):
        nodes = np.arange(1 - count, 1)
        for power in range(count):
            assert np.dot(weights, nodes**power) == pytest.approx(1 / (power + 1), abs=1e-14)


# -- what they refuse ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: DPM(4), "DPM needs an order from 1 to 3, got order=4"),
        (lambda: DPM(2, eta=-0.5), "DPM needs 0 <= eta < inf, got eta=-0.5"),
        (lambda: DPM(2, eta=math.nan), "DPM needs 0 <= eta < inf, got eta=nan"),
        (lambda: DPM(3, bounded=True), "DPM extrapolates no farther in longer steps at order 2, got order=3"),
        (lambda: UniPC(1), "UniPC needs an order of 2 or 3, got order=1"),
        (lambda: IPNDM(0), "IPNDM needs an order from 1 to 4, got order=0"),
    ],
)
def test_what_they_refuse(make, message):
    with pytest.raises(ValueError, match=f"^{message}$"):
        make()
