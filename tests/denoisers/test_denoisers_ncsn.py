"""The published score networks as denoisers."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from scorefield import spec
from scorefield.denoisers.ncsn import NCSNDenoiser
from scorefield.nn.refinenet import RefineNet
from scorefield.objectives import DenoisingScoreMatching, ProcessLevels
from scorefield.processes import VE
from scorefield.rng import Samples

SIGMAS = torch.tensor([1.0, 0.5, 0.1], dtype=torch.float64)


def scored(classes: int = 0, centred: bool = False) -> NCSNDenoiser:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = RefineNet(1, 2, classes=classes)
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for p in network.parameters():
            p.add_(0.2 * torch.randn(p.shape, generator=generator))
    return NCSNDenoiser(network.double(), SIGMAS, centred).requires_grad_(False)


def batch(count: int = 3) -> Tensor:
    return torch.rand(count, 1, 4, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("classes", [0, 3])
@pytest.mark.parametrize("centred", [True, False])
def test_on_the_ladder_it_is_the_published_score(classes, centred):
    """D = x + σ² s; NCSNv2 divides by the level, NCSN does not; images from 0 to 1 are centred first."""
    denoiser, x, index = scored(classes, centred), batch(), torch.tensor([2, 0, 1])
    seen = x if centred else 2 * x - 1
    level = SIGMAS[index].reshape(3, 1, 1, 1)
    score = denoiser.network.at(seen, index) / (1 if classes else level)
    torch.testing.assert_close(denoiser.score(x, index), score)
    torch.testing.assert_close(denoiser(x, level), x + level**2 * score)
    rounded = denoiser.float()(x, level)  # the state keeps its type
    torch.testing.assert_close(rounded, x + level**2 * score, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("classes", [0, 3])
def test_densities_can_be_had(classes):
    """Derivatives along a direction, as the divergence needs them, forward and backward."""
    denoiser, x, level = scored(classes), batch(), torch.tensor(0.3, dtype=torch.float64)
    v = torch.sin(torch.arange(x.numel(), dtype=torch.float64)).reshape(x.shape)
    change = (denoiser(x + 1e-6 * v, level) - denoiser(x - 1e-6 * v, level)) / 2e-6
    forward = torch.func.jvp(lambda x: denoiser(x, level), (x,), (v,))[1]
    assert float((forward - change).norm()) < 1e-3 * float(
        change.norm()
    )  # pools have kinks, which a difference may cross
    backward = torch.func.vjp(lambda x: denoiser(x, level), x)[1](v)[0]
    torch.testing.assert_close((backward * v).sum(), (forward * v).sum(), rtol=1e-9, atol=1e-9)


def test_an_unconditional_network_serves_every_level():
    denoiser, x = scored(), batch()
    for level in (1e-3, 0.3, 70.0):
        expected = x + level * denoiser.network.at(2 * x - 1)
        torch.testing.assert_close(denoiser(x, torch.tensor(level, dtype=torch.float64)), expected)


def test_between_two_levels_a_conditional_one_is_interpolated():
    denoiser, x = scored(3), batch()
    noise = [SIGMAS[i] * denoiser.score(x, torch.full((3,), i)) for i in range(3)]
    middle = (SIGMAS[1] * SIGMAS[2]).sqrt()
    torch.testing.assert_close(denoiser(x, middle), x + middle * (noise[1] + noise[2]) / 2)
    for level, nearest in ((7.0, noise[0]), (0.01, noise[2])):
        torch.testing.assert_close(denoiser(x, torch.tensor(level, dtype=torch.float64)), x + level * nearest)
    mixed = torch.stack((SIGMAS[0], middle, SIGMAS[2] / 10)).reshape(3, 1, 1, 1)
    alone = torch.cat([denoiser(x[i : i + 1], mixed[i : i + 1]) for i in range(3)])
    torch.testing.assert_close(denoiser(x, mixed), alone)


def test_its_numbers_have_the_published_names():
    state = scored().state_dict()
    assert len(state) == 154
    assert {k.split(".")[0] for k in state} == {"sigmas", "network"}
    again = spec.build(spec.describe(scored(3, True), tensors := []), tensors=tensors)
    assert (again.network.classes, again.centred) == (3, True)


def test_it_is_trained_as_it_was():
    """The recipe of NCSNv2: all levels of the ladder alike, the loss of σ s."""
    denoiser = NCSNDenoiser(RefineNet(1, 2), SIGMAS).double()
    objective = DenoisingScoreMatching(ProcessLevels(VE(0.1, 1.0), 3))
    loss = objective(denoiser, batch(8), Samples(0, count=8)).mean()
    loss.backward()
    assert all(p.grad is not None for p in denoiser.network.end_conv.parameters())


def test_what_is_no_ladder():
    network = RefineNet(1, 2)
    with pytest.raises(ValueError, match=r"needs a ladder of two noise levels or more, got the shape \(1,\)"):
        NCSNDenoiser(network, torch.ones(1))
    with pytest.raises(ValueError, match=r"decrease and are positive, got \[0\.1.*, 0\.5, 1\.0\] … 1"):
        NCSNDenoiser(network, SIGMAS.flip(0))
    with pytest.raises(ValueError, match="the network knows 2 noise levels, got 3: give it its own"):
        NCSNDenoiser(RefineNet(1, 2, classes=2), SIGMAS)
