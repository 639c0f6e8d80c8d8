from __future__ import annotations

import pytest
import torch
from torch import nn

from scorefield.denoisers import Preconditioned
from scorefield.nn import MLP, FourierFeatures, UNet, choose


class Recorder(torch.nn.Module):
    """Records its input and predicts 0."""

    def forward(self, x: torch.Tensor, c: torch.Tensor) -> torch.Tensor:
        self.x = x
        return torch.zeros_like(x[:, :1])


@pytest.mark.parametrize("level", [0.01, 0.1, 1.0])
def test_features_shrink_as_the_noise_averages_them(level):
    """E sin k(x + σz) = sin(kx) e^(-k²σ²/2)."""
    period, x0, recorder = 0.5, 0.13, Recorder()
    x = x0 + level * torch.randn(200_000, 1, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    mean = torch.sin(2 * torch.pi * x / period).mean()
    network, sigma = FourierFeatures(recorder, (period,)), torch.tensor(level, dtype=torch.float64)
    network(torch.full((1, 1, 1), x0).double() / (1 + sigma**2).sqrt(), (sigma.log() / 4)[None])
    assert recorder.x.shape == (1, 3, 1)
    assert float(recorder.x[0, 1, 0]) == pytest.approx(float(mean), abs=4 / 200_000**0.5)


def test_periods_are_in_units_of_the_data_behind_a_preconditioner():
    recorder = Recorder()
    x, level = torch.tensor([[[0.3]], [[0.3]]]).double(), torch.tensor([0.01, 0.02]).double()[:, None, None]
    Preconditioned(FourierFeatures(recorder, (1.0, 8.0)))(x, level)
    k = 2 * torch.pi / 8
    expected = torch.cos(torch.tensor(k * 0.3)) * torch.exp(-((k * level) ** 2) / 2)
    torch.testing.assert_close(recorder.x[:, 4:], expected.double(), rtol=1e-6, atol=1e-6)


def test_chosen_for_fine_steps_only():
    network, reason = choose((1, 28, 28), 1000, step=0.0127)
    assert isinstance(network, FourierFeatures) and reason.endswith(
        ", with Fourier features of 5 periods for steps of 0.013"
    )
    assert network(torch.zeros(2, 1, 28, 28), torch.zeros(2)).shape == (2, 1, 28, 28)
    conditional, _ = choose((3, 16, 16), 1000, context=4, step=0.02)
    assert conditional(torch.zeros(2, 3, 16, 16), torch.zeros(2), torch.zeros(2, 4)).shape == (2, 3, 16, 16)
    for shape, step in [((1, 28, 28), 0.1), ((1, 28, 28), None), ((3, 99, 99, 99), 0.01)]:
        assert isinstance(choose(shape, 1000, step=step)[0], UNet)


def test_chosen_for_many_vectors_of_few_features():
    network, reason = choose((3,), 15_000)
    assert isinstance(network, FourierFeatures) and network.network.extra == 30
    assert reason.endswith(" for 15000 samples, with Fourier features of 5 periods")
    assert network(torch.zeros(2, 3), torch.zeros(2)).shape == (2, 3)
    for shape, count, context in [((3,), 14_999, 0), ((17,), 10**6, 0), ((3,), 15_000, 4)]:
        assert isinstance(choose(shape, count, context=context)[0], MLP)


def test_vectors_have_the_features_of_grids_of_one_point():
    generator = torch.Generator().manual_seed(0)
    x, c = torch.randn(4, 2, generator=generator), torch.randn(4, generator=generator) / 4
    recorder = Recorder()
    FourierFeatures(recorder, (1.0, 8.0))(x[..., None], c)
    grid = recorder.x[..., 0]
    FourierFeatures(recorder, (1.0, 8.0))(x, c)
    assert torch.equal(recorder.x, grid) and grid.shape == (4, 10)
    state = x * (1 + torch.exp(8 * c[:, None])).sqrt()
    size = torch.exp(-((torch.pi / 4) ** 2) * torch.exp(8 * c[:, None]) / 2)
    torch.testing.assert_close(grid[:, 8:], torch.cos(torch.pi / 4 * state) * size)


def test_bad_periods_are_refused():
    for periods in [(), (0.0,), (1.0, float("inf"))]:
        with pytest.raises(ValueError, match=r"^FourierFeatures needs positive, finite periods, got \("):
            FourierFeatures(UNet(1, 1, (8,), extra=2), periods)


def test_it_counts_the_multiplications_of_a_network_that_does():
    unet = UNet(2, 1, (8,), extra=4)
    assert FourierFeatures(unet, (0.05, 0.2)).multiplications((8, 8)) == unet.multiplications((8, 8))
    assert FourierFeatures(nn.Linear(5, 1), (0.05, 0.2)).multiplications((8, 8)) is None
