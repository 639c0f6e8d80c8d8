"""Thin directions keep their variance: a law over processes and samplers, and the table of docs/samplers.md."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch

import properties
from scorefield.denoisers import Gaussian
from scorefield.diffusion import Diffusion
from scorefield.mcmc import MetropolisLangevin
from scorefield.processes import EDM, VE, VP, Flow, Process, SubVP, TimeWindow
from scorefield.rng import Samples
from scorefield.samplers import (
    DDIM,
    AdaptiveSDE,
    AnnealedLangevin,
    DormandPrince,
    ExponentialAdams,
    Heun,
    Restart,
    Sampler,
    Sampling,
    UniPC,
    finest_level,
    flow_sampling,
    image_sampling,
    resolving,
    sample,
    sde_sampling,
    steps_for,
    unlearned,
    variance_ratios,
)
from scorefield.schedules import ExplicitLevels, LogLevel, UniformTime

D = torch.float64
THIN, STEPS = 1e-3, 32
PAGE = (Path(__file__).parents[2] / "docs" / "samplers.md").read_text()
ROWS = {
    name: (float(low), float(high), steps)
    for name, low, high, steps in re.findall(
        r"^\| `([a-z0-9]+(?:\([^`]*\))?)` \| ([\d.]+) to ([\d.]+)[^|]* \| ([^|]+?) \|$", PAGE, re.MULTILINE
    )
}
FIXED = [name for name in ROWS if ROWS[name][2] != "its own"]


@dataclass(frozen=True)
class Own(Process):
    """A user's process: σ is 0 at t = 0, and all small levels come at its end."""

    def alpha(self, t):
        return 1 - 0.95 * t**2

    def sigma(self, t):
        return 5 * t


def processes() -> list[tuple[Process, float]]:
    """Each process with the levels for the thinnest direction and with its own, and the thinnest that these resolve."""
    found, ratio = [], finest_level(1.0)
    for process in [*properties.instances(Process, "scorefield.processes"), Own()]:
        own = process.checked()
        found.append((own, max(THIN, own.ends()[0] / ratio)))
        if not isinstance(process, TimeWindow | Own):
            found.append((process.spanning(finest_level(THIN), 80.0), THIN))
    return found


PROCESSES = processes()


def directions(thinnest: float, count: int = 7) -> torch.Tensor:
    return torch.logspace(math.log10(thinnest), 0, count, dtype=D)


def extremes(sampler: Sampler, steps: int) -> tuple[float, float]:
    """The smallest and the largest ratio of variances over processes and directions, with the default schedule."""
    ratios = torch.cat(
        [variance_ratios(Sampling(sampler, steps, process=process), directions(low)) for process, low in PROCESSES]
    )
    return float(ratios.min()), float(ratios.max())


def worst(sampler: Sampler, steps: int) -> float:
    sampling = Sampling(sampler, steps, process=EDM(finest_level(THIN), 80.0))
    return float((variance_ratios(sampling, directions(THIN)) - 1).abs().max())


def test_the_table_has_every_sampler_with_its_default_arguments():
    made = [Sampling.of(name).sampler for name in ROWS]
    defaults = {type(sampler) for sampler in made if sampler == type(sampler)()}
    samplers = properties.subclasses(Sampler, "scorefield.samplers")
    own = {kind for kind in samplers if kind.__module__.startswith("scorefield.samplers")}
    assert defaults == {kind for kind in own if not kind.consistency}  # which have no steps to resolve anything


@pytest.mark.parametrize("name", [pytest.param(n, marks=[pytest.mark.slow] * (i % 2)) for i, n in enumerate(FIXED)])
def test_variances_with_32_steps_are_those_of_the_table(name):
    """Every process, covariances of condition numbers up to 10⁶."""
    low, high, _ = ROWS[name]
    found = extremes(Sampling.of(name).sampler, STEPS)
    assert found[0] == pytest.approx(low, abs=0.0051) and found[1] == pytest.approx(high, abs=0.0051)


@pytest.mark.parametrize("name", FIXED)
def test_five_per_cent_takes_the_steps_of_the_table(name):
    sampler, steps = Sampling.of(name).sampler, ROWS[name][2]
    if steps.startswith("above"):
        assert worst(sampler, int(steps.split()[1])) > 0.05
    else:
        assert worst(sampler, int(steps)) <= 0.05 < worst(sampler, math.floor(0.7 * int(steps)))


def test_samplers_that_choose_their_steps():
    low, high, _ = ROWS["dormandprince"]
    found = extremes(DormandPrince(), 1)
    assert found[0] == pytest.approx(low, abs=0.0051) and found[1] == pytest.approx(high, abs=0.0051)
    low, high, _ = ROWS["adaptivesde"]
    process, count = EDM(finest_level(THIN), 80.0), 2000
    for s in (1.0, 0.1, AdaptiveSDE().atol):
        data = Gaussian(torch.zeros(1, dtype=D), torch.full((1,), s**2, dtype=D))
        x = sample(Diffusion(process, data, data), (count, 1), AdaptiveSDE(), Samples(0, count=count))
        slack = 3 * math.sqrt(2 / count)
        assert low - slack < float(x.var()) / s**2 < high + slack


@pytest.mark.parametrize("sampling_of", [flow_sampling, sde_sampling])
@pytest.mark.parametrize("sampler", [None, Restart()], ids=repr)
def test_the_samplers_of_fits_are_within_five_per_cent_of_every_direction(sampling_of, sampler):
    """Those that `fit` chooses, with the steps that it takes for the levels of a process, and restarts with as many."""
    for process, low in PROCESSES:
        wide = torch.tensor([2.0, 5.0, 16.0], dtype=D)  # smooth parts of fields
        sampling = Sampling(sampler).merged(sampling_of(process))
        ratios = variance_ratios(sampling, torch.cat([directions(low), wide]))
        assert float((ratios - 1).abs().max()) < 0.05, process


def test_few_steps_of_images_keep_what_can_be_seen():
    """Directions thinner than a twentieth of the standard deviation lose variance, or than five of the smallest level."""
    for process in (EDM(0.003, 55.0), EDM(0.02, 60.0), VP().spanning(0.003, 55.0), Flow().spanning(0.01, 40.0)):
        sampling = image_sampling(process)
        seen = torch.tensor([0.07, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 16.0], dtype=D)
        seen = seen[seen >= 5 * process.ends()[0]]
        assert float((variance_ratios(sampling, seen) - 1).abs().max()) < 0.08, process
        thin = torch.tensor([0.02, 0.03, 0.05], dtype=D)
        kept = variance_ratios(sampling, thin) * (
            1 + (process.ends()[0] / thin) ** 2
        )  # of what the smallest level leaves
        assert float(kept.min()) > 0.6 and float(kept.max()) < 1.06, process
        below = process.level(sampling.parts()[2]) < 8.1
        assert int(below.sum()) <= 15  # evaluations of the network, the last denoising included
        assert unlearned(sampling) == sde_sampling(process)


@pytest.mark.parametrize("sampler", [UniPC(3), Heun(), DDIM(0.5)], ids=repr)
def test_variance_ratios_are_those_of_samples(sampler):
    s, count = torch.tensor([0.8, 0.05, 0.004], dtype=D), 4000
    sampling = Sampling(sampler, 12, UniformTime(), VE(0.002, 30.0))
    data = Gaussian(torch.zeros_like(s), s**2)
    x = sample(Diffusion(sampling.process, data, data), (count, 3), sampling, Samples(1, count=count))
    found = x.square().mean(0) / s**2 / variance_ratios(sampling, s)
    assert float((found - 1).abs().max()) < 4.5 * math.sqrt(2 / count)


def test_the_clock_loses_what_the_default_keeps():
    """The figures of docs/samplers.md: variance over truth for s = 0.01, 32 steps."""
    s = torch.tensor([0.01])
    for process, kept in ((VP(), 0.05), (Flow(), 0.22), (SubVP(), 0.42)):
        clock = variance_ratios(Sampling(ExponentialAdams(3), STEPS, UniformTime(), process), s)
        assert float(clock) == pytest.approx(kept, abs=0.006)
        noisy = variance_ratios(Sampling(ExponentialAdams(2, eta=1.0), 24, UniformTime(), process), s)
        assert float(noisy) > 400
        assert float(variance_ratios(Sampling(UniPC(3), STEPS, process=process), s)) == pytest.approx(1, abs=0.015)


def test_what_the_last_denoising_takes():
    for error in (0.01, 0.05):
        for s in (1.0, 0.02):
            level = finest_level(s, error)
            assert s**2 / (s**2 + level**2) == pytest.approx(1 - error / 2, rel=1e-12)
            ratio = variance_ratios(Sampling(UniPC(3), 200, process=EDM(level, 80.0)), torch.tensor([s]))
            assert float(ratio) == pytest.approx(1 - error / 2, abs=1e-4)


@pytest.mark.parametrize("sampler", [UniPC(3), Heun(), ExponentialAdams(3, 0.5)], ids=repr)
def test_steps_for_are_enough_and_not_many_more(sampler):
    for process, low in PROCESSES[::4]:
        steps = steps_for(low * 1.5, sampler, process)
        found = [
            float((variance_ratios(Sampling(sampler, n, process=process), directions(low * 1.5)) - 1).abs().max())
            for n in (steps, math.floor(0.8 * steps))
        ]
        assert found[0] < 0.052 and found[1] > 0.045


def test_resolving_takes_levels_schedule_and_steps():
    chosen = Sampling(Heun(), process=VP())
    fine = resolving(chosen, thinnest=1e-4)
    assert fine.sampler == chosen.sampler and fine.schedule == LogLevel()
    assert fine.process.ends()[0] == pytest.approx(finest_level(1e-4), rel=1e-6)
    assert fine.process.ends()[1] == pytest.approx(VP().ends()[1], rel=1e-6)
    assert float((variance_ratios(fine, directions(1e-4)) - 1).abs().max()) < 0.05
    assert resolving(chosen.replace(steps=200), thinnest=0.1) == chosen.replace(steps=200, schedule=LogLevel())
    assert resolving(Sampling(DormandPrince(), process=VP()), 0.1).steps == 1


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: steps_for(0.01, UniPC(), VE(0.01, 50.0)), "VE ends at level 0.01, .* takes 50%.* go down to 0.0016"),
        (lambda: steps_for(0.1, DDIM(), EDM(), most=50), "DDIM on LogLevel needs more than 50 steps .* within 5%"),
        (lambda: steps_for(-1.0, DDIM(), EDM()), "positive standard deviation, got thinnest=-1"),
        (lambda: finest_level(0.1, 5), "between 0 and 1, got error=5"),
        (lambda: resolving(Sampling(Heun()), 0.1), "a sampler and a process are needed"),
        (lambda: resolving(Sampling(Heun(), None, ExplicitLevels((5.0, 1.0)), EDM()), 0.1), "levels of its own"),
        (
            lambda: variance_ratios(Sampling(AdaptiveSDE(), process=EDM()), torch.ones(1)),
            "AdaptiveSDE chooses its steps by the noise",
        ),
        (
            lambda: steps_for(0.1, AnnealedLangevin(MetropolisLangevin(0.5), 2), EDM()),
            "draws uniform numbers, as a Metropolis test does",
        ),
    ],
)
def test_what_cannot_be_is_said(call, message):
    with pytest.raises(ValueError, match=message):
        call()
