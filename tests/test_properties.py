"""Runs the laws over all classes that there are."""

from __future__ import annotations

import inspect
import json
from dataclasses import dataclass
from pathlib import Path

import pytest

import laws
from scorefield.denoisers import Denoiser, EDMPrediction, Parametrization
from scorefield.objectives import LevelDistribution, Objective
from scorefield.processes import VP, Process
from scorefield.samplers import DDIM, AdaptiveSampler, Sampler

PROCESSES = laws.instances(Process, "scorefield.processes")
PARAMETRIZATIONS = laws.instances(Parametrization, "scorefield.denoisers")
SAMPLERS = laws.instances(Sampler, "scorefield.samplers")
OBJECTIVES = laws.instances(Objective, "scorefield.objectives")
LEVELS = laws.instances(LevelDistribution, "scorefield.objectives")


def test_introspection_finds_the_known_ones():
    names = {type(value).__name__ for value in (*PROCESSES, *PARAMETRIZATIONS, *SAMPLERS, *LEVELS)}
    known = {
        "VE",
        "VP",
        "SubVP",
        "EDM",
        "Cosine",
        "Flow",
        "TutorialVE",
        "EDMPrediction",
        "VPrediction",
        "DDIM",
        "Heun",
        "DPM",
    }
    known |= {"AnnealedLangevin", "AdaptiveSDE"}
    assert known | {"ExponentialAdams", "UniPC", "SRA1", "ProcessLevels", "LogNormal", "LogUniform"} <= names


def test_a_class_that_needs_arguments_must_get_them(monkeypatch):
    monkeypatch.delitem(laws.VARIANTS, "LogUniform")
    with pytest.raises(LookupError, match=r"LogUniform needs \['low', 'high'\]"):
        laws.instances(LevelDistribution, "scorefield.objectives")


@pytest.mark.parametrize(
    "base", [Process, Parametrization, Sampler, LevelDistribution, Objective, Denoiser], ids=laws.label
)
def test_classes_are_abstract_or_final(base):
    for cls in laws.subclasses(base, "scorefield.processes", "scorefield.denoisers", "scorefield.samplers"):
        heirs = [heir for heir in cls.__subclasses__() if heir.__module__.startswith("scorefield.")]
        assert not heirs, f"{cls.__name__} is concrete, yet {heirs} inherit from it"
    assert inspect.isabstract(base)


@pytest.mark.parametrize("value", [*PROCESSES, *PARAMETRIZATIONS, *SAMPLERS, *LEVELS, *OBJECTIVES], ids=laws.label)
def test_values(value):
    laws.is_a_frozen_value(value)


PROCESS_LAWS = [
    laws.level_increases,
    laws.data_become_noise,
    laws.time_inverts_level,
    laws.rates_are_derivatives,
    laws.noise_is_added,
    laws.sde_has_the_marginals,
    laws.float32_is_enough,
    laws.times_broadcast,
]


@pytest.mark.parametrize("law", PROCESS_LAWS, ids=lambda law: law.__name__)
@pytest.mark.parametrize("process", PROCESSES, ids=laws.label)
def test_processes(process, law):
    law(process)


@pytest.mark.parametrize("parametrization", PARAMETRIZATIONS, ids=laws.label)
def test_parametrizations(parametrization):
    laws.coefficients_are_smooth(parametrization)
    for other in (*PARAMETRIZATIONS, EDMPrediction(0.3)):
        laws.answers_determine_the_mean(parametrization, other)


FIXED = [
    sampler for sampler in SAMPLERS if not isinstance(sampler, AdaptiveSampler)
]  # others are no affine map of their noise


@pytest.mark.parametrize("process", PROCESSES, ids=lambda process: type(process).__name__)
@pytest.mark.parametrize("sampler", FIXED, ids=laws.label)
def test_samplers_converge_to_the_marginals(sampler, process):
    laws.converges_to_the_marginals(sampler, process)


@pytest.mark.parametrize("sampler", FIXED, ids=laws.label)
def test_samplers_have_their_recorded_moments(sampler):
    laws.has_its_recorded_moments(sampler, json.loads(Path(__file__).with_name("moments.json").read_text()))


@pytest.mark.parametrize("law", [laws.ignores_companions, laws.visits_all_times], ids=lambda law: law.__name__)
@pytest.mark.parametrize("process", PROCESSES, ids=lambda process: type(process).__name__)
@pytest.mark.parametrize("sampler", SAMPLERS, ids=laws.label)
def test_samplers(sampler, process, law):
    law(sampler, process)


@pytest.mark.parametrize("levels", LEVELS, ids=laws.label)
def test_levels(levels):
    laws.draw_is_a_quantile(levels)


def test_the_laws_can_be_broken():
    """A law that nothing can break tells nothing."""

    class Falling(Process):
        def alpha(self, t):
            return 1 + 0 * t

        def sigma(self, t):
            return 1 - t / 2

    class Naive(Process):
        def alpha(self, t):
            return VP().alpha(t)

        def sigma(self, t):
            return (1 - VP().alpha(t) ** 2).sqrt()

    class Slow(Sampler):
        def start(self, diffusion, times, rng):
            move = DDIM(1.0).start(diffusion, times, rng)
            return lambda x, t, s: move(x, t, s) * (1 + x.std() / 1e3)

    @dataclass
    class Loose:
        width: int = 3

    for law in (laws.level_increases, laws.noise_is_added, laws.data_become_noise):
        with pytest.raises(AssertionError):
            law(Falling())
    with pytest.raises(AssertionError):
        laws.float32_is_enough(Naive())
    with pytest.raises(AssertionError):
        laws.ignores_companions(Slow(), VP())
    with pytest.raises(AssertionError, match="a new sampler: look at these errors"):
        laws.has_its_recorded_moments(DDIM(), {})
    with pytest.raises(AssertionError):
        laws.has_its_recorded_moments(DDIM(), {"DDIM(eta=0.0)": [[0, -0.17], [0, -0.09], [0, -0.05]]})
    with pytest.raises(AssertionError):
        laws.is_a_frozen_value(Loose())
