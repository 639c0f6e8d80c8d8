"""Sampler, steps and grid as separate arguments, as in version 0.1.0: the same numbers, with a warning."""

from __future__ import annotations

import pytest
import torch

from scorefield.denoisers import Gaussian
from scorefield.diffusion import Diffusion
from scorefield.processes import VP
from scorefield.rng import Samples
from scorefield.samplers import DDIM, Heun, Sampling, decode, encode, sample, trajectory
from scorefield.schedules import Karras, UniformTime

DATA = Gaussian(torch.ones(2).double(), torch.tensor([4.0, 0.25]).double())
DIFFUSION, RNG = Diffusion(VP(), DATA, DATA), Samples(0, count=5)
X = DATA.sample(5, Samples(1, count=5))
WARNS = pytest.warns(DeprecationWarning, match="takes one `sampling` in place of sampler, steps and grid: write samp")
CALLS = [((5, 2), DDIM(), 4, RNG), ((5, 2), "ddim", 4, RNG, True, torch.float64, "cpu", None)]


@pytest.mark.parametrize("arguments", CALLS, ids=len)
def test_separate_arguments_by_position(arguments):
    with WARNS:
        old = sample(DIFFUSION, *arguments)
    assert torch.equal(old, sample(DIFFUSION, (5, 2), "ddim(steps=4, schedule=uniformtime)", RNG))


@pytest.mark.parametrize("further", [{"grid": Karras(3)}, {"schedule": Karras(3)}, {"denoise": False, "grid": None}])
def test_separate_arguments_by_keyword(further):
    further, schedule = dict(further), further.get("grid") or further.get("schedule")
    now = Sampling(Heun(), 4, schedule or UniformTime())  # no grid meant the clock of the process
    new = trajectory(DIFFUSION, (5, 2), now, RNG, further.get("denoise", True))
    with WARNS:
        old = trajectory(DIFFUSION, (5, 2), sampler=Heun(), steps=4, rng=RNG, **further)
    for (one, x), (other, y) in zip(old, new, strict=True):
        assert one == other and torch.equal(x, y)


def test_separate_arguments_of_latents():
    sampling = Sampling(Heun(), 6, Karras())
    with WARNS:
        z = encode(DIFFUSION, X, Heun(), 6, Karras())
    assert torch.equal(z, encode(DIFFUSION, X, sampling))
    with WARNS:
        x = decode(DIFFUSION, z, Heun(), 6, Karras(), True)
    assert torch.equal(x, decode(DIFFUSION, z, sampling, True))
    with WARNS:
        assert torch.equal(decode(DIFFUSION, z, steps=6, sampler=Heun(), grid=Karras()), decode(DIFFUSION, z, sampling))


def test_an_argument_twice_is_refused():
    with pytest.raises(TypeError, match="got an argument twice, or too many: give sampling="):
        sample(DIFFUSION, (5, 2), DDIM(), 4, RNG, sampler=Heun())
    with pytest.raises(TypeError, match="got an argument twice, or too many"):
        sample(DIFFUSION, (5, 2), "ddim", RNG, sampler=Heun())
