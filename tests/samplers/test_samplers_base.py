from __future__ import annotations

import pytest
import torch
from torch import Tensor

from scorefield.denoisers import Denoiser
from scorefield.diffusion import Diffusion
from scorefield.processes import EDM, VP
from scorefield.rng import Samples
from scorefield.samplers import DDIM, Heun, Sampling, sample, trajectory
from scorefield.schedules import UniformTime

D = torch.float64


class Wrong(Denoiser):
    """Answers until a level is reached, and then no number."""

    def __init__(self, below: float) -> None:
        super().__init__()
        self.below = below

    def forward(self, x: Tensor, level: Tensor) -> Tensor:
        return torch.where(level < self.below, torch.full_like(x, torch.nan), x / (1 + level**2))


@pytest.fixture
def diffusion(mixture) -> Diffusion:
    return Diffusion(EDM(), mixture, mixture.moments())


def test_the_way_leads_down_all_levels(diffusion):
    way = list(trajectory(diffusion, (3, 2), Sampling(Heun(), 5, UniformTime()), Samples(0, count=3)))
    levels = torch.tensor([level for level, _ in way], dtype=D)
    times = torch.linspace(1, 0, 6, dtype=D)
    torch.testing.assert_close(levels[:-1], diffusion.process.level(times))
    assert levels[-1] == 0
    assert all(x.shape == (3, 2) and x.dtype == D for _, x in way)


def test_it_begins_with_the_prior_and_ends_with_the_mean(diffusion):
    rng = Samples(0, count=3)
    way = [x for _, x in trajectory(diffusion, (3, 2), Sampling(Heun(), 5), rng)]
    assert torch.equal(way[0], diffusion.prior((3, 2), Samples(0, count=3).child("prior")))
    assert torch.equal(way[-1], diffusion.split(way[-2], torch.tensor(0.0, dtype=D))[0])
    noisy = [x for _, x in trajectory(diffusion, (3, 2), Sampling(Heun(), 5), Samples(0, count=3), denoise=False)]
    assert len(noisy) == len(way) - 1
    assert torch.equal(noisy[-1], way[-2])


def test_sample_is_the_end_of_the_way(diffusion):
    for denoise in (True, False):
        *_, (_, last) = trajectory(diffusion, (3, 2), Sampling(DDIM(1.0), 5), Samples(0, count=3), denoise)
        assert torch.equal(sample(diffusion, (3, 2), Sampling(DDIM(1.0), 5), Samples(0, count=3), denoise), last)


def test_fresh_noise_is_not_that_of_the_prior(diffusion):
    rng = Samples(0, count=3)
    prior, step = rng.child("prior").normal((3, 2), D), rng.normal((3, 2), D)
    assert not torch.isclose(prior, step).any()


def test_a_sampler_is_a_pure_recipe(diffusion):
    """The same rng gives the same samples, twice from one object and from another."""
    sampler = DDIM(1.0)
    drawn = [sample(diffusion, (4, 2), Sampling(s, 4), Samples(1, count=4)) for s in (sampler, sampler, DDIM(1.0))]
    assert torch.equal(drawn[0], drawn[1])
    assert torch.equal(drawn[0], drawn[2])


def test_types(mixture):
    diffusion = Diffusion(EDM(), mixture.float(), mixture.moments())
    x = sample(diffusion, (3, 2), Sampling(Heun(), 4), Samples(0, count=3), dtype=torch.float32)
    assert x.dtype == torch.float32


def test_gradients_are_off_inside_and_on_in_the_loop(diffusion):
    """Also where the loop is left before its end."""
    weight = torch.nn.Parameter(torch.ones((), dtype=D))

    class WeightedSamples(Denoiser):
        def __init__(self) -> None:
            super().__init__()
            self.weight = weight

        def forward(self, x: Tensor, level: Tensor) -> Tensor:
            return self.weight * x / (1 + level**2)

    way = trajectory(Diffusion(VP(), WeightedSamples()), (3, 2), Sampling(Heun(), 4), Samples(0, count=3))
    for _, x in way:
        assert not x.requires_grad
        assert torch.is_grad_enabled()
        break
    assert torch.is_grad_enabled()
    assert not next(way)[1].requires_grad


@pytest.mark.parametrize("steps", [0, -3])
def test_a_sampler_takes_a_step(diffusion, steps):
    with pytest.raises(ValueError, match=f"a sampler needs at least 1 step, got steps={steps}"):
        sample(diffusion, (3, 2), Sampling(Heun(), steps), Samples(0, count=3))


def test_a_state_that_is_not_finite_stops_the_loop():
    """With the level at which it did, and what to turn."""
    start = r"^DDIM gave a state that is non-finite \(NaN or inf\) at level 333 \(t = 0\.333\): "
    message = start + "Wrong returns non-finite values at level 667, from a finite state"
    with pytest.raises(RuntimeError, match=message):
        sample(
            Diffusion(EDM(0.01, 1000.0, 1.0), Wrong(700.0)),
            (3, 2),
            Sampling(DDIM(), 3, UniformTime()),
            Samples(0, count=3),
        )


def test_one_step_and_one_sample(diffusion):
    x = sample(diffusion, (1, 2), Sampling(Heun(), 1), Samples(0, start=5, count=1))
    assert bool(torch.isfinite(x).all())
