"""Closed forms of single processes; what holds for all is in `distributions`."""

from __future__ import annotations

import math

import pytest
import torch

from scorefield.processes import EDM, VE, VP, Cosine, Flow, SubVP, TutorialVE

T = torch.linspace(0, 1, 101, dtype=torch.float64)


def close(actual, expected, rtol=1e-12, atol=0.0):
    torch.testing.assert_close(actual, expected, rtol=rtol, atol=atol)


def beta(process, t):
    """β in the clock of the process, whose time runs from `start` to 1."""
    clock = process.start + (1 - process.start) * t
    return (process.beta_min + clock * (process.beta_max - process.beta_min)) * (1 - process.start)


def integral(process, t):
    clock = process.start + (1 - process.start) * t
    return process.beta_min * clock + clock**2 * (process.beta_max - process.beta_min) / 2


def test_ve_is_geometric():
    """g = σ_min (σ_max/σ_min)^t √(2 ln(σ_max/σ_min)) (Song et al., 2021, eq. 30)."""
    process = VE(0.1, 30.0)
    f, square = process.sde(T)
    close(f, torch.zeros_like(T))
    close(square, process.sigma(T) ** 2 * 2 * math.log(300))
    close(process.sigma(T), 0.1 * 300**T)
    close(process.alpha(T), torch.ones_like(T))


@pytest.mark.parametrize("start", [1e-5, 1e-3])
def test_tutorial_ve_adds_base_to_the_t(start):
    process = TutorialVE(25.0, start)
    clock = start + (1 - start) * T
    f, square = process.sde(T)
    close(f, torch.zeros_like(T))
    close(square, 25 ** (2 * clock) * (1 - start))
    close(process.sigma(T) ** 2, torch.expm1(2 * clock * math.log(25)) / (2 * math.log(25)))
    close(process.sigma(T[-1]) ** 2, torch.tensor(624 / (2 * math.log(25)), dtype=torch.float64))


@pytest.mark.parametrize("process", [VP(), VP(0.5, 10.0, 1e-3)], ids=repr)
def test_vp_preserves_variance(process):
    alpha, sigma = process(T)
    f, square = process.sde(T)
    close(alpha**2 + sigma**2, torch.ones_like(T))
    close(f, -beta(process, T) / 2)
    close(square, beta(process, T), rtol=1e-10)
    close(sigma**2, -torch.expm1(-integral(process, T)), rtol=1e-12)
    close(VP().alpha(T[-1]), torch.tensor(0.00657, dtype=torch.float64), rtol=1e-3)


@pytest.mark.parametrize("process", [SubVP(), SubVP(0.5, 10.0, 1e-2)], ids=repr)
def test_sub_vp_has_less_noise(process):
    """g² = β (1 - e^(-2∫β)), and σ itself is 1 - e^(-∫β) (Song et al., 2021, eq. 29)."""
    f, square = process.sde(T)
    close(f, -beta(process, T) / 2)
    close(square, -beta(process, T) * torch.expm1(-2 * integral(process, T)), rtol=1e-10)
    close(process.sigma(T), 1 - process.alpha(T) ** 2, rtol=1e-9)
    assert bool((process.sigma(T) < VP(process.beta_min, process.beta_max, process.start).sigma(T)).all())


def test_cosine_is_that_of_improved_ddpm():
    """ᾱ = cos²((t + s)/(1 + s) π/2) / cos²(s/(1 + s) π/2) (Nichol & Dhariwal, 2021, eq. 17)."""
    process = Cosine(offset=0.01, start=1e-3, stop=2e-3)
    clock = 1e-3 + (1 - 3e-3) * T
    bar = torch.cos((clock + 0.01) / 1.01 * math.pi / 2) ** 2 / math.cos(0.01 / 1.01 * math.pi / 2) ** 2
    alpha, sigma = process(T)
    close(alpha**2, bar)
    close(alpha**2 + sigma**2, torch.ones_like(T))


def test_edm_is_the_grid_of_karras():
    """σ_i = (σ_max^(1/ρ) + i/(N-1) (σ_min^(1/ρ) - σ_max^(1/ρ)))^ρ (Karras et al., 2022, eq. 5)."""
    process, count = EDM(0.002, 80.0, 7.0), 18
    i = torch.arange(count, dtype=torch.float64)
    grid = (80 ** (1 / 7) + i / (count - 1) * (0.002 ** (1 / 7) - 80 ** (1 / 7))) ** 7
    close(process.sigma(1 - i / (count - 1)), grid)
    close(EDM(0.1, 10.0, rho=1.0).sigma(T), 0.1 + T * 9.9)
    close(process.sde(T)[1], 2 * process.sigma(T) * process.rates(T)[1])


def test_flow_is_straight():
    process = Flow(0.01)
    close(process.alpha(T) + process.sigma(T), torch.full_like(T, 1.01))
    for rate, slope in zip(process.rates(T), (-0.99, 0.99)):
        close(rate, torch.full_like(T, slope))


def test_mix_and_call():
    process, t = VP(), torch.tensor(0.4, dtype=torch.float64)
    alpha, sigma = process(t)
    assert float(process.mix(torch.tensor(3.0), torch.tensor(-2.0), t)) == pytest.approx(float(3 * alpha - 2 * sigma))


def test_naive_formula_would_lose_its_digits():
    """Where σ = √(1 - e^(-B)) in single precision is 23 % off, the process is right."""
    process = VP(start=1e-9)
    t = torch.tensor(1e-6)
    exact = process.sigma(t.double())
    naive = torch.sqrt(1 - torch.exp(-process.integral(t)))
    assert abs(float(naive / exact) - 1) > 0.05
    assert abs(float(process.sigma(t) / exact) - 1) < 1e-6


@pytest.mark.parametrize("process", [VE(), VP(), Flow()], ids=lambda process: type(process).__name__)
def test_rates_within_a_transform_of_torch_func_are_the_same(process):
    inside = torch.func.vmap(lambda t: torch.stack(process.rates(t)))(T)
    close(inside, torch.stack(process.rates(T), 1))


@pytest.mark.parametrize("process", [VE(), VP(), Flow()], ids=lambda process: type(process).__name__)
@pytest.mark.parametrize("within", [torch.no_grad, torch.inference_mode])
def test_rates_do_not_depend_on_whether_gradients_are_kept(process, within):
    with within():
        found = process.rates(T), process.rates(T.clone())
    for rates in found:
        close(torch.stack(rates), torch.stack(process.rates(T)))
        assert not any(rate.requires_grad for rate in rates)


def test_gradients_flow_through_the_rates():
    t = torch.tensor(0.5, dtype=torch.float64, requires_grad=True)
    (second,) = torch.autograd.grad(VE(0.1, 10.0).rates(t)[1], t)
    assert float(second) == pytest.approx(math.log(100) ** 2 * math.sqrt(0.1 * 10), rel=1e-10)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: VE(50.0, 0.01), "VE needs 0 < sigma_min < sigma_max, got sigma_min=50, sigma_max=0.01"),
        (lambda: VE(0.0, 1.0), "VE needs 0 < sigma_min < sigma_max, got sigma_min=0, sigma_max=1"),
        (lambda: VE(1.0, math.inf), "VE needs 0 < sigma_min < sigma_max, got sigma_min=1, sigma_max=inf"),
        (lambda: VE(math.nan, 1.0), "VE needs 0 < sigma_min < sigma_max, got sigma_min=nan, sigma_max=1"),
        (lambda: VP(1.0, 1.0), "VP needs 0 < beta_min < beta_max, got beta_min=1, beta_max=1"),
        (lambda: VP(start=0.0), "VP needs 0 < start < 0.5, got start=0"),
        (lambda: SubVP(start=0.6), "SubVP needs 0 < start < 0.5, got start=0.6"),
        (lambda: TutorialVE(base=1.0), "TutorialVE needs base > 1, got base=1"),
        (lambda: TutorialVE(start=-1.0), "TutorialVE needs 0 < start < 0.5, got start=-1"),
        (lambda: Cosine(offset=0.0), "Cosine needs 0 < offset < 0.5, got offset=0"),
        (lambda: Cosine(start=0.0), "Cosine needs 0 < start < 0.5, got start=0"),
        (lambda: Cosine(stop=0.5), "Cosine needs 0 < stop < 0.5, got stop=0.5"),
        (lambda: EDM(2.0, 1.0), "EDM needs 0 < sigma_min < sigma_max, got sigma_min=2, sigma_max=1"),
        (lambda: EDM(rho=0.0), "EDM needs rho > 0, got rho=0"),
        (lambda: Flow(margin=0.0), "Flow needs 0 < margin < 0.5, got margin=0"),
    ],
)
def test_values_that_make_no_process(make, message):
    with pytest.raises(ValueError, match=f"^{message}$"):
        make()
