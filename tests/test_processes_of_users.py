"""Processes of users: what begins at level 0 is sampled rightly, what cannot be used is refused before any step."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import pytest
import torch

import scorefield.posterior
import scorefield.processes
import scorefield.samplers
from properties import suited
from scorefield.data import Schema
from scorefield.denoisers import Denoiser, Gaussian, Mixture
from scorefield.diffusion import Diffusion
from scorefield.likelihood import log_prob
from scorefield.model import Model, load
from scorefield.processes import EDM, VE, VP, Process, TimeWindow
from scorefield.rng import Samples
from scorefield.samplers import DDIM, AnnealedLangevin, ConsistentAnnealed, Heun, Sampler, Sampling, sample
from scorefield.schedules import DDPM, Angle, ExplicitLevels, Karras, LogLevel, Schedule, UniformTime
from scorefield.units import Standardize

D = torch.float64
GAUSSIAN = Gaussian(torch.tensor([0.5, -1.0], dtype=D), torch.tensor([[1.0, 0.4], [0.4, 0.5]], dtype=D))
MIXTURE = Mixture(
    torch.tensor([[-2.0, 0.0], [2.0, 1.0]], dtype=D),
    torch.tensor([0.3, 0.5], dtype=D),
    torch.tensor([0.3, 0.7], dtype=D),
)


@dataclass(frozen=True)
class Own(Process):
    """The example of the fault: σ is 0 at t = 0."""

    def alpha(self, t):
        return 1 - 0.9 * t

    def sigma(self, t):
        return 10 * t


SAMPLERS = [
    kind()
    for module in (scorefield.samplers, scorefield.posterior)
    for kind in vars(module).values()
    if isinstance(kind, type) and issubclass(kind, Sampler) and not kind.__abstractmethods__
]
PROCESSES = [
    kind()
    for kind in vars(scorefield.processes).values()
    if isinstance(kind, type) and issubclass(kind, Process) and not kind.__abstractmethods__ and kind is not TimeWindow
]


def model_of(denoiser: Denoiser, process: Process = EDM(0.002, 80.0)) -> Model:  # noqa: B008
    units = Standardize((2,), torch.zeros(2, dtype=D), torch.ones(2, dtype=D))
    sampling = Sampling(scorefield.samplers.ExponentialAdams(3), 32, process=process)
    moments = denoiser if isinstance(denoiser, Gaussian) else denoiser.moments()
    return Model(Schema.of(np.zeros((2, 2))), units, denoiser, moments, sampling)


def check_gaussian(x: torch.Tensor, distribution: Gaussian, slack: float) -> None:
    """Mean and covariance within 5 standard errors, and `slack` for the error of the steps, in standard deviations."""
    std, n = distribution.covariance.diagonal().sqrt(), len(x)
    assert float(((x.mean(0) - distribution.mean) / std).abs().max()) < 5 / math.sqrt(n) + slack
    covariance = (x - x.mean(0)).T @ (x - x.mean(0)) / n
    assert (
        float(((covariance - distribution.covariance) / (std[:, None] * std)).abs().max())
        < 5 * math.sqrt(2 / n) + 2 * slack
    )


@pytest.mark.parametrize("sampler", SAMPLERS, ids=repr)
def test_every_sampler_is_right_on_a_process_that_begins_at_level_zero(sampler):
    biased = isinstance(sampler, AnnealedLangevin | ConsistentAnnealed) or type(sampler).__name__ == "RePaint"
    steps = 1 if sampler.adaptive else 48 if type(sampler).__name__ == "RePaint" else 96
    chosen = Sampling(sampler, steps, LogLevel())
    x = sample(Diffusion(Own(), suited(sampler, GAUSSIAN), GAUSSIAN), (2000, 2), chosen, Samples(0, count=2000))
    check_gaussian(x, GAUSSIAN, 0.1 if biased else 0.05)


@pytest.mark.parametrize(
    "schedule", [UniformTime(), Karras(), LogLevel(), Angle(), DDPM(), ExplicitLevels((90.0, 9, 0.9, 0.09))]
)
def test_every_schedule_can_be_had_on_it(schedule):
    steps = None if schedule.steps else 40
    x = sample(Diffusion(Own(), GAUSSIAN, GAUSSIAN), (500, 2), Sampling(Heun(), steps, schedule), Samples(0, count=500))
    assert bool(torch.isfinite(x).all()) and float(x.std()) < 5


def test_a_model_on_it_samples_encodes_scores_and_is_kept(tmp_path):
    model = model_of(GAUSSIAN, Own())
    x = torch.as_tensor(model.sample(2000))
    check_gaussian(x, GAUSSIAN, 0.03)
    np.testing.assert_allclose(model.decode(model.encode(x[:5])), x[:5], atol=5e-3)
    found = model.log_prob(x[:5]).value
    np.testing.assert_allclose(found, GAUSSIAN.log_prob(x[:5], torch.zeros((), dtype=D)), atol=0.01)
    low, high = model.process.ends()
    assert low == pytest.approx(0.01, rel=1e-6) and high == pytest.approx(100, rel=1e-9)
    assert Own().checked() == model.process
    flow = log_prob(Diffusion(Own().checked(), GAUSSIAN, GAUSSIAN), x[:3])
    assert bool(torch.isfinite(flow.value).all())


def test_what_has_positive_levels_is_left_as_it_is():
    for process in PROCESSES:
        assert process.checked() is process


class Alpha(Process):
    def __init__(self, alpha, sigma) -> None:
        self.scales = alpha, sigma

    def alpha(self, t):
        return self.scales[0](t)

    def sigma(self, t):
        return self.scales[1](t)


@pytest.mark.parametrize(
    "alpha, sigma, error, said",
    [
        (lambda t: 1 - t, lambda t: t, ValueError, r"Alpha.alpha is 0 at t = 1: it must be positive"),
        (lambda t: 1 + 0 * t, lambda t: 2 - t, ValueError, "is 2 at t = 0 and does not increase from there"),
        (lambda t: 1 + 0 * t, lambda t: 1 + 0 * t, ValueError, "is 1 at t = 0 and does not increase from there"),
        (lambda t: 1 + 0 * t, lambda t: t - 0.1, ValueError, "is -0.1 at t = 0 and .* must start at 0 or above"),
        (lambda t: 1 + 0 * t, torch.log, ValueError, r"Alpha.sigma is -inf at t = 0: the scales .* must be finite"),
        (lambda t: t / t, lambda t: t, ValueError, r"Alpha.alpha is nan at t = 0"),
        (
            lambda t: 1.0,
            lambda t: t,
            TypeError,
            r"Alpha.alpha\(t\) must return a tensor of the shape of t, .*got float",
        ),
        (
            lambda t: t.mean(),
            lambda t: t,
            TypeError,
            r"must return a tensor of the shape of t, \(129,\), got shape \(\)",
        ),
    ],
)
def test_what_cannot_be_used_is_refused_before_any_step(alpha, sigma, error, said):
    class Never(Denoiser):
        def forward(self, x, level):
            raise AssertionError("a step was made")

    with pytest.raises(error, match=said):
        sample(Diffusion(Alpha(alpha, sigma), Never()), (2, 2), Sampling(DDIM(), 3), Samples(0, count=2))
    with pytest.raises(error, match=said):
        model_of(GAUSSIAN, Alpha(alpha, sigma))


@pytest.mark.parametrize("levels", [(0.002, 80.0), (0.05, 5.0), (1e-4, 1000.0), (0.3, 0.9)], ids=str)
@pytest.mark.parametrize("process", PROCESSES, ids=lambda process: type(process).__name__)
def test_processes_span_the_levels_that_are_asked_for(process, levels):
    found = process.spanning(*levels)
    np.testing.assert_allclose(found.ends(), levels, rtol=1e-6)
    assert found.checked() is found
    np.testing.assert_allclose(found.spanning(0.01, 10.0).ends(), (0.01, 10.0), rtol=1e-6)
    if not isinstance(found, TimeWindow):
        assert type(found) is type(process)


def test_a_process_keeps_its_levels_that_are_within_others():
    assert VE(0.01, 10.0).within(0.002, 80.0) == VE(0.01, 10.0)
    np.testing.assert_allclose(VE(1e-3, 10.0).within(0.002, 80.0).ends(), (0.002, 10.0), rtol=1e-9)
    np.testing.assert_allclose(VP().within(0.01, 20.0).ends(), (0.01, 20.0), rtol=1e-9)
    t = torch.linspace(0, 1, 9, dtype=D)
    window = VP().within(0.01, 20.0)
    whole = VP().time(window.level(t))
    torch.testing.assert_close(window.alpha(t), VP().alpha(whole), rtol=1e-9, atol=0)
    with pytest.raises(ValueError, match=r"VE has levels 0.01 to 10, and needs some between 20 and 30"):
        VE(0.01, 10.0).within(20.0, 30.0)
    assert EDM().matched(0.01, 10.0) == EDM(0.01, 10.0) and EDM(0.1, 5.0).matched(0.01, 10.0) == EDM(0.1, 5.0)
    for wrong in ((0.5, 0.5), (-0.1, 1.0), (0.0, 1.1)):
        with pytest.raises(ValueError, match="TimeWindow needs 0 <= start < stop <= 1"):
            TimeWindow(VP(), *wrong)


@pytest.mark.parametrize("process", [*PROCESSES, Own()], ids=lambda process: type(process).__name__)
def test_a_model_can_be_sampled_with_any_process(process):
    """Weights, means and variances of both modes of an exact mixture, with the default sampler and steps."""
    model, count = model_of(MIXTURE), 4000
    x = torch.as_tensor(model.sample(count, process=process))
    right = x[:, 0] > 0
    assert abs(float(right.double().mean()) - 0.7) < 5 * math.sqrt(0.21 / count) + 0.01
    for part, mean, std in ((x[~right], MIXTURE.means[0], 0.3), (x[right], MIXTURE.means[1], 0.5)):
        assert float((part.mean(0) - mean).abs().max()) < 5 * std / math.sqrt(len(part)) + 0.02
        assert float((part.std(0) / std - 1).abs().max()) < 5 / math.sqrt(2 * len(part)) + 0.03


def test_the_process_of_a_call_takes_the_levels_of_the_model(tmp_path):
    model = model_of(MIXTURE)
    levels = [level for level, _ in model.trajectory(3, sampler="ddim(steps=4, process=vp)")]
    np.testing.assert_allclose((levels[0], levels[-2]), (80.0, 0.002), rtol=1e-6)
    levels = [level for level, _ in model.trajectory(3, steps=4, process="ve(sigma_min=0.5, sigma_max=7)")]
    np.testing.assert_allclose((levels[0], levels[-2]), (7.0, 0.5), rtol=1e-6)
    same = model.sample(50, 3, "ddim(steps=9)", process="vp")
    np.testing.assert_array_equal(same, model.sample(50, 3, Sampling(DDIM(), 9, process=VP())))
    np.testing.assert_allclose(
        same, model.sample(50, 3, "ddim(steps=9)"), atol=1e-12
    )  # the same levels, of another clock
    clock = {"sampler": "ddim(steps=9, schedule=uniformtime)"}
    assert np.abs(model.sample(50, 3, **clock, process="vp") - model.sample(50, 3, **clock)).max() > 1e-3
    other = model_of(MIXTURE, VP())
    other.save(tmp_path / "m.safetensors")
    assert load(tmp_path / "m.safetensors").sampling == other.sampling


def test_what_a_user_s_schedule_returns_is_checked():
    class Listed(Schedule):
        def levels(self, process, count):
            return [1.0, 0.5]

        def times(self, process, steps):
            return [1.0, 0.5]

    class Rising(Schedule):
        def levels(self, process, count):
            return torch.linspace(0.1, 1, count, dtype=D)

    with pytest.raises(TypeError, match=r"Listed.times must return a tensor, got list"):
        Sampling(DDIM(), 1, Listed(), EDM()).times()
    with pytest.raises(
        ValueError, match=r"Rising must give levels that decrease between 80 and 0\.002, those of EDM; it gives"
    ):
        sample(Diffusion(EDM(), MIXTURE), (2, 2), Sampling(DDIM(), 3, Rising()), Samples(0, count=2))
