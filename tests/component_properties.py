"""Properties of the other abstract bases: objectives, schedules, operators, noise, transitions, denoisers, rows, …

`properties.py` has those of processes, parametrizations, samplers and level distributions. Each function takes an instance
and compares it with something exact, or with something known up to a standard error.
"""

from __future__ import annotations

import copy
import math
import tempfile
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

import scorefield.denoisers as denoisers
import scorefield.measurement as measurement
import scorefield.nn as networks
from properties import VARIANTS, example_gaussian, example_mixture, public_bases, subclasses
from scorefield import checkpoint, spec, toys
from scorefield.data import ArrayRows
from scorefield.data.columns import Affixed, ClockFormat, ClockTime, Constant, Number, NumberFormat
from scorefield.data.layout import Layout
from scorefield.data.rows import FileRows, Joined, Subset
from scorefield.data.variables import Variables
from scorefield.derivatives import gradient
from scorefield.fitting.related import IndependentRows
from scorefield.mcmc import ChainState, Target, Transition, Unadjusted
from scorefield.objectives import Objective, Probe, Weighting
from scorefield.posterior import KnownCoordinates, SmallestLevel
from scorefield.posterior.methods import Method, PosteriorMethod
from scorefield.posterior.posterior import Posterior
from scorefield.processes import EDM, VP
from scorefield.rng import Mixed, Rng, Samples
from scorefield.schedules import Schedule
from scorefield.units import (
    ChannelUnits,
    ColumnMap,
    ColumnUnits,
    PartlyEqual,
    Related,
    Relation,
    Relations,
    Standardize,
)

D = torch.float64
COUNT = 20_000


def numbers(*shape: int, seed: int = 0) -> Tensor:
    return torch.from_numpy(np.random.default_rng(seed).normal(size=shape))


def within_errors(draws: Tensor, expected: Tensor | float, errors: float = 5.0) -> None:
    """The mean of independent draws `(N, *)` is the expected one, within some standard errors."""
    error = draws.std(0) / math.sqrt(len(draws)) + 1e-12
    assert float(((draws.mean(0) - expected).abs() / error).max()) < errors


# -- instances of classes that need arguments ----------------------------------------------------------------------


def trainable(network: nn.Module) -> nn.Module:
    """The network in float64 with random weights: at initialization many are 0."""
    with torch.random.fork_rng():
        torch.manual_seed(1)
        for p in network.parameters():
            nn.init.normal_(p, std=0.3)
    return network.double().requires_grad_(False)


def mlp() -> denoisers.Preconditioned:
    return denoisers.Preconditioned(trainable(networks.MLP(2, 8, 1)), denoisers.EDMPrediction())


def corrected() -> denoisers.Preconditioned:
    """A network that sees the answer of a baseline."""
    network = trainable(networks.MLP(2, 8, 1, extra=2))
    return denoisers.Preconditioned(network, denoisers.EDMPrediction(), baseline=example_mixture())


def whitening(size: int = 2) -> denoisers.Whitening:
    """Of equal columns but for a noise of a tenth."""
    return denoisers.Whitening(numbers(size), torch.eye(size, dtype=D) / 100 + 0.99)


def whitened() -> denoisers.Preconditioned:
    return denoisers.Preconditioned(trainable(networks.MLP(2, 8, 1)), whitening=whitening())


def _principal() -> denoisers.PrincipalMixture:
    return denoisers.PrincipalMixture(
        numbers(2), torch.eye(2, dtype=D), example_mixture(), numbers(0), numbers(1)[0] ** 2
    )


def mixed(variables: Variables, white: denoisers.Whitening | None = None) -> denoisers.MixedDenoiser:
    size = variables.size
    network = trainable(networks.ResidualMLP(size, 8, 1, 0, 2 * variables.count))
    return denoisers.MixedDenoiser(network, variables, whitening=white)


def conditional_mixed() -> denoisers.ConditionalMixed:
    return denoisers.ConditionalMixed(trainable(networks.ResidualMLP(2, 8, 1, 3, 2)), Variables(0, (2,)), (3,))


def _column_units() -> list[Any]:
    numbers = (
        ColumnMap(location=1.0, scale=2.0),
        ColumnMap(base="log", lower=0.0),
        ColumnMap(base="logit", lower=0, upper=1),
    )
    return [ColumnUnits(numbers), ColumnUnits((ColumnMap(levels=3), ColumnMap(missing=True), ColumnMap(constant=4.0)))]


def _independent_rows() -> list[Any]:
    x = stored()
    whole = ArrayRows(torch.from_numpy(np.concatenate([x, x.sum(1, keepdims=True)], 1)), Layout((3, 3), "grid", 0))
    return [IndependentRows(whole, Relations(3, (Relation(2, (0, 1), (1, 1)),)))]


def corner() -> Tensor:
    """A state of two numbers and a category of two levels."""
    return torch.tensor([[0.0, 0.0, 1.0, 0.0]], dtype=D)


def conditional() -> denoisers.ConditionalPreconditioned:
    """A conditional denoiser of two numbers and the indicator of no context."""
    return denoisers.ConditionalPreconditioned(trainable(networks.MLP(2, 8, 1, 3)), (3,))


def _energy() -> Any:
    network = networks.Potential(trainable(networks.MLP(2, 8, 1)))
    return denoisers.EnergyDenoiser(denoisers.Preconditioned(network, denoisers.EDMPrediction()))


def _pretrained() -> list[Any]:
    return [
        denoisers.PretrainedDenoiser(trainable(networks.MLP(2, 8, 1)), conditioning, denoisers.NoisePrediction())
        for conditioning in (denoisers.LevelConditioning(), denoisers.TimeConditioning())
    ]


def _pretrained_conditional() -> denoisers.PretrainedConditional:
    network = trainable(networks.MLP(2, 8, 1, 3))
    return denoisers.PretrainedConditional(network, (3,), denoisers.FlowConditioning(), denoisers.FlowPrediction())


def _ncsn() -> list[Any]:
    levels = torch.tensor([1.0, 0.3, 0.1], dtype=D)
    return [denoisers.NCSNDenoiser(trainable(networks.RefineNet(1, 4, classes=n)), levels, True) for n in (0, 3)]


def _classifier_guided() -> Any:
    classifier = denoisers.NoisyClassifier(trainable(networks.ClassifierNetwork((2,), 3, 8, 1)))
    return denoisers.ClassifierGuided(example_gaussian(), classifier, 1, 0.7)


def _observed(method: Method | None = None) -> Posterior:
    operator = measurement.Linear(torch.tensor([[1.0, -0.5]]))
    return Posterior(example_gaussian(), measurement.Measurement(operator, [8.0], 0.3), method)


def _simulators() -> list[Any]:
    def run(x: np.ndarray) -> np.ndarray:
        return x**2

    def pull(x: np.ndarray, v: np.ndarray) -> np.ndarray:
        return 2 * x * v

    return [measurement.Simulator(run, pull), measurement.Simulator(run, pull, pull)]


_FOLDER = tempfile.TemporaryDirectory()  # removed with the process


def _file_rows() -> FileRows:
    path = Path(_FOLDER.name) / "rows.bin"
    stored().astype("<f4").tofile(path)
    return FileRows(path, stored().shape, "<f4")


def stored() -> np.ndarray:
    """What the rows below hold: 5 samples with two channels on a grid of three points."""
    return np.arange(30, dtype=np.float64).reshape(5, 2, 3)


VARIANTS.update(
    {
        # objectives and their parts are in properties.py
        "IndexConditioning": [{"levels": (10.0, 1.0, 0.1)}, {"levels": (0.1, 1.0, 10.0), "preserving": True}],
        "TimeConditioning": [{"sub": True}],
        "ExplicitLevels": [{"values": (5.0, 1.0, 0.1)}],
        "Samples": [{"seed": 3, "count": COUNT}],
        "Steps": [{"seed": 3}],
        "Mixed": lambda: [Mixed(Samples(0, count=COUNT), Samples(1, count=COUNT), 0.7)],
        "Blobs": lambda: [toys.eight_gaussians(), toys.two_moons(0.2)],
        "Field": [{"shape": (1, 8, 6), "length": 2.0}],
        "Mask": [{"keep": torch.tensor([[True, False, True], [False, True, True]])}],
        "Linear": [{"matrix": numbers(4, 6)}],
        "Function": lambda: [measurement.Function(torch.sin), measurement.Function(lambda x: 2 * x, linear=True)],
        "Simulator": _simulators,
        "Compose": lambda: [measurement.Compose((measurement.Blur(axes=(-1,)), measurement.Downsample(3, (-1,))))],
        "Blur": [{"boundary": "periodic"}, {"width": 0.7, "axes": (-1,)}],
        "Downsample": [{"axes": (0,)}, {"factor": 3, "axes": (-1,)}],
        "Grey": [{"weights": (0.3, 0.5, 0.2)}],
        "Fourier": [{"keep": torch.tensor([True, False, True]), "axes": (-1,)}],
        "WhiteNoise": [{"std": 0.3}, {"std": torch.tensor([0.2, 1.0, 3.0])}],
        "CorrelatedNoise": [{"covariance": torch.tensor([[1.0, 0.3, 0.0], [0.3, 0.5, -0.1], [0.0, -0.1, 0.2]])}],
        "PoissonNoise": [{"gain": 2.0}],
        "ClockTime": lambda: [ClockTime("t", "object", inner=Number("t", "float64", decimals=0), form=ClockFormat())],
        "Affixed": lambda: [Affixed("a", "object", inner=Number("a", "float64"), form=NumberFormat(suffix="%"))],
        "Category": [{"name": "a", "dtype": "object", "levels": ("x", "y", "z")}],
        "Number": [{"name": "a", "dtype": "float64"}, {"name": "a", "dtype": "int64", "step": 1.0}],
        "Date": [{"name": "a", "dtype": "datetime64[s]", "unit": "s", "period": 86400}],
        "Constant": lambda: [Constant("a", "int64", inner=Number("a", "int64"), value=7.0)],
        "Standardize": [{"shape": (3,), "mean": numbers(3), "std": numbers(3).exp()}],
        "ColumnUnits": _column_units,
        "PartlyEqual": lambda: [PartlyEqual((ColumnMap(scale=2.0), ColumnMap()), ((0, 1),))],
        "ChannelUnits": lambda: [
            ChannelUnits((1, 2, 3), (ColumnMap(base="log", lower=0.0),), torch.zeros(1, 2)),
            ChannelUnits((1, 2, 3), (ColumnMap(base="log", lower=-2.0),), torch.zeros(1, 2), ((0.0, None),)),
            ChannelUnits(
                (1, 2, 3), (ColumnMap(base="softplus", lower=-0.1, bend=2.0),), torch.zeros(1, 2), ((0.0, None),)
            ),
            ChannelUnits((1, 2, 3), (ColumnMap(),), torch.full((1, 2), 0.1), ((-0.5, 0.5),), torch.ones(1, 2)),
        ],
        "ReadingUnits": [{"longest": 2, "mean": (10.0, -1.0), "std": (2.0, 0.5), "span": (0.0, 4.0)}],
        "Related": lambda: [Related(Standardize((2,)), Relations(3, (Relation(2, (0, 1), (1, 1)),)))],
        "IndependentRows": _independent_rows,
        "ArrayRows": lambda: [ArrayRows(stored()), ArrayRows(stored().astype(np.uint8))],
        "FileRows": lambda: [_file_rows()],
        "Joined": lambda: [Joined(ArrayRows(stored()[:2]), ArrayRows(stored()[2:]))],
        "Subset": lambda: [Subset(ArrayRows(np.concatenate([stored(), stored()])), np.arange(5))],
        "Gaussian": lambda: [example_gaussian()],
        "Mixture": lambda: [example_mixture()],
        "PrincipalMixture": lambda: [_principal()],
        "Empirical": lambda: [denoisers.Empirical(numbers(7, 2), chunk=3)],
        "AnalyticDensity": lambda: [denoisers.AnalyticDensity(example_mixture().log_prob)],
        "Blended": lambda: [
            denoisers.Blended(example_gaussian(), mlp(), 0.3),
            denoisers.Blended(example_mixture(), mlp(), (0.3, 0.6), example_gaussian(), (0.1, 2.0)),
        ],
        "Preconditioned": lambda: [mlp(), corrected(), whitened()],
        "PretrainedDenoiser": _pretrained,
        "NCSNDenoiser": _ncsn,
        "EnergyDenoiser": lambda: [_energy()],
        "WithUncertainty": lambda: [denoisers.WithUncertainty(example_gaussian()).double()],
        "ClassifierGuided": lambda: [_classifier_guided()],
        "Conditioned": lambda: [conditional().given(numbers(1, 3))],
        "ConditionalPreconditioned": lambda: [conditional()],
        "PretrainedConditional": lambda: [_pretrained_conditional()],
        "ConsistencyFunction": lambda: [denoisers.ConsistencyFunction(mlp(), 0.1, "run")],
        "ConditionalConsistency": lambda: [denoisers.ConditionalConsistency(conditional(), 0.1, "run")],
        "ComposedDenoiser": lambda: [denoisers.ComposedDenoiser(conditional(), numbers(2, 3))],
        "MixedDenoiser": lambda: [mixed(Variables(2)), mixed(Variables(0, (2,))), mixed(Variables(2), whitening())],
        "ConditionalMixed": lambda: [conditional_mixed()],
        "ConditionedMixed": lambda: [conditional_mixed().given(numbers(1, 3))],
        "GivenVariables": lambda: [
            mixed(Variables(2), white).given_variables(numbers(1, 2), torch.tensor([[0, 1]]))
            for white in (None, whitening())
        ],
        "RestrictedNumbers": lambda: [mixed(Variables(2, (2,))).restricted(corner(), torch.tensor([[0, 0, 1]]))],
        "KnownCoordinates": lambda: [KnownCoordinates(mlp(), numbers(1, 2), torch.tensor([[True, False]]))],
        "SmallestLevel": lambda: [SmallestLevel(mlp(), 0.1)],
        "Guided": lambda: [denoisers.Guided(example_gaussian(), mlp(), 1.5, 0.5, 5.0)],
        "Posterior": lambda: [_observed()],
    }
)


# -- of all values -------------------------------------------------------------------------------------------------


def holds_code(value: Any) -> bool:
    """Whether an argument is a function, which is not data."""
    return is_dataclass(value) and any(callable(getattr(value, f.name)) for f in fields(value) if f.init and f.repr)


def is_described_and_built_again(value: Any) -> None:
    """As plain data and tensors; code cannot be described."""
    if holds_code(value) and type(value).__name__ in ("Function", "Simulator"):
        try:
            spec.describe(value, [])
        except TypeError:
            return
        raise AssertionError(f"{value} holds code and was described as data")
    kept: list[Tensor] = []
    described = spec.describe(value, kept)
    again = spec.build(described, tensors=kept)
    assert type(again) is type(value)
    other: list[Tensor] = []
    assert spec.describe(again, other) == described
    assert all(torch.equal(a, b) for a, b in zip(kept, other, strict=True))


def repr_evaluates_to_the_value(value: Any) -> None:
    """The repr of a value without tensors and code is an expression for it."""
    if holds_code(value) or "tensor(" in repr(value):
        return
    names = {cls.__name__: cls for base in public_bases() for cls in subclasses(base)}
    names |= {type(part).__name__: type(part) for part in getattr(value, "__dict__", {}).values()}
    assert repr(eval(repr(value), names | {"inf": math.inf, "nan": math.nan})) == repr(value)


# -- of objectives, weightings and probes --------------------------------------------------------------------------


def is_minimized_by_the_exact_denoiser(objective: Objective) -> None:
    """Paired differences of the loss: every wrong denoiser has the larger mean, by at least 3 standard errors."""
    truth, count = example_gaussian(), 2000
    x0 = truth.sample(count, Samples(0, count=count))
    wrong = [
        denoisers.Gaussian(truth.mean + 0.7, truth.covariance),
        denoisers.Gaussian(truth.mean, 3 * truth.covariance),
    ]
    losses = []
    for denoiser in (truth, *wrong):
        with torch.no_grad():
            losses.append(objective(denoisers.WithUncertainty(denoiser), x0, Samples(1, count=count)))
    assert all(loss.shape == (count,) and bool(torch.isfinite(loss).all()) for loss in losses)
    for loss in losses[1:]:
        excess = loss - losses[0]
        assert float(excess.mean()) > 3 * float(excess.std()) / math.sqrt(count)


def weights_are_positive_functions_of_the_level(weighting: Weighting) -> None:
    level = torch.logspace(-2, 1.5, 21, dtype=D).reshape(3, 7, 1)
    weight = weighting(level)
    assert weight.shape == level.shape and weight.dtype == D
    assert bool((weight > 0).all() & torch.isfinite(weight).all())
    torch.testing.assert_close(weighting(level[1:2]), weight[1:2], rtol=1e-12, atol=0)
    single = weighting(level.float())
    assert single.dtype == torch.float32
    torch.testing.assert_close(single.double(), weight, rtol=1e-4, atol=0)


def probes_have_the_identity_as_second_moment(probe: Probe) -> None:
    x = torch.zeros(COUNT, 2, 2, dtype=D)
    v = probe.draw(x, Samples(0, count=COUNT))
    assert v.shape == x.shape and v.dtype == x.dtype
    flat = v.flatten(1)
    within_errors((flat[:, :, None] * flat[:, None]).flatten(1), torch.eye(4, dtype=D).flatten())


# -- of schedules --------------------------------------------------------------------------------------------------


def levels_decrease_within_the_process(schedule: Schedule) -> None:
    for process in (EDM(), VP()):
        low, high = process.level(torch.tensor([0.0, 1.0], dtype=D)).tolist()
        for steps in (schedule.steps,) if schedule.steps else (1, 2, 20):
            levels, times = schedule.levels(process, steps + 1), schedule.times(process, steps)
            assert levels.shape == times.shape == (steps + 1,) and levels.dtype == times.dtype == D
            assert bool((levels.diff() < 0).all() & (times.diff() < 0).all())
            assert low * (1 - 1e-9) <= float(levels[-1]) and float(levels[0]) <= high * (1 + 1e-9)
            torch.testing.assert_close(process.level(times), levels, rtol=1e-9, atol=0)


def ends_are_those_of_the_process(schedule: Schedule) -> None:
    """Of schedules that are not tables of levels: a table has its own ends."""
    if schedule.steps or type(schedule).__name__ == "DDPM":
        return
    for process in (EDM(), VP()):
        torch.testing.assert_close(
            schedule.times(process, 7)[[0, -1]], torch.tensor([1.0, 0.0], dtype=D), rtol=0, atol=1e-9
        )


# -- of operators and noise ----------------------------------------------------------------------------------------


def shape_for(operator: measurement.Operator) -> tuple[int, ...]:
    """A shape of samples that the operator accepts."""
    x = {"Mask": (2, 3), "Linear": (2, 3), "Grey": (4, 3), "Radon": (2, 6, 6), "Fourier": (4, 3)}
    return x.get(type(operator).__name__, (4, 6))


def measures_each_sample_by_itself(operator: measurement.Operator) -> None:
    x = numbers(3, *shape_for(operator))
    y = operator(x)
    assert y.shape[0] == 3 and y.dtype == D
    torch.testing.assert_close(operator(x[1:2]), y[1:2], rtol=1e-12, atol=1e-12)


def linear_operators_are_linear(operator: measurement.Operator) -> None:
    x, z = numbers(3, *shape_for(operator)), numbers(3, *shape_for(operator), seed=1)
    gap = operator(2 * x - 3 * z) - (2 * operator(x) - 3 * operator(z))
    assert (float(gap.abs().max()) < 1e-12) == operator.linear


def derivatives_and_adjoints_agree(operator: measurement.Operator) -> None:
    """⟨A'(x) u, v⟩ = ⟨u, A'(x)ᵀ v⟩, and A'(x) u is the central difference."""
    shape = shape_for(operator)
    x, u, h = numbers(3, *shape), numbers(3, *shape, seed=1), 1e-5
    y = operator(leaf := x.clone().requires_grad_())
    v = numbers(*y.shape, seed=2)
    (pulled,) = torch.autograd.grad(y, leaf, v)
    pushed = (operator(x + h * u) - operator(x - h * u)) / (2 * h)
    torch.testing.assert_close((pushed * v).flatten(1).sum(1), (pulled * u).flatten(1).sum(1), rtol=1e-7, atol=1e-7)
    if isinstance(operator, measurement.LinearOperator):
        torch.testing.assert_close(operator.adjoint(v, shape), pulled, rtol=1e-12, atol=1e-12)


IDEAL = torch.tensor([[3.0, 5.0, 9.0]], dtype=D)


def draws_have_the_stated_moments(noise: measurement.Noise) -> None:
    """Whitened by the stated mean and covariance, draws have mean 0 and covariance I."""
    a = IDEAL.expand(COUNT, 3)
    y, mean = noise.draw(a, Samples(0, count=COUNT)), noise.mean(a)
    z = noise.whiten(y - mean, mean)
    within_errors(z, 0.0)
    within_errors((z[:, :, None] * z[:, None]).flatten(1), torch.eye(3, dtype=D).flatten())
    few = noise.draw(a[:4], Samples(0, start=10, count=4))
    torch.testing.assert_close(few, y[10:14], rtol=0, atol=1e-12)
    noise.check(y[0])


def volume_is_that_of_whitening(noise: measurement.Noise) -> None:
    mean = noise.mean(IDEAL)
    matrix = noise.whiten(torch.eye(3, dtype=D), mean.expand(3, 3))
    torch.testing.assert_close(noise.log_volume(mean), -torch.linalg.slogdet(matrix)[1][None], rtol=1e-10, atol=1e-10)


def log_prob_is_normalized(noise: measurement.Noise) -> None:
    """E[p(y | b) / p(y | a)] = 1 over y given a: this holds only if both are densities of what is drawn."""
    a = IDEAL.expand(COUNT, 3)
    y = noise.draw(a, Samples(0, count=COUNT))
    within_errors(torch.exp(noise.log_prob(y, a + 0.1) - noise.log_prob(y, a)), 1.0)


# -- of transitions ------------------------------------------------------------------------------------------------


def a_gaussian_is_invariant(transition: Transition) -> None:
    """Exactly so with a Metropolis test; to second order in the step without."""
    if isinstance(transition, Unadjusted):
        drift, noise = transition.factors(1.0)
        assert 0 < drift < 2 and abs((1 - drift) ** 2 + noise**2 - 1) <= drift**2 + 1e-12
        return
    x = Samples(0, count=COUNT).normal((COUNT, 2), D)
    state, target = ChainState(x), Target(log_prob=lambda x: -x.square().sum(1) / 2)
    for step in range(3):
        rng = Samples(1 + step, count=COUNT)
        u = rng.child("u").uniform((COUNT,), D) if transition.adjusted else None
        state, chance = transition.move(target, state, 1.0, rng.normal((COUNT, 2), D), u)
        assert chance is not None and bool(((chance >= 0) & (chance <= 1)).all())
    assert float((state.x - x).abs().mean()) > 0.1
    within_errors(state.x, 0.0)
    within_errors(state.x.square(), 1.0)
    within_errors(state.x.pow(4), 3.0)


def chains_are_independent(transition: Transition) -> None:
    x, z, u = numbers(5, 2), numbers(5, 2, seed=1), torch.linspace(0, 0.9, 5, dtype=D)
    target = Target(log_prob=lambda x: -x.pow(4).sum(1))

    def move(rows: slice) -> Tensor:
        return transition.move(target, ChainState(x[rows]), 0.5, z[rows], u[rows] if transition.adjusted else None)[0].x

    torch.testing.assert_close(move(slice(2, 3)), move(slice(None))[2:3], rtol=1e-12, atol=1e-12)


# -- of denoisers --------------------------------------------------------------------------------------------------


def answering(denoiser: denoisers.DenoiserModule) -> denoisers.Denoiser:
    """The denoiser itself, or that of a context."""
    return denoiser.conditioned_on(numbers(1, 3)) if denoiser.takes_context else denoiser.conditioned_on(None)


def states_for(denoiser: denoisers.Denoiser) -> tuple[Tensor, Tensor]:
    """Three states and their levels."""
    shape = (1, 8, 8) if isinstance(denoiser, denoisers.NCSNDenoiser) else (2,)
    return numbers(3, *shape), torch.tensor([0.2, 1.0, 3.0], dtype=D).reshape(3, *(1,) * len(shape))


def denoises_each_sample_by_itself(module: denoisers.DenoiserModule) -> None:
    denoiser = answering(module)
    x, level = states_for(denoiser)
    whole = denoiser(x, level)
    assert whole.shape == x.shape and whole.dtype == x.dtype and bool(torch.isfinite(whole).all())
    for i in range(3):
        torch.testing.assert_close(denoiser(x[i : i + 1], level[i : i + 1]), whole[i : i + 1], rtol=1e-9, atol=1e-9)
        torch.testing.assert_close(denoiser(x, level[i].reshape(()))[i], whole[i], rtol=1e-9, atol=1e-9)


def log_density_has_the_score(module: denoisers.DenoiserModule) -> None:
    """Tweedie's formula, D = x + σ² ∇ log p, for denoisers that have a log-density."""
    denoiser = answering(module)
    if not denoiser.has_log_prob:
        return
    x, level = states_for(denoiser)
    slope = gradient(lambda x: denoiser.log_prob(x, level), x)[1]
    torch.testing.assert_close(denoiser(x, level), x + level**2 * slope, rtol=1e-6, atol=1e-8)


def rebuilds_itself_around_its_parts(module: denoisers.DenoiserModule) -> None:
    """Unchanged parts give the module itself; copies of them give a module with the same answers."""
    assert module.rebuild(lambda part: part) is module
    other = answering(module.rebuild(copy.copy))
    denoiser = answering(module)
    x, level = states_for(denoiser)
    assert torch.equal(other(x, level), denoiser(x, level))
    assert torch.equal(answering(module.full_precision())(x, level), denoiser(x, level))


def is_saved_and_loaded(denoiser: denoisers.DenoiserModule) -> None:
    """With its numbers; a denoiser that holds a function cannot be saved whole."""
    if type(denoiser).__name__ == "AnalyticDensity":
        return
    path, (x, level) = Path(_FOLDER.name) / "denoiser.safetensors", states_for(answering(denoiser))
    checkpoint.save(denoiser, path)
    again = checkpoint.load(path)
    assert type(again) is type(denoiser)
    torch.testing.assert_close(answering(again)(x, level), answering(denoiser)(x, level), rtol=1e-12, atol=1e-12)


def is_affine_in_its_network(network: denoisers.PreconditionedNetwork) -> None:
    """D = c_skip x + c_out F(question), or u + w (x - u) + … with the answer u of a baseline; without a center.

    With whitening it is so in coordinates along principal directions.
    """
    module: Any = network
    denoiser, context = answering(module), numbers(1, 3) if module.takes_context else None
    x, level = states_for(denoiser)
    skip, out = network.coefficients(level)
    assert network.center(context) is None
    y, guess = network.coordinates(x), network.guess(x, level)
    share = 1 / (1 + (level / 0.3) ** 4)
    known = skip * y if guess is None else (1 - share) * guess + share * y
    answer = network.answer(
        *network.question(y, level, guess), *([context.expand(3, 3)] if context is not None else [])
    )
    answer = answer if module.whitening is None else module.whitening.maps(x).turned(answer)
    torch.testing.assert_close(network.coordinates(denoiser(x, level)), known + out * answer, rtol=1e-10, atol=1e-10)


def is_found_by_its_suffixes(form: Any) -> None:
    """A format names the paths that end in its suffixes, in any case, and no others."""
    assert all(suffix == suffix.lower() and suffix[0] == "." for suffix in form.suffixes)
    for suffix in form.suffixes:
        assert form.names(Path(f"data{suffix}")) and form.names(Path(f"DATA{suffix.upper()}"))
    assert not form.names(Path("data.other"))


def labels_are_monotone(conditioning: denoisers.NoiseConditioning) -> None:
    low, high = conditioning.range()
    assert 0 < low < high < math.inf
    level = torch.logspace(math.log10(low), math.log10(high), 50, dtype=D).clamp(low, high).reshape(50, 1)
    label, alpha = conditioning.label(level), conditioning.alpha(level)
    assert label.shape == alpha.shape == level.shape
    steps = label.diff(dim=0)
    assert bool((steps > 0).all() | (steps < 0).all())
    assert bool(((alpha > 0) & (alpha <= 1)).all() and (alpha.diff(dim=0) <= 0).all())


def moves_towards_the_measurement(method: PosteriorMethod) -> None:
    """The shift of its likelihood lowers the residual of the measurement, sample by sample."""
    posterior = _observed(method.likelihood)
    x, level = numbers(4, 2), torch.tensor(0.5, dtype=D)
    means = posterior.prior(x, level)
    shifted = posterior(x, level)
    assert shifted.shape == x.shape and bool(torch.isfinite(shifted).all())
    operator, y = posterior.measurement.operator, posterior.measurement.y
    before, after = ((operator(m) - y).abs().flatten() for m in (means, means + 1e-3 * (shifted - means)))
    assert bool((after < before).all())
    torch.testing.assert_close(posterior(x[1:2], level), shifted[1:2], rtol=1e-9, atol=1e-9)


# -- of data and random numbers ------------------------------------------------------------------------------------


def columns_come_back(column: Any) -> None:
    """Codes and numbers are turned into values and back; what they are is said."""
    codes = np.arange(60) % max(2, column.size) if column.kind != "constant" else np.full(60, column.value)
    values = column.decode(codes.astype(float))
    assert len(values) == 60 and values.name == column.name
    np.testing.assert_array_equal(column.encode(values), codes)
    assert column.kind and isinstance(column.reason, str)
    low, high = column.limits
    assert (low is None or low <= codes.min()) and (high is None or high >= codes.max())


def units_invert(units: Any) -> None:
    """The map and its inverse; the volume is the derivative of the map, where all coordinates are numbers, but at atoms."""
    u = numbers(6, *units.state_shape, seed=3).clamp(-2, 2)
    x = units.inverse(u)
    assert tuple(x.shape[1:]) == units.shape
    torch.testing.assert_close(
        units.inverse(units(x).nan_to_num(0.0) if bool(x.isnan().any()) else units(x)), x, equal_nan=True
    )
    volume = units.log_volume(x)
    assert volume.shape == (6,)
    if units.variables is None and units.shape == units.state_shape:
        jacobian = torch.func.jacrev(lambda v: units(v[None])[0].flatten())(x[0]).reshape(u[0].numel(), -1)
        free = torch.ones_like(x[0], dtype=torch.bool)
        for c, values in enumerate(units.atoms):
            free[c] = (x[0, c, ..., None] != torch.tensor(values, dtype=D)).all(-1)
        part, some = (
            jacobian.double()[free.flatten()][:, free.flatten()],
            units.log_volume(x, counted=free.expand(x.shape)),
        )
        torch.testing.assert_close(some[0], torch.linalg.slogdet(part)[1], rtol=1e-6, atol=1e-6)
        assert not bool(free.all()) or torch.equal(some[0], volume[0])


def rows_are_those_stored(rows: Any) -> None:
    expected = torch.from_numpy(stored())
    assert len(rows) == 5 and rows.shape == (5, 2, 3)
    found = rows.take([3, 0, 3], torch.float64)
    assert found.is_contiguous() and found.dtype == torch.float64
    assert torch.equal(found, expected[[3, 0, 3]])
    assert torch.equal(torch.cat(list(rows.chunks(2, torch.float64))), expected)
    assert torch.equal(rows.subset([4, 1]).subset([1]).take([0], torch.float64), expected[[1]])
    for index in (-1, 5):
        try:
            rows.take([index])
        except IndexError:
            continue
        raise AssertionError(f"row {index} of 5 was taken")


def toys_have_their_entropy(toy: toys.Toy) -> None:
    """The mean log-density of draws is minus the entropy, and every sample is addressed."""
    count = 4000
    x = toy.sample(count, Samples(7, count=count))
    log_p = toy.log_prob(x)
    assert x.dtype == log_p.dtype == D and log_p.shape == (count,)
    assert abs(float(log_p.mean()) + toy.entropy()) < 5 * float(log_p.std()) / math.sqrt(count) + 1e-12
    torch.testing.assert_close(toy.sample(5, Samples(7, start=20, count=5)), x[20:25], atol=1e-12, rtol=0)


def numbers_are_normal_and_uniform(rng: Rng) -> None:
    z, u, v = rng.normal((COUNT, 2), D), rng.uniform((COUNT, 2), D), rng.stratified(COUNT, D)
    for power, moment in ((1, 0.0), (2, 1.0), (3, 0.0), (4, 3.0)):
        within_errors(z**power, moment)
    for x in (u, v[:, None]):
        assert float(x.min()) >= 0 and float(x.max()) < 1
        for power in (1, 2):
            within_errors(x**power, 1 / (power + 1))


def children_are_independent(rng: Rng) -> None:
    a, b, c = (source.normal((COUNT,), D) for source in (rng.child("a"), rng.child("b"), rng.child("a")))
    assert torch.equal(a, c)
    within_errors(a * b, 0.0)
    assert rng.normal_like(torch.zeros(COUNT, 3)).shape == (COUNT, 3)
