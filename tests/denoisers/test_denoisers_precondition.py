from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor, nn

from properties import Answer, prediction
from scorefield.denoisers import (
    ConditionalPreconditioned,
    DataPrediction,
    EDMPrediction,
    FlowPrediction,
    Gaussian,
    NoisePrediction,
    Preconditioned,
    ScorePrediction,
    VPrediction,
)
from scorefield.nn import MLP
from scorefield.rng import Samples

SCALE = 0.7


def definition(parametrization, x: Tensor, level: Tensor, mean: Tensor) -> Tensor:
    """What each predicts, from the words of its docstring."""
    noise = (x - mean) / level
    total = torch.hypot(level, torch.full_like(level, SCALE))
    return {
        DataPrediction: mean,
        NoisePrediction: noise,
        ScorePrediction: level * (mean - x) / level**2,
        VPrediction: noise * torch.rsqrt(1 + level**2) - mean * level * torch.rsqrt(1 + level**2),
        FlowPrediction: noise - mean,
        EDMPrediction: mean * level / (total * SCALE)
        - noise * SCALE / total,  # -dx̃/dφ, x̃ = x / total, φ = arctan(σ/scale)
    }[type(parametrization)]


ALL = [
    DataPrediction(SCALE),
    NoisePrediction(SCALE),
    ScorePrediction(SCALE),
    VPrediction(SCALE),
    FlowPrediction(SCALE),
    EDMPrediction(SCALE),
]


@pytest.mark.parametrize("parametrization", ALL, ids=repr)
def test_what_is_predicted_gives_the_mean(parametrization, mixture):
    level = torch.logspace(-3, 2, 21, dtype=torch.float64)[:, None]
    x = Samples(0, count=21).normal((21, 2), torch.float64) * (1 + level)
    mean = mixture(x, level)
    answer = definition(parametrization, x, level, mean)
    denoised = Preconditioned(Answer(answer), parametrization)(x, level)
    torch.testing.assert_close(denoised, mean, rtol=1e-10, atol=1e-10)


def test_karras_predicts_a_velocity():
    """-F is the derivative of x / √(σ² + scale²) with respect to arctan(σ/scale) along the probability flow."""
    distribution = Gaussian(
        torch.tensor([0.4, -1.0], dtype=torch.float64), torch.tensor([2.0, 0.3], dtype=torch.float64)
    )
    level = torch.tensor(0.9, dtype=torch.float64)
    start = torch.tensor([[1.0, -2.0]], dtype=torch.float64)

    def path(angle: Tensor) -> Tensor:
        sigma = SCALE * torch.tan(angle)
        x = distribution.mean + (distribution.covariance + sigma**2).sqrt() / (
            distribution.covariance + level**2
        ).sqrt() * (start - distribution.mean)
        return x / torch.sqrt(sigma**2 + SCALE**2)

    angle = torch.atan(level / SCALE)
    _, velocity = torch.func.jvp(path, (angle,), (torch.ones_like(angle),))
    answer = prediction(EDMPrediction(SCALE), start, level, distribution(start, level))
    torch.testing.assert_close(-answer, velocity, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("level", [1e-3, 0.7, 80.0])
def test_a_network_that_answers_zero_is_the_best_linear_denoiser(level):
    """That of centred data of variance scale²: Wiener's x scale² / (σ² + scale²)."""
    level = torch.tensor(level, dtype=torch.float64)
    x = Samples(0, count=5).normal((5, 3), torch.float64)
    distribution = Gaussian(torch.zeros(3).double(), torch.full((3,), SCALE**2, dtype=torch.float64))
    denoised = Preconditioned(Answer(torch.zeros_like(x)), EDMPrediction(SCALE))(x, level)
    torch.testing.assert_close(denoised, distribution(x, level), rtol=1e-12, atol=0)


@pytest.mark.parametrize("unit", [1e-3, 10.0])
def test_karras_knows_no_units(unit):
    """In other units the network sees and answers the same."""
    level, x = torch.tensor([[0.1], [3.0]]).double(), torch.tensor([[0.5, -1.0], [2.0, 4.0]]).double()
    here, there = (
        Preconditioned(Answer(torch.tensor([[0.3, 0.1]] * 2).double()), EDMPrediction(s)) for s in (SCALE, unit * SCALE)
    )
    torch.testing.assert_close(there(unit * x, unit * level), unit * here(x, level), rtol=1e-12, atol=0)
    for one, other in zip(here.network.asked, there.network.asked):
        torch.testing.assert_close(one, other, rtol=1e-12, atol=1e-14)


def test_the_network_sees_unit_variance_and_a_label():
    level = torch.tensor([[0.01], [1.0], [50.0]]).double()
    denoiser = Preconditioned(Answer(torch.zeros(3, 1).double()), EDMPrediction(SCALE))
    denoiser(torch.sqrt(level**2 + SCALE**2), level)
    x, c = denoiser.network.asked
    torch.testing.assert_close(x, torch.ones(3, 1).double())
    torch.testing.assert_close(c, torch.log(level[:, 0] / SCALE) / 4)


def test_one_level_for_all_or_one_for_each():
    x = Samples(0, count=4).normal((4, 2, 3))
    denoiser = Preconditioned(Plain(3))
    level = torch.tensor(0.3)
    torch.testing.assert_close(denoiser(x, level), denoiser(x, torch.full((4, 1, 1), 0.3)))
    alone = torch.cat([denoiser(x[i : i + 1], torch.tensor(0.1 * (i + 1))) for i in range(4)])
    torch.testing.assert_close(denoiser(x, 0.1 * torch.arange(1.0, 5.0).reshape(4, 1, 1)), alone)


class Plain(nn.Module):
    def __init__(self, size: int) -> None:
        super().__init__()
        self.size = size
        generator = torch.Generator().manual_seed(0)
        self.weight = nn.Parameter(torch.randn(size, size, generator=generator))
        self.seen: list[torch.dtype] = []

    def forward(self, x: Tensor, c: Tensor) -> Tensor:
        y = x @ self.weight + c.reshape(-1, *(1,) * (x.ndim - 1))
        self.seen = [x.dtype, c.dtype, (x @ self.weight).dtype]
        return y


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
@pytest.mark.parametrize("state", [torch.float32, torch.float64])
def test_the_state_keeps_its_type_and_the_network_its_own(precision, state):
    network = Plain(2)
    x = Samples(0, count=3).normal((3, 2), state)
    denoised = Preconditioned(network, EDMPrediction(), precision)(x, torch.tensor(0.5, dtype=state))
    inside = torch.bfloat16 if precision == "bfloat16" else torch.float32
    assert network.seen == [torch.float32, torch.float32, inside]
    assert denoised.dtype == state


def test_bfloat16_rounds_the_answer_alone():
    """The error is that of F, relative to c_out: where the level is low the state keeps its sixteen digits."""
    x = Samples(0, count=50).normal((50, 2), torch.float64)
    exact = Preconditioned(Plain(2), EDMPrediction(), "bfloat16")
    for level in (1e-6, 1e-2, 1.0):
        level = torch.tensor(level, dtype=torch.float64)
        rough, fine = exact(x, level), exact.full_precision()(x, level)
        error = float((rough - fine).detach().abs().max()) / float(EDMPrediction().coefficients(level).out)
        assert 0 < error < 0.1
        assert not torch.equal(rough, rough.float().double())  # float64 outside


def test_full_precision_shares_the_network_and_its_mode():
    rough = Preconditioned(Plain(2), EDMPrediction(0.3), "bfloat16").eval()
    fine = rough.full_precision()
    assert fine.network is rough.network
    assert (fine.precision, fine.parametrization, fine.training) == ("float32", EDMPrediction(0.3), False)


def test_karras_is_the_default():
    assert Preconditioned(Plain(2)).parametrization == EDMPrediction(1.0)


def test_a_precision_that_is_none():
    with pytest.raises(ValueError, match="precision must be 'float32' or 'bfloat16', got 'float16'"):
        Preconditioned(Plain(2), EDMPrediction(), "float16")


@pytest.mark.parametrize("scale", [0.0, -1.0, math.inf, math.nan])
def test_a_scale_that_is_none(scale):
    with pytest.raises(ValueError, match=f"VPrediction needs scale > 0, the standard deviation of data, got {scale:g}"):
        VPrediction(scale)


@pytest.mark.parametrize("level", [1e-3, 0.3, 1.0, 50.0])
def test_with_a_trend_a_network_that_answers_zero_is_the_best_linear_denoiser_given_something(level):
    """x_0 = Aᵀc + N(0, scale²): E[x_0 | x, c] is known."""
    rng = torch.Generator().manual_seed(0)
    trend, c, x = (torch.randn(*shape, generator=rng).double() for shape in ((2, 3), (5, 2), (5, 3)))
    denoiser = ConditionalPreconditioned(MLP(3, 8, 1, context=2), (2,), True, EDMPrediction(0.4), trend=trend)
    mean = c @ trend
    expected = mean + (x - mean) * 0.4**2 / (0.4**2 + level**2)
    for each in (denoiser, denoiser.full_precision()):
        found = each.given(c)(x, torch.tensor(level, dtype=torch.float64))
        torch.testing.assert_close(found, expected, rtol=1e-6, atol=1e-6)
