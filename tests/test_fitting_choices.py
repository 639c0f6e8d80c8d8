"""Every choice of a fit can be made by the user, and a fit by any of them recovers a distribution that is known."""

from __future__ import annotations

import functools
import json
from dataclasses import dataclass

import numpy as np
import pandas
import pytest
import torch

from scorefield import fit
from scorefield.denoisers import EDMPrediction, Gaussian, Mixture, NoisePrediction, VPrediction
from scorefield.denoisers.precondition import Coefficients, Parametrization
from scorefield.fitting import Options, plan, prepare, train
from scorefield.noise_levels import NoiseLevels
from scorefield.objectives import (
    DenoisingScoreMatching,
    ExactScoreMatching,
    LearnedUncertainty,
    LevelObjective,
    LogNormal,
    LogUniform,
    SingleLevel,
    SlicedScoreMatching,
    excess,
)
from scorefield.processes import EDM, VP, Process
from scorefield.rng import Samples
from scorefield.runs import Run
from scorefield.samplers import DDIM, Heun, Sampling
from scorefield.settings import Network, Training
from scorefield.tensors import sum_events
from scorefield.units import Standardize

SMALL = Network(widths=(32,), depth=1)
MEANS, STD, WEIGHTS = (-2.0, 2.0), 0.5, (0.4, 0.6)


@functools.cache
def two_modes() -> np.ndarray:
    rng = np.random.default_rng(0)
    return (rng.choice(MEANS, 3000, p=WEIGHTS) + STD * rng.normal(size=3000))[:, None]


def planned(x, context=None, **options):
    wish = Options(**options)
    return plan(prepare(x, wish, context), wish)


def relative_excess(model) -> float:
    """The excess loss over the exact denoiser, as a part of that of the best Gaussian, which knows no modes."""
    mean, std = float(model.standardize.mean), float(model.standardize.std)
    centres = torch.tensor([[(m - mean) / std] for m in MEANS]).double()
    truth = Mixture(centres, torch.full((2, 1, 1), (STD / std) ** 2).double(), torch.tensor(WEIGHTS).double())
    gaussian = Gaussian(torch.zeros(1).double(), torch.ones(1, 1).double())
    x = model.standardize(torch.from_numpy(two_modes()))
    objective, rng = DenoisingScoreMatching(LogUniform(0.05, 20.0)), Samples(0, 0, len(x), "excess")
    ours, other = (excess(objective, d, truth, x, rng).mean() for d in (model.denoiser.double(), gaussian))
    return float(ours / other)


# -- a known distribution is recovered -----------------------------------------------------------------------------


def recovers(model, tolerance=0.25) -> None:
    drawn = model.sample(1000)
    assert relative_excess(model) < 0.3
    assert abs((drawn > 0).mean() - WEIGHTS[1]) < 0.1
    assert abs(np.abs(drawn).mean() - 2) < tolerance


@pytest.mark.parametrize("parametrization", ["data", "noise", "score", "v", "flow", "edm"])
def test_every_parametrization_recovers_a_mixture(parametrization):
    training = Training(steps=400, learning_rate=4e-3, batch=512)
    model = fit(two_modes(), training=training, network=SMALL, parametrization=parametrization)
    assert model.denoiser.parametrization.scale == 1
    # a network that predicts the data must learn D = x at small levels, and what it lacks there shrinks samples
    recovers(model, 0.8 if parametrization == "data" else 0.25)


@pytest.mark.parametrize(
    "objective",
    [
        DenoisingScoreMatching(LogUniform(0.01, 40.0)),
        "slicedscorematching(count=2)",
        "exactscorematching",
        "learneduncertainty(denoising)",
    ],
    ids=str,
)
def test_every_objective_recovers_a_mixture(objective):
    training = Training(steps=400, learning_rate=4e-3, batch=512)
    recovers(fit(two_modes(), training=training, network=SMALL, objective=objective))


# -- what is given is taken ----------------------------------------------------------------------------------------


def test_a_call_is_completed_by_the_data():
    found = planned(
        two_modes(),
        process="vp",
        objective="learned(sliced(count=2))",
        parametrization="noise",
        sampling="ddim(steps=5)",
    )
    low, high = found.noise_levels.sigma_min, found.noise_levels.sigma_max
    assert isinstance(found.process, VP)
    assert found.process.ends() == pytest.approx((low, high), rel=1e-6)
    inner = found.objective.objective
    assert isinstance(inner, SlicedScoreMatching) and inner.count == 2
    assert inner.levels == LogNormal(found.noise_levels.level_mean, found.noise_levels.level_std)
    assert found.parametrization == NoisePrediction(1.0)
    assert found.sampling == Sampling(DDIM(), 5, None, found.process)
    given = {choice.name for choice in found.choices if choice.given}
    assert given == {"process", "objective", "parametrization", "sampling"}


def test_objects_and_classes_are_taken_as_they_are():
    process, loss = EDM(0.01, 10.0), DenoisingScoreMatching(LogNormal(-1.0, 1.0))
    found = planned(two_modes(), process=process, objective=loss, parametrization=VPrediction(0.5), sampling=Heun())
    assert found.process is process and found.objective is loss and found.parametrization == VPrediction(0.5)
    assert found.sampling == Sampling(Heun(), 32, None, process)
    found = planned(two_modes(), objective=SlicedScoreMatching, parametrization=VPrediction)
    assert isinstance(found.objective, SlicedScoreMatching) and found.parametrization == VPrediction(1.0)
    found = planned(two_modes(), sampling=Sampling(Heun(), 7, None, process))  # a process that a sampler names
    assert found.process is process and found.sampling.steps == 7


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("process", Heun(), "^process must be a Process object or a call such as 'vp', got "),
        ("objective", Heun, "^objective must be a LevelObjective object or a call such as 'slicedscorematching', got "),
        ("parametrization", 3, "^parametrization must be a Parametrization object or a call such as 'noise', got 3$"),
        ("noise_levels", (0.1, 1.0), "^noise_levels must be a NoiseLevels object or a call such as "),
    ],
)
def test_things_of_other_kinds_are_refused(name, value, message):
    with pytest.raises(TypeError, match=message):
        Options(**{name: value})


def test_calls_that_cannot_be_read_are_refused():
    for name in ("process", "objective", "parametrization"):
        with pytest.raises(
            ValueError, match=f"^unknown {name if name != 'objective' else 'levelobjective'} 'nonsense'"
        ):
            fit(two_modes()[:50], **{name: "nonsense"})
    with pytest.raises(TypeError, match="objective must make a LevelObjective, got 3"):
        fit(two_modes()[:50], objective=lambda levels: 3)


def test_budgets_are_plain_keywords():
    x = two_modes()[:100]
    one, other = (fit(x, **how, network=SMALL).sample(3) for how in ({"steps": 5}, {"training": Training(steps=5)}))
    assert np.array_equal(one, other)
    assert planned(x, training=Training(minutes=2)).training.minutes == 2
    with pytest.raises(ValueError, match=r"the budget is given twice, steps=5 and training=Training\(steps=6\)"):
        fit(x, steps=5, training=Training(steps=6))
    with pytest.raises(ValueError, match="choose one budget"):
        fit(x, steps=5, minutes=1)


def test_noise_levels_can_be_given_in_part():
    found = planned(two_modes(), noise_levels="noiselevels(sigma_min=0.005)").noise_levels
    usual = planned(two_modes()).noise_levels
    assert (found.sigma_min, found.sigma_max, found.level_mean) == (0.005, usual.sigma_max, usual.level_mean)
    assert found.reasons == ("given", *usual.reasons[1:])
    with pytest.warns(DeprecationWarning, match="calibration= is now noise_levels="):
        model = fit(two_modes()[:50], steps=1, calibration=NoiseLevels(0.03, 50.0, -0.5, 1.2))
    assert model.process == EDM(0.03, 50.0)


@pytest.mark.parametrize("factor", [0.1, 255.0])
def test_units_can_be_given(factor):
    """The network sees the same numbers as in the usual units, if these differ by a factor."""
    x = two_modes() - two_modes().mean()
    usual = planned(x)
    found = planned(x, units=(0.0, factor))
    scale = found.prepared.scale
    assert scale == pytest.approx(x.std() / factor)
    assert found.noise_levels.sigma_min == pytest.approx(usual.noise_levels.sigma_min * scale)
    assert found.noise_levels.level_mean == pytest.approx(usual.noise_levels.level_mean + np.log(scale))
    assert found.parametrization == EDMPrediction(scale)
    how = {"training": Training(steps=50), "network": SMALL}
    one, other = (train(planned(x, **how, **units)).model.sample(20) for units in ({}, {"units": (0.0, factor)}))
    np.testing.assert_allclose(one, other, rtol=1e-3, atol=1e-3)
    with pytest.raises(ValueError, match=r"the data have shape \(1,\) in the layout of networks, got units for \(2,\)"):
        planned(x, units=Standardize((2,)))


@pytest.mark.parametrize(
    "objective, named",
    [
        (
            "slicedscorematching(noisy=False)",
            r"^SlicedScoreMatching\(noisy=False\) learns the score of data without noise",
        ),
        (
            "exactscorematching(noisy=False)",
            r"^ExactScoreMatching\(noisy=False\) learns the score of data without noise",
        ),
        (ExactScoreMatching(SingleLevel(0.1), noisy=False), r"^ExactScoreMatching\(noisy=False\)"),
        (LearnedUncertainty(SlicedScoreMatching(LogNormal(), noisy=False)), r"^SlicedScoreMatching\(noisy=False\)"),
        (
            DenoisingScoreMatching(SingleLevel(0.1)),
            r"^DenoisingScoreMatching at SingleLevel\(level=0.1\) teaches one level",
        ),
    ],
)
def test_an_objective_that_samples_could_not_be_drawn_with_is_refused(objective, named):
    with pytest.raises(ValueError, match=named + ".*Trainer$"):
        planned(np.random.default_rng(0).normal(size=(40, 2)), objective=objective, training=Training(steps=1))


@pytest.mark.parametrize("count", [40, 600])
def test_targets_are_averaged_in_small_data_too(count):
    """Where a group of batches is larger than the data: the weights are others than without."""
    x = np.random.default_rng(0).normal(size=(count, 2))
    found = []
    for size in (0, 20):
        how = Training(steps=2, batch=64, evaluations=1, reference_batch=size)
        found.append(train(planned(x, network=SMALL, training=how)).model.sample(5))
    assert not np.array_equal(*found)


def test_targets_that_cannot_be_averaged_are_refused_or_not_promised(monkeypatch):
    x = np.random.default_rng(0).normal(size=(60, 8, 8))
    assert planned(x, training=Training(steps=1)).training.reference_batch == 4096
    monkeypatch.setattr("scorefield.training.feed._KEPT", 0)
    found = planned(x, training=Training(steps=1), device="cpu")
    assert found.training.reference_batch == 0 and "too large" in found.choice("reference_batch").reason
    with pytest.raises(ValueError, match=r"^reference_batch=5 .* too large to be kept ready in memory: leave it out"):
        planned(x, training=Training(steps=1, reference_batch=5), device="cpu")
    table = pandas.DataFrame({"a": np.arange(60) ** 0.5, "b": list("xyz") * 20})
    with pytest.raises(ValueError, match=r"^reference_batch=5 .* a denoiser of numbers and categories has others"):
        planned(table, training=Training(steps=1, reference_batch=5))


def test_an_objective_without_targets_has_none_averaged():
    x = np.random.default_rng(0).normal(size=(40, 8, 8))
    how = Training(steps=1, batch=4)
    found = planned(x, objective="sliced", training=how)
    assert found.training.reference_batch == 0 and found.training.precision == "float32"
    assert "has no targets" in found.choice("reference_batch").reason
    with pytest.raises(ValueError, match="SlicedScoreMatching has no targets: leave it out"):
        planned(x, objective="sliced", training=Training(steps=1, reference_batch=10))


def test_a_plan_is_trained_twice_to_the_same_bits():
    found = planned(two_modes()[:200], training=Training(steps=5), network=SMALL)
    assert np.array_equal(train(found).model.sample(3), train(found).model.sample(3))


# -- of the user's own ---------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Ramp(Process):
    """Straight from data to noise that is `top` times larger."""

    top: float = 40.0

    def alpha(self, t):
        return torch.ones_like(t)

    def sigma(self, t):
        return 0.02 + (self.top - 0.02) * t**3


@dataclass(frozen=True)
class Halves(Parametrization):
    """Half of EDM's output."""

    def coefficients(self, level):
        skip, out = EDMPrediction(self.scale).coefficients(level)
        return Coefficients(skip, 2 * out)


@dataclass(frozen=True)
class Absolute(LevelObjective):
    """w ‖D - x_0‖ / n, with what LogNormal draws."""

    levels: LogNormal
    weight_of_all: float = 1.0

    def at(self, denoiser, x0, level, rng):
        error = denoiser(x0 + level * rng.normal_like(x0), level) - x0
        return sum_events(self.weight(level) * error**2) / x0[0].numel()

    def weight(self, level):
        return self.weight_of_all * (1 + level**-2)


def own(**changes):
    return {"process": Ramp(), "parametrization": Halves(), "objective": Absolute(LogNormal()), **changes}


def test_own_objects_work_are_stored_and_are_compared(tmp_path):
    x, how = two_modes()[:300], {"training": Training(steps=20), "network": SMALL}
    model = fit(x, tmp_path / "run", **how, **own())
    assert isinstance(model.process, Ramp) and isinstance(model.denoiser.parametrization, Halves)
    again = fit(x, tmp_path / "run", **how, **own(), watch=lambda progress: pytest.fail("it trained"))
    assert again.process == Ramp() and np.array_equal(model.sample(4), again.sample(4))
    package = __name__.partition(".")[0]
    assert Run(tmp_path / "run", trusted=("scorefield", package)).model.process == Ramp()
    with pytest.raises(ValueError, match=f"is not of the trusted packages .* pass trusted=.*{package}"):
        _ = Run(tmp_path / "run").model
    for name, value, message in (
        ("process", Ramp(50.0), r"process: Ramp\(top=40.0\) there, Ramp\(top=50.0\) asked"),
        ("objective", Absolute(LogNormal(0.0)), r"objective: Absolute\(.*mean=-0.5.*\) there, Absolute\(.*mean=0.0"),
        ("parametrization", None, "parametrization: Halves.* there, None asked"),
    ):
        with pytest.raises(ValueError, match=f"holds another run .{message}"):
            fit(x, tmp_path / "run", **how, **own(**{name: value}))


def test_calls_and_objects_are_the_same_run(tmp_path):
    x, how = two_modes()[:300], {"training": Training(steps=5), "network": SMALL}
    model = fit(
        x, tmp_path / "run", **how, process="vp", sampler="heun(steps=4)", parametrization="v", units=(0.0, 2.0)
    )
    given = {
        "process": model.process,
        "sampler": Sampling(Heun(), 4),
        "parametrization": model.denoiser.parametrization,
    }
    again = fit(x, tmp_path / "run", **how, **given, units=Standardize((1,), torch.tensor(0.0), torch.tensor(2.0)))
    assert np.array_equal(model.sample(3), again.sample(3))
    record = json.loads((tmp_path / "run" / "run.json").read_text())
    assert record["asked"]["process"]["class"] == "scorefield.processes.VP"
    assert ["sampling", "Heun(steps=4)", "given"] in record["choices"]


def test_what_a_file_cannot_hold_is_refused_before_training(tmp_path):
    class Local(EDM):
        """Not at the top of its module."""

    x = two_modes()[:50]
    assert type(fit(x, steps=2, process=Local()).process) is Local
    with pytest.raises(TypeError, match="Local cannot be described: move the class to the top of its module"):
        fit(x, tmp_path / "run", steps=2, process=Local(), watch=lambda progress: pytest.fail("it trained"))


def test_contexts_go_with_every_objective():
    """Given the label, the mean is that of its mode: by an objective without targets, too."""
    x = two_modes()
    label = (x[:, 0] > 0).astype(int)
    training = Training(steps=200, learning_rate=4e-3)
    model = fit(x, context=label, training=training, network=SMALL, objective="sliced", parametrization="v")
    for value, mean in enumerate(MEANS):
        drawn = model.given(value).sample(500)
        assert abs(drawn.mean() - mean) < 0.3 and abs(drawn.std() - STD) < 0.25
