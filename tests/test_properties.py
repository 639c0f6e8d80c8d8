"""Checks the properties of `properties.py` and `component_properties.py` for all classes of the package."""

from __future__ import annotations

import inspect
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

import component_properties as components
import properties
from scorefield.denoisers import Denoiser, EDMPrediction, LevelConditioning, Parametrization
from scorefield.mcmc import MetropolisLangevin
from scorefield.measurement import Function, WhiteNoise
from scorefield.objectives import DenoisingScoreMatching, LevelDistribution, Objective, Probe, SingleLevel
from scorefield.processes import VP, Process
from scorefield.samplers import DDIM, AdaptiveSampler, Sampler
from scorefield.schedules import LogLevel, Schedule
from scorefield.toys import Helix

RECORDED = json.loads(Path(__file__).with_name("moments.json").read_text())
PROCESSES = properties.instances(Process)
PARAMETRIZATIONS = properties.instances(Parametrization)
SAMPLERS = properties.instances(Sampler)
FIXED = [s for s in SAMPLERS if not isinstance(s, AdaptiveSampler)]  # affine maps of their noise, for Gaussian data


def with_processes(samplers: list[Sampler], one_of: int) -> list[Any]:
    """Every sampler with every process: in the suite with one of some processes, in turn; with the others it is slow."""
    return [
        pytest.param(
            s, p, id=f"{properties.label(s)}-{type(p).__name__}", marks=[pytest.mark.slow] if (i + j) % one_of else []
        )
        for i, s in enumerate(samplers)
        for j, p in enumerate(PROCESSES)
    ]


def parametrizations_agree(parametrization: Parametrization) -> None:
    for other in (*PARAMETRIZATIONS, EDMPrediction(0.3)):
        properties.answers_determine_the_mean(parametrization, other)


PROPERTIES: dict[str, list[Callable[[Any], None]]] = {
    "Process": [
        properties.level_increases,
        properties.data_become_noise,
        properties.time_inverts_level,
        properties.rates_are_derivatives,
        properties.noise_is_added,
        properties.sde_has_the_marginals,
        properties.float32_is_enough,
        properties.times_broadcast,
    ],
    "Parametrization": [properties.coefficients_are_smooth, parametrizations_agree],
    "Sampler": [],  # below: of each pair of a sampler and a process
    "LevelDistribution": [properties.draw_is_a_quantile],
    "Objective": [components.is_minimized_by_the_exact_denoiser],
    "Weighting": [components.weights_are_positive_functions_of_the_level],
    "Probe": [components.probes_have_the_identity_as_second_moment],
    "Schedule": [components.levels_decrease_within_the_process, components.ends_are_those_of_the_process],
    "Operator": [
        components.measures_each_sample_by_itself,
        components.linear_operators_are_linear,
        components.derivatives_and_adjoints_agree,
    ],
    "Noise": [
        components.draws_have_the_stated_moments,
        components.volume_is_that_of_whitening,
        components.log_prob_is_normalized,
    ],
    "Transition": [components.a_gaussian_is_invariant, components.chains_are_independent],
    "DenoiserModule": [
        components.denoises_each_sample_by_itself,
        components.log_density_has_the_score,
        components.rebuilds_itself_around_its_parts,
        components.is_saved_and_loaded,
    ],
    "PreconditionedNetwork": [components.is_affine_in_its_network],
    "Format": [components.is_found_by_its_suffixes],
    "NoiseConditioning": [components.labels_are_monotone],
    "PosteriorMethod": [components.moves_towards_the_measurement],
    "Column": [components.columns_come_back],
    "Units": [components.units_invert],
    "Rows": [components.rows_are_those_stored],
    "Toy": [components.toys_have_their_entropy],
    "Rng": [components.numbers_are_normal_and_uniform, components.children_are_independent],
}
ELSEWHERE = {
    "GenerativeModel",
    "ConditionableModel",
    "Condition",
}  # of models: properties of all pairs of conditions in all uses
NOT_VALUES = {
    "DenoiserModule",
    "Units",
    "PreconditionedNetwork",
    "Format",
    "Rows",
    "Rng",
}  # modules, handles and sources
BASES = {base.__name__: base for base in properties.public_bases() if base.__name__ not in ELSEWHERE}
INSTANCES = {name: properties.instances(base) for name, base in BASES.items()}


def cases(names: set[str]) -> list[Any]:
    return [
        pytest.param(value, id=f"{name}-{properties.label(value)[:60]}-{i}")
        for name in sorted(names)
        for i, value in enumerate(INSTANCES[name])
    ]


@pytest.mark.parametrize("name", BASES)
def test_every_base_has_properties_and_instances(name):
    """A new abstract base needs an entry in PROPERTIES, and each of its classes an instance."""
    for cls in properties.subclasses(BASES[name]):
        properties.has_variants(cls)
    assert name in PROPERTIES, f"add properties of {name} to PROPERTIES"
    assert PROPERTIES[name] or name == "Sampler"
    assert {type(value) for value in INSTANCES[name]} == set(properties.subclasses(BASES[name]))


@pytest.mark.parametrize(
    ("value", "holds"),
    [
        pytest.param(value, holds, id=f"{name}-{holds.__name__}-{properties.label(value)[:60]}-{i}")
        for name, base in BASES.items()
        for holds in PROPERTIES.get(name, [])
        for i, value in enumerate(INSTANCES[name])
    ],
)
def test_properties(value, holds):
    holds(value)


@pytest.mark.parametrize(("sampler", "process"), with_processes(FIXED, 6))
def test_samplers_converge_to_the_marginals(sampler, process):
    properties.converges_to_the_marginals(sampler, process)


@pytest.mark.parametrize("sampler", [s for s in FIXED if properties.label(s) in RECORDED], ids=properties.label)
def test_samplers_have_their_recorded_moments(sampler):
    properties.has_its_recorded_moments(sampler, RECORDED)


def test_every_sampler_has_recorded_moments():
    properties.are_recorded(FIXED, RECORDED)


@pytest.mark.parametrize(
    "holds", [properties.samples_are_independent_of_the_batch, properties.visits_all_times], ids=lambda f: f.__name__
)
@pytest.mark.parametrize(("sampler", "process"), with_processes(SAMPLERS, 2))
def test_samplers(sampler, process, holds):
    holds(sampler, process)


# -- of all classes ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("value", cases(set(BASES) - NOT_VALUES))
def test_values_are_described_and_built_again(value):
    components.is_described_and_built_again(value)


@pytest.mark.parametrize("value", cases(set(BASES) - NOT_VALUES))
def test_reprs_evaluate_to_the_value(value):
    components.repr_evaluates_to_the_value(value)


@pytest.mark.parametrize(
    "value", cases({"Process", "Parametrization", "Sampler", "LevelDistribution", "Objective", "Weighting", "Probe"})
)
def test_hyperparameters_are_frozen_values(value):
    properties.is_a_frozen_value(value)


@pytest.mark.parametrize("base", BASES.values(), ids=lambda base: base.__name__)
def test_classes_are_abstract_or_final(base):
    assert inspect.isabstract(base)
    for cls in properties.subclasses(base):
        heirs = [heir.__name__ for heir in cls.__subclasses__() if properties.is_public(heir)]
        assert not heirs, f"{cls.__name__} is concrete, yet {heirs} inherit from it"


# -- of the tests --------------------------------------------------------------------------------------------------


def test_introspection_finds_known_classes():
    known = {"VE", "VP", "SubVP", "EDM", "Cosine", "Flow", "TutorialVE", "EDMPrediction", "VPrediction", "DDIM", "Heun"}
    known |= {"DPM", "AnnealedLangevin", "AdaptiveSDE", "ExponentialAdams", "UniPC", "SRA1", "ProcessLevels"}
    known |= {"LogNormal", "LogUniform", "Karras", "Mask", "PoissonNoise", "Hamiltonian", "Mixture", "FileRows"}
    assert known <= {type(value).__name__ for values in INSTANCES.values() for value in values}
    assert len(BASES) >= 17


def test_a_class_that_needs_arguments_must_have_variants(monkeypatch):
    """One test fails and names it; the others are collected without it."""
    monkeypatch.delitem(properties.VARIANTS, "LogUniform")
    kept = {type(value).__name__ for value in properties.instances(LevelDistribution)}
    assert "LogNormal" in kept and "LogUniform" not in kept
    with pytest.raises(AssertionError, match=r"LogUniform needs \['low', 'high'\]: add arguments"):
        test_every_base_has_properties_and_instances("LevelDistribution")


def test_properties_can_fail():
    """A property that nothing can break proves nothing."""

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

    class Coupled(Sampler):
        def start(self, diffusion, times, rng):
            move = DDIM(1.0).start(diffusion, times, rng)
            return lambda x, t, s: move(x, t, s) * (1 + x.std() / 1e3)

    @dataclass
    class Mutable:
        width: int = 3

    for holds in (properties.level_increases, properties.noise_is_added, properties.data_become_noise):
        with pytest.raises(AssertionError):
            holds(Falling())
    with pytest.raises(AssertionError):
        properties.float32_is_enough(Naive())
    with pytest.raises(AssertionError):
        properties.samples_are_independent_of_the_batch(Coupled(), VP())
    with pytest.raises(AssertionError, match="new samplers: check these errors"):
        properties.are_recorded([DDIM()], {})
    with pytest.raises(AssertionError):
        properties.has_its_recorded_moments(DDIM(), {"DDIM(eta=0.0)": [[0, -0.17], [0, -0.09], [0, -0.05]]})
    with pytest.raises(AssertionError):
        properties.is_a_frozen_value(Mutable())


def test_component_properties_can_fail():
    class Short(Probe):
        def draw(self, x, rng):
            return 0.97 * rng.normal_like(x)

    class Greedy(MetropolisLangevin):
        def move(self, target, state, scale, z, u):
            return super().move(target, state, scale, z, 0.9 * u)

    class Loud(WhiteNoise):
        def draw(self, a, rng):
            return a + 1.1 * (super().draw(a, rng) - a)

    class Coupled(Denoiser):
        def forward(self, x, level):
            return x - 1e-6 * x.mean(0)

    class Rising(Schedule):
        def levels(self, process, count):
            return LogLevel().levels(process, count).flip(0)

    class Thin(Helix):
        def entropy(self):
            return super().entropy() + 0.1

    affine = Function(lambda x: x + 1, linear=True)
    broken = [
        (components.probes_have_the_identity_as_second_moment, Short()),
        (components.a_gaussian_is_invariant, Greedy(0.5)),
        (components.draws_have_the_stated_moments, Loud(0.5)),
        (components.log_prob_is_normalized, Loud(0.15)),
        (components.linear_operators_are_linear, affine),
        (components.denoises_each_sample_by_itself, Coupled()),
        (components.levels_decrease_within_the_process, Rising()),
        (components.toys_have_their_entropy, Thin()),
        (components.is_minimized_by_the_exact_denoiser, Backwards()),
        (components.labels_are_monotone, Folded()),
    ]
    for holds, value in broken:
        with pytest.raises((AssertionError, ValueError)):  # a schedule that rises is refused
            holds(value)


class Backwards(Objective):
    def __call__(self, denoiser, x0, rng):
        return -DenoisingScoreMatching(SingleLevel(0.5))(denoiser, x0, rng)


class Folded(LevelConditioning):
    def label(self, level):
        return (level - 1).abs()
