from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from scorefield.denoisers import Denoiser, EDMPrediction, Gaussian, Preconditioned
from scorefield.nn import MLP
from scorefield.objectives import DenoisingScoreMatching, LogNormal, LogUniform
from scorefield.training.held_out import excess, held_out_losses, losses_by_level, parts_of

OBJECTIVE = DenoisingScoreMatching(LogNormal(-0.5, 1.2))


def data(count: int, *shape: int) -> Tensor:
    return torch.randn(count, *shape, generator=torch.Generator().manual_seed(0))


class Spy(Denoiser):
    def __init__(self) -> None:
        super().__init__()
        self.calls: list[tuple[Tensor, Tensor]] = []

    def forward(self, x: Tensor, level: Tensor) -> Tensor:
        self.calls.append((x, level))
        return torch.zeros_like(x)


@pytest.mark.parametrize(("count", "size"), [(30, 10), (10, 30), (700, 600), (2048, 1000), (512, 1)])
def test_a_datum_has_a_loss(count, size):
    x = data(size, 2, 3)
    losses, parts = held_out_losses(Spy(), x, OBJECTIVE, count)
    assert parts.shape == (8,)
    assert losses.shape == (min(count, size),)
    assert losses.dtype == torch.float64
    assert not losses.requires_grad


def test_losses_are_the_objectives_own():
    """Each copy's loss, with the level and the noise that the denoiser met, averaged by example."""
    x, spy = data(7, 3), Spy()
    losses, parts = held_out_losses(spy, x, OBJECTIVE, 21)
    levels = torch.cat([level for _, level in spy.calls])
    weight = OBJECTIVE.weight(levels).flatten().double()
    plain = weight * x.repeat(3, 1).double().square().mean(1)
    torch.testing.assert_close(losses, plain.reshape(3, 7).mean(0), rtol=1e-5, atol=1e-6)
    borders = parts_of(OBJECTIVE.levels)[1:-1]
    part = torch.bucketize(levels.flatten().double(), borders)
    for k in range(8):
        assert float(parts[k]) == pytest.approx(float(plain[part == k].mean()), rel=1e-5)


def test_two_denoisers_meet_the_same_noise():
    """Today and tomorrow; another seed is other noise."""
    x, one, other, third = data(100, 3), Spy(), Spy(), Spy()
    first, second = (held_out_losses(d, x, OBJECTIVE, 700) for d in (one, other))
    assert torch.equal(first.data, second.data) and torch.equal(first.parts, second.parts)
    held_out_losses(third, x, OBJECTIVE, 700, seed=1)
    for a, b, c in zip(one.calls, other.calls, third.calls):
        assert torch.equal(a[0], b[0]) and torch.equal(a[1], b[1])
        assert not torch.equal(a[0], c[0])


def test_levels_are_spread_evenly():
    """Over all copies, and over those of each example: the golden ratio leaves no gap more than twice the mean one."""
    spy, objective = Spy(), DenoisingScoreMatching(LogUniform(math.exp(-1), 1.0))
    held_out_losses(spy, data(32, 1), objective, 2048)
    u = 1 + torch.cat([level for _, level in spy.calls]).flatten().log()
    assert float(u.sort().values.diff().max()) < 2.1 / 2048 + 1e-4
    assert float((u.reshape(-1, 32).mean(0) - 0.5).abs().max()) < 0.1


def test_the_estimate_is_that_of_the_law():
    """For Gaussian data the loss of the exact denoiser is (1/σ² + 1) σ²/(1 + σ²) = 1 at every level."""
    x = data(2048, 4)
    gaussian = Gaussian(torch.zeros(4), torch.ones(4))
    losses = held_out_losses(gaussian, x, OBJECTIVE, 2048).data
    assert abs(float(losses.mean()) - 1) < 5 * float(losses.std()) / 2048**0.5
    by_level = losses_by_level(gaussian, x, OBJECTIVE, torch.tensor([0.01, 1.0, 50.0])).mean(0)
    assert by_level.tolist() == pytest.approx([1.0] * 3, abs=5 * (2 / (4 * 2048)) ** 0.5)


def test_pairs_tell_what_means_hide():
    """A denoiser that is worse by a little is found out by 100 data, though their losses scatter ten times as much."""
    x = data(100, 3)
    good, worse = Gaussian(torch.zeros(3), torch.ones(3)), Gaussian(torch.zeros(3) + 0.3, torch.ones(3))
    first, second = (held_out_losses(d, x, OBJECTIVE, 2000).data for d in (good, worse))
    assert float(second.mean() - first.mean()) < float(first.std())
    assert excess(second, first) > 2
    assert excess(first, second) < -2


def test_excess_in_standard_errors():
    best, difference = torch.rand(50).double(), torch.randn(50).double() + 1
    expected = float(difference.mean() / (difference.std() / 50**0.5))
    assert excess(best + difference, best) == pytest.approx(expected)
    assert excess(best, best) == 0
    assert excess(best[:1] + 5, best[:1]) <= 1  # one example is never sure
    assert not excess(best, torch.full((1,), math.inf).double()) > 2
    assert not excess(torch.full((50,), math.nan).double(), best) > 2


def test_losses_by_level():
    """Of all data at each level, with the same noise each time."""
    network = MLP(3, 8, 1)
    torch.nn.init.normal_(network.output.weight)
    denoiser, x, levels = Preconditioned(network, EDMPrediction()), data(600, 3), torch.tensor([0.01, 0.5, 30.0])
    found = losses_by_level(denoiser, x, OBJECTIVE, levels)
    assert torch.equal(found, losses_by_level(denoiser, x, OBJECTIVE, levels))
    assert found.shape == (600, 3)
    spy = Spy()
    zero = losses_by_level(spy, x, OBJECTIVE, levels)
    assert [len(part) for part, _ in spy.calls] == [512, 512, 512, 264]  # of 3 × 600
    torch.testing.assert_close(zero, OBJECTIVE.weight(levels) * x.square().mean(1, keepdim=True), rtol=1e-4, atol=0)
