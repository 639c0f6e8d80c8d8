"""Mistakes in parts of users: refused with what the part returned and what it must return, and never blamed on the steps."""

from __future__ import annotations

import math
import warnings

import numpy as np
import pytest
import torch

from scorefield import fit, load
from scorefield.classifier_guidance import fit_classifier
from scorefield.denoisers import Denoiser, NoisyClassifier, Preconditioned
from scorefield.diffusion import Diffusion
from scorefield.objectives import DenoisingScoreMatching, LogNormal
from scorefield.processes import EDM, VE, VP, Process
from scorefield.rng import Samples, Steps
from scorefield.samplers import (
    DDIM,
    DPM2S,
    AdaptiveSDE,
    AnnealedLangevin,
    Churn,
    DormandPrince,
    Heun,
    OneStepSampler,
    Sampling,
    StochasticHeun,
    UniPC,
    encode,
    sample,
)  # fmt: skip
from scorefield.schedules import ExplicitLevels, Schedule
from scorefield.settings import Network
from scorefield.training.prepared import prepared_losses
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


class Wrong(Denoiser):
    """A denoiser that answers with a number for each sample."""

    def forward(self, x, level):
        return x.mean(1)


class Short(Denoiser):
    """That of standard normal data, which answers in float32."""

    def forward(self, x, level):
        return (x / (1 + level**2)).float()


SAMPLERS = (Heun(), UniPC(), DPM2S(), Churn(), StochasticHeun(), DormandPrince(), AdaptiveSDE(), AnnealedLangevin())


@pytest.mark.parametrize("sampler", SAMPLERS, ids=lambda sampler: type(sampler).__name__)
def test_every_sampler_checks_what_a_denoiser_returns(sampler):
    x, how = torch.ones(3, 2, dtype=torch.float64), Sampling(sampler, 3)
    with pytest.raises(
        TypeError, match=r"^Wrong returned a tensor of shape \(\d,\).* must return a real tensor of the shape of x"
    ):
        sample(Diffusion(EDM(), Wrong(), GAUSSIAN), (3, 2), how, Samples(0, count=3))
    found = sample(Diffusion(EDM(), Short(), GAUSSIAN), (3, 2), how, Samples(0, count=3))
    assert found.shape == x.shape and bool(found.isfinite().all())


def test_a_diffusion_needs_a_denoiser():
    with pytest.raises(TypeError, match=r"^a Diffusion needs a denoiser, got a function: derive"):
        Diffusion(EDM(), lambda x, level: x)


class Net(torch.nn.Module):
    """A network whose answer is spoiled, and which takes no context."""

    def __init__(self, spoil):
        super().__init__()
        self.layer, self.spoil = torch.nn.Linear(2, 2), spoil

    def forward(self, x, c):
        return self.spoil(self.layer(x))


@pytest.mark.parametrize(
    "spoil, options, named",
    [
        (lambda y: y.detach(), {}, r"numbers that no gradient reaches: do not detach them$"),
        (lambda y: y + 0j, {}, r"got torch.complex64$"),
        (
            lambda y: y @ torch.ones(3, 2),
            {},
            r"take F\(x, c\) of shapes \(2, 2\), \(2,\), and failed: .*shapes",
        ),
        (
            lambda y: y,
            {"context": np.arange(40) % 2},
            r"take F\(x, c, context\) of shapes .*, \(2, 3\), and failed: .*posi",
        ),
    ],
)
def test_what_a_network_does_wrong_is_one_line(spoil, options, named):
    with pytest.raises(ValueError, match=named):
        fit(np.random.default_rng(0).normal(size=(40, 2)), network=Net(spoil), steps=1, **options)


def test_an_answer_that_would_broadcast_is_refused():
    denoiser = Preconditioned(Net(lambda y: y[:, :1]))
    with pytest.raises(
        ValueError, match=r"^Net must answer with real numbers of the shape of the state, \(3, 2\), got"
    ):
        denoiser(torch.zeros(3, 2), torch.ones(()))
    losses = prepared_losses(DenoisingScoreMatching(LogNormal()), denoiser, torch.zeros(4, 2), 1, Steps(0))
    with pytest.raises(ValueError, match=r"^the network must answer with real numbers"):
        losses[0]()


def test_one_width_is_a_tuple_of_one():
    assert Network(widths=32).widths == (32,)


class Logits(torch.nn.Module):
    """A classifier that gives so many logits."""

    def __init__(self, count):
        super().__init__()
        self.layer = torch.nn.Linear(2, count)

    def forward(self, x, c):
        return self.layer(x)


@pytest.mark.parametrize(
    "classifier, label, named",
    [
        (NoisyClassifier(Logits(3)), 7, "the classifier gives the 3 classes 0 to 2, got label=7"),
        (NoisyClassifier(Logits(3)), -1, "classes without names are numbered from 0, got label=-1"),
        (NoisyClassifier(Logits(3)), "a", "classes without names are numbered from 0, got label='a'"),
        (NoisyClassifier(Logits(1), names=("a", "b", "c")), "b", r"must give logits \(1, 3\), got shape \(1, 1\)"),
        (NoisyClassifier(Logits(1)), 0, r"must give logits \(1, classes\), two classes or more, got shape \(1, 1\)"),
        (Logits(3), 0, r"a NoisyClassifier, got a Logits: guide\(NoisyClassifier\(network\), "),
    ],
)
def test_a_classifier_that_does_not_fit_is_refused_before_sampling(classifier, label, named):
    with pytest.raises((ValueError, TypeError), match=named):
        model_of(GAUSSIAN).guide(classifier, label=label)


def test_a_classifier_is_trained():
    with pytest.raises(ValueError, match="needs steps and batch of at least 1, got steps=0"):
        fit_classifier(model_of(GAUSSIAN), np.zeros((4, 2)), [0, 1, 0, 1], steps=0)


def test_states_are_real_numbers():
    with pytest.raises(TypeError, match=r"^states are real numbers, got dtype=torch.int64"):
        sample(
            Diffusion(EDM(), GAUSSIAN, GAUSSIAN), (3, 2), Sampling(Heun(), 3), Samples(0, count=3), dtype=torch.int64
        )


def test_bfloat16_is_read():
    x = torch.linspace(0, 1, 80).reshape(40, 2)
    assert fit(x.bfloat16(), steps=1).sample(2).shape == (2, 2)


def test_an_array_is_no_damaged_model(tmp_path):
    np.save(tmp_path / "x.npy", np.zeros((3, 2)))
    with pytest.raises(ValueError, match=r"x.npy holds an array, not a model: name the folder of a run"):
        load(tmp_path / "x.npy")
