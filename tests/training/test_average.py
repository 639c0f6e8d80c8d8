from __future__ import annotations

import math

import pytest
import torch

from scorefield.training import PowerAverage, exponent


@pytest.mark.parametrize("width", [0.01, 0.05, 0.1, 0.15, 0.25, 0.288])
def test_the_width_of_a_power(width):
    """The profile ∝ τ^γ on [0, 1] has the mean (γ+1)/(γ+2) and this standard deviation."""
    power = exponent(width)
    mean, square = (power + 1) / (power + 2), (power + 1) / (power + 3)
    assert math.sqrt(square - mean**2) == pytest.approx(width, rel=1e-8)
    assert width == pytest.approx(math.sqrt((power + 1) / ((power + 2) ** 2 * (power + 3))), rel=1e-8)


def test_powers_of_the_paper():
    """Karras et al. (2024): 16.97, 6.94 and 3.56; a flat profile has the width 1/√12."""
    assert [round(exponent(w), 2) for w in (0.05, 0.1, 0.15)] == [16.97, 6.94, 3.56]
    assert abs(exponent(1 / math.sqrt(12.02))) < 0.01


@pytest.mark.parametrize("width", [0.0, -0.1, 0.2887, 1.0])
def test_widths_that_no_power_has(width):
    message = f"^the relative width of a power-function average lies between 0 and 0.288, got {width:g}$"
    with pytest.raises(ValueError, match=message):
        exponent(width)


@pytest.mark.parametrize("width", [0.05, 0.15, 0.25])
@pytest.mark.parametrize("steps", [1, 2, 10, 1000])
def test_the_profile(width, steps):
    """The average of a sequence is Σ w_τ x_τ with w_τ = β_τ+1 … β_n (1 - β_τ); τ^γ for long runs, whatever came first."""
    generator = torch.Generator().manual_seed(0)
    sequence = torch.randn(steps, 4, generator=generator, dtype=torch.float64)
    average = PowerAverage(torch.full((4,), 99.0, dtype=torch.float64), width)
    for i, values in enumerate(sequence, start=1):
        average.update(values, i)
    tau = torch.arange(1, steps + 1, dtype=torch.float64)
    betas = (1 - 1 / tau) ** (exponent(width) + 1)
    weights = torch.tensor([float((1 - betas[i]) * betas[i + 1 :].prod()) for i in range(steps)], dtype=torch.float64)
    assert float(weights.sum()) == pytest.approx(1)
    torch.testing.assert_close(average.values, weights @ sequence)
    if steps == 1000:
        ideal = tau ** exponent(width)
        assert float((weights - ideal / ideal.sum()).abs().sum()) < 20 / steps
        mean = float(weights @ tau) / steps
        assert math.sqrt(float(weights @ (tau / steps - mean) ** 2)) == pytest.approx(width, rel=0.02)


def test_the_first_step_is_taken_whole():
    """What a network was before it was trained does not stay in its average."""
    start = torch.tensor([math.inf, 5.0])
    average = PowerAverage(torch.tensor([3.0, 5.0]), 0.1)
    assert average.values.data_ptr() != start.data_ptr()
    average.update(torch.tensor([1.0, 2.0]), 1)
    assert average.values.tolist() == [1.0, 2.0]
