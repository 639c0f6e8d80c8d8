"""Mistakes in parts of users: refused with what the part returned and what it must return, and never blamed on the steps."""

from __future__ import annotations

import math
import warnings

import pytest
import torch

from scorefield.denoisers import Denoiser
from scorefield.diffusion import Diffusion
from scorefield.processes import EDM, VE, VP, Process
from scorefield.rng import Samples
from scorefield.samplers import DDIM, Heun, OneStepSampler, Sampling, encode, sample
from scorefield.schedules import ExplicitLevels, Schedule
from test_processes_of_users import GAUSSIAN, MIXTURE, Alpha, model_of


class Made(Denoiser):
    def __init__(self, answer) -> None:
        super().__init__()
        self.answer = answer

    def forward(self, x, level):
        return self.answer(x)


class Step(OneStepSampler):
    deterministic = True

    def __init__(self, answer) -> None:
        self.answer = answer

    def step(self, diffusion, x, t, s, rng):
        return self.answer(x, rng)


class Listed(Schedule):
    def __init__(self, answer) -> None:
        self.answer = answer

    def levels(self, process, count):
        return self.answer(count)


def drawn(denoiser=MIXTURE, sampler=DDIM(), schedule=None):  # noqa: B008
    return sample(Diffusion(EDM(), denoiser), (3, 2), Sampling(sampler, 4, schedule), Samples(0, count=3))


@pytest.mark.parametrize(
    "answer, got",
    [
        (lambda x: None, "Made returned NoneType"),
        (lambda x: x.numpy(), "Made returned ndarray"),
        (lambda x: x[:, :1], r"Made returned a tensor of shape \(3, 1\)"),
        (lambda x: x[:1], r"Made returned a tensor of shape \(1, 2\)"),
        (lambda x: x + 0j, "and torch.complex128"),
        (lambda x: x.long(), "and torch.int64"),
    ],
)
def test_denoisers(answer, got):
    with pytest.raises(TypeError, match=rf"{got}.*: forward\(x, level\) must return a real tensor of the shape of x"):
        drawn(Made(answer))


@pytest.mark.parametrize(
    "answer, error, got",
    [
        (lambda x, rng: None, TypeError, "Step gave a state of NoneType at level .* it must be a tensor of shape"),
        (lambda x, rng: x[:1], TypeError, r"Step gave a state of shape \(1, 2\)"),
        (lambda x, rng: x + 0j, TypeError, "Step gave a state of type torch.complex128 .* keep .* torch.float64"),
        (lambda x, rng: x.float(), TypeError, "Step gave a state of type torch.float32"),
        (lambda x, rng: x / 0, RuntimeError, "the denoiser's mean before were finite: correct the step of Step"),
    ],
)
def test_samplers(answer, error, got):
    with pytest.raises(error, match=got):
        drawn(sampler=Step(answer))


def test_a_denoiser_that_is_not_finite_is_named():
    for sampler in (DDIM(), Heun()):
        with pytest.raises(
            RuntimeError, match="Made returns non-finite values at level 80, from a finite state: correct it"
        ):
            drawn(Made(lambda x: x * math.nan), sampler)


@pytest.mark.parametrize("draw", [lambda r, x: r.normal_like(x), lambda r, x: r.child("a").uniform(x.shape, x.dtype)])
def test_a_sampler_that_is_not_deterministic_is_refused_for_latents(draw):
    with pytest.raises(ValueError, match="Step says that it is deterministic, and draws noise"):
        encode(
            Diffusion(EDM(), GAUSSIAN, GAUSSIAN), torch.zeros(3, 2).double(), Sampling(Step(lambda x, r: draw(r, x)), 4)
        )


@pytest.mark.parametrize(
    "answer, error, got",
    [
        (lambda count: None, TypeError, r"Listed.levels must return a tensor of 5 levels, got NoneType"),
        (lambda count: [3.0, 2.0, 1.0, 0.5, 0.1], TypeError, "must return a tensor of 5 levels, got list"),
        (lambda count: torch.linspace(3, 1, 4), ValueError, r"must return 5 levels, shape \(5,\), got \(4,\)"),
        (lambda count: torch.linspace(90, 1, 5), ValueError, r"between 80 and 0.002, those of EDM; it gives \[90.0"),
        (lambda count: torch.ones(5), ValueError, "must give levels that decrease"),
        (lambda count: torch.full((5,), math.nan), ValueError, "must give levels that decrease"),
    ],
)
def test_schedules(answer, error, got):
    with pytest.raises(error, match=got):
        drawn(schedule=Listed(answer))


@pytest.mark.parametrize(
    "alpha, error, got",
    [
        (lambda t: math.cos(t), TypeError, r"Alpha.alpha must take a tensor of times.* use torch.cos, not math.cos"),
        (lambda t: -1 + 0 * t, ValueError, r"Alpha.alpha is -1 at t = 0: it must be positive"),
        (lambda t: 1 - t, ValueError, r"Alpha.alpha is 0 at t = 1: it must be positive"),
        (lambda t: 1.0, TypeError, r"must return a tensor of the shape of t"),
    ],
)
def test_processes_chosen_when_sampling(alpha, error, got):
    with pytest.raises(error, match=got):
        model_of(GAUSSIAN).sample(3, process=Alpha(alpha, lambda t: 0.01 + 20 * t))


class Tiny(Process):
    def alpha(self, t):
        return torch.ones_like(t)

    def sigma(self, t):
        return 1e-3 + 1e-2 * t


@pytest.mark.parametrize(
    "how, level",
    [
        ({"process": Tiny()}, "0.011"),
        ({"process": "ve(sigma_max=0.5)"}, "0.5"),
        ({"sampler": "ddim(steps=4, process=vp(beta_max=1))"}, "0.856"),
        ({"schedule": ExplicitLevels((0.5, 0.1))}, "0.5"),
    ],
    ids=["own process", "ve", "vp", "levels"],
)
def test_sampling_must_start_where_the_data_are_drowned(how, level):
    model, said = model_of(MIXTURE), f"sampling starts at the level {level}, .* 3 or above; .* learned levels up to 80"
    with pytest.raises(ValueError, match=said):
        model.sample(3, **how)
    with pytest.raises(ValueError, match=said):
        model.encode(MIXTURE.means.numpy(), **{**how, "sampler": how.get("sampler", "heun")})


def test_sampling_that_starts_a_little_low_warns():
    with pytest.warns(
        UserWarning, match="starts at the level 4, .*: 6% of the first state's variance is data; .* to 80"
    ):
        model_of(MIXTURE).sample(3, process=VE(0.01, 4.0))


def test_what_was_learned_is_enough():
    """No warning where the model knows no larger levels, or for processes that take the levels of the model."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model_of(MIXTURE, VE(0.01, 2.0)).sample(3, process=VE(0.02, 1.9))
        model_of(MIXTURE, VE(0.01, 2.0)).encode(MIXTURE.means.numpy())
        model_of(MIXTURE).sample(3, process=VP())
