from __future__ import annotations

import pytest
import torch

from scorefield.denoisers import (
    ConditionalPreconditioned,
    DataPrediction,
    Denoiser,
    EDMPrediction,
    FlowPrediction,
    Gaussian,
    NoisePrediction,
    Preconditioned,
    ScorePrediction,
    VPrediction,
)
from scorefield.nn import MLP, UNet
from scorefield.objectives import DenoisingScoreMatching, LogNormal, LogUniform, Objective, posterior_mean
from scorefield.rng import Steps
from scorefield.training import Flat
from scorefield.training.prepared import can_prepare, prepared_losses


def awake(network: torch.nn.Module) -> torch.nn.Module:
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for p in network.parameters():
            p.add_(0.1 * torch.randn(p.shape, generator=generator))
    return network


def gradients(network: torch.nn.Module, loss: torch.Tensor) -> torch.Tensor:
    return torch.cat([g.flatten() for g in torch.autograd.grad(loss, list(network.parameters()))])


def left(network: torch.nn.Module) -> torch.Tensor:
    """The gradients that a prepared loss left in the parameters."""
    return torch.cat([p.grad.flatten() for p in network.parameters() if p.grad is not None])


@pytest.mark.parametrize("shape", [(3,), (2, 6)])
@pytest.mark.parametrize(
    "parametrization",
    [
        EDMPrediction(),
        EDMPrediction(0.5),
        DataPrediction(),
        NoisePrediction(),
        ScorePrediction(),
        VPrediction(),
        FlowPrediction(),
    ],
)
def test_the_loss_and_its_gradient_are_those_of_the_objective(parametrization, shape):
    """A single batch meets the same levels and noise either way."""
    network = awake(MLP(3, 16, 1) if len(shape) == 1 else UNet(1, 2, (8,), embedding=8)).double()
    denoiser = Preconditioned(network, parametrization)
    objective = DenoisingScoreMatching(LogNormal(-0.5, 1.0), 0.5)
    x0 = torch.randn(20, *shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    plain = objective(denoiser, x0, Steps(3).at(5)).mean()
    expected = gradients(network, plain)
    for own in (False, True):  # by autograd, as without a place for gradients; and as the network computes them itself
        if own:
            Flat(network)
        (prepared,) = prepared_losses(objective, denoiser, x0, 1, Steps(3).at(5))
        torch.testing.assert_close(prepared(), plain.detach(), rtol=1e-9, atol=1e-12)
        torch.testing.assert_close(left(network), expected, rtol=1e-8, atol=1e-10)


def test_a_trend_is_taken_off_before_and_added_after():
    rng = torch.Generator().manual_seed(0)
    c, trend = torch.randn(20, 2, generator=rng).double(), torch.randn(2, 3, generator=rng).double()
    network = awake(MLP(3, 16, 1, context=2)).double()
    denoiser = ConditionalPreconditioned(network, (2,), True, EDMPrediction(0.5), trend=trend)
    objective = DenoisingScoreMatching(LogNormal(-0.5, 1.0), 0.5)
    x0 = c @ trend + 0.5 * torch.randn(20, 3, generator=rng).double()
    plain = objective(denoiser.given(c), x0, Steps(3).at(5)).mean()
    (prepared,) = prepared_losses(objective, denoiser, x0, 1, Steps(3).at(5), context=c)
    torch.testing.assert_close(prepared(), plain.detach(), rtol=1e-9, atol=1e-12)
    torch.testing.assert_close(left(network), gradients(network, plain), rtol=1e-8, atol=1e-10)


class Recorded(Steps):
    """Says what it drew."""

    def normal(self, *arguments, **named):
        self.z = super().normal(*arguments, **named)
        return self.z

    def stratified(self, *arguments, **named):
        self.u = [*getattr(self, "u", []), super().stratified(*arguments, **named)]
        return self.u[-1]


def test_several_batches_are_those_one_by_one():
    """Each batch has an even grid of levels of its own."""
    network = awake(MLP(3, 16, 1))
    denoiser, objective = Preconditioned(network, EDMPrediction()), DenoisingScoreMatching(LogUniform(0.1, 10))
    x0 = torch.randn(24, 3, generator=torch.Generator().manual_seed(0))
    rng = Recorded(0)
    losses = [f() for f in prepared_losses(objective, denoiser, x0, 3, rng)]
    assert [len(u) for u in rng.u] == [8, 8, 8]
    for i, (loss, u) in enumerate(zip(losses, rng.u)):
        assert float(u.sort().values.diff().std()) < 1e-6
        here = slice(8 * i, 8 * i + 8)
        level = objective.levels.draw(u)[:, None]
        x = x0[here] + level * rng.z[here]
        plain = (objective.weight(level) * (denoiser(x, level) - x0[here]) ** 2).mean()
        torch.testing.assert_close(loss, plain.detach(), rtol=1e-4, atol=1e-5)


def test_weights_that_moved_meanwhile_are_seen():
    network = awake(MLP(3, 16, 1))
    losses = prepared_losses(
        DenoisingScoreMatching(LogNormal()), Preconditioned(network, EDMPrediction()), torch.randn(8, 3), 2, Steps(0)
    )
    before = losses[1]()
    with torch.no_grad():
        network.output.bias += 1
    assert abs(float((losses[1]() - before).detach())) > 0.1


@pytest.mark.parametrize("shape", [(2,), (1, 4)])
@pytest.mark.parametrize("complete", [False, True])
def test_targets_with_less_noise(shape, complete):
    """Above some level the target is the posterior mean, below it is the example."""
    generator = torch.Generator().manual_seed(0)
    data = torch.randn(40, *shape, generator=generator)
    x0, others = data[:16], data if complete else data[16:]

    class Target(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.zero = torch.nn.Parameter(torch.zeros(()))

        def forward(self, x, c):
            return self.zero.expand(x.shape)

    denoiser, objective = Preconditioned(Target(), DataPrediction()), DenoisingScoreMatching(LogUniform(1e-3, 20))
    rng = Recorded(0)
    (refined,) = prepared_losses(objective, denoiser, x0, 1, rng, others, complete)
    level = objective.levels.draw(rng.u[0]).reshape(-1, *(1,) * len(shape))
    x = x0 + level * rng.z
    means = posterior_mean(x, level, others, None if complete else x0)
    low, high = level < 0.04, level > 0.5  # the switch lies between
    assert bool(low.any() & high.any())
    middle = torch.where(level > (0.05 if len(shape) == 1 else 0.4), means, x0)
    expected = (objective.weight(level) * middle**2).mean()
    torch.testing.assert_close(refined(), expected, rtol=1e-4, atol=1e-6)


def test_others_are_asked_a_batch_at_a_time():
    """A denoiser that is no network, and an objective that is another."""

    class Named(Objective):
        def __call__(self, denoiser: Denoiser, x0: torch.Tensor, rng) -> torch.Tensor:
            return denoiser(x0, torch.ones(())).flatten(1).sum(1) + rng.normal((1,))

    class Scaled(Denoiser):
        """Data times a number that is learned, around a denoiser that is known."""

        def __init__(self, inner: Denoiser | None = None) -> None:
            super().__init__()
            self.inner, self.factor = inner, torch.nn.Parameter(torch.ones(()))

        def forward(self, x: torch.Tensor, level: torch.Tensor) -> torch.Tensor:
            return self.factor * (x if self.inner is None else self.inner(x, level))

    gaussian, scaled = Scaled(Gaussian(torch.zeros(2), torch.ones(2))), Scaled()
    network = Preconditioned(MLP(2, 4, 1), EDMPrediction())
    x0 = torch.arange(8.0).reshape(4, 2)
    known = DenoisingScoreMatching(LogNormal())
    assert can_prepare(known, network)
    assert not can_prepare(known, gaussian)
    assert not can_prepare(Named(), network)
    found = [f() for f in prepared_losses(Named(), scaled, x0, 2, Steps(0))]
    rng = Steps(0)
    torch.testing.assert_close(found[0], x0[:2].sum(1).mean() + rng.normal(()))
    torch.testing.assert_close(found[1], x0[2:].sum(1).mean() + rng.normal(()))
    found = [f() for f in prepared_losses(known, gaussian, x0, 2, Steps(0))]
    rng = Steps(0)
    expected = torch.stack([known(gaussian, part, rng).mean() for part in x0.chunk(2)])
    assert torch.equal(torch.stack(found), expected.detach())
