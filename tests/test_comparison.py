"""Samplers side by side: what is counted, what is measured, and that the model is left as it was."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass, replace

import numpy as np
import pytest
import torch

from scorefield.comparison import Comparison, SamplerResult, compare, compare_model, resolved, usual
from scorefield.data import ArrayRows, Schema
from scorefield.denoisers import Denoiser, Gaussian
from scorefield.evaluation import evaluate
from scorefield.mcmc import MetropolisLangevin
from scorefield.metrics import Distance, energy_distance
from scorefield.model import Model
from scorefield.processes import EDM
from scorefield.rng import Samples
from scorefield.runs import Run, fit
from scorefield.samplers import DDIM, AnnealedLangevin, DormandPrince, ExponentialAdams, Heun, OneStepSampler, Sampling
from scorefield.schedules import ExplicitLevels, Karras, LogLevel, UniformTime
from scorefield.settings import Network, Training
from scorefield.units import Standardize

D = torch.float64
EXACT = Gaussian(torch.tensor([1.0, -2.0, 0.5], dtype=D), torch.tensor([1.0, 4.0, 0.25], dtype=D).diag())
NARROW = Gaussian(EXACT.mean, EXACT.covariance / 100)


def data(count: int, seed: int) -> np.ndarray:
    return EXACT.sample(count, Samples(seed, count=count)).numpy()


TRAIN, HELD_OUT = ArrayRows(data(800, 0)), ArrayRows(data(300, 1))


def model_of(denoiser: Denoiser = EXACT, example: np.ndarray | None = None) -> Model:
    units = Standardize((3,), torch.zeros(3, dtype=D), torch.ones(3, dtype=D))
    example = np.zeros((2, 3)) if example is None else example
    return Model(Schema.of(example), units, denoiser, EXACT, Sampling(Heun(), 24, process=EDM(0.002, 80.0)))


def compared(*samplings: Sampling, denoiser: Denoiser = EXACT, count: int = 200, **more) -> Comparison:
    return compare_model(model_of(denoiser), TRAIN, HELD_OUT, samplings, count, **more)


@dataclass(frozen=True)
class HalfAsleep(OneStepSampler):
    """A sampler that asks the denoiser about every second sample alone."""

    def step(self, diffusion, x, t, s, rng):
        diffusion.split(x[::2], t)
        return x


@dataclass(frozen=True)
class Explosive(OneStepSampler):
    """A sampler that becomes non-finite; `one` says whether one sample alone does it."""

    one: bool = True

    def step(self, diffusion, x, t, s, rng):
        return x * math.inf if self.one or len(x) > 1 else x


def test_evaluations_are_counted_by_sample():
    samplings = [
        Sampling(DDIM(), 7),
        Sampling(Heun(), 7),
        Sampling(HalfAsleep(), 4),
        Sampling(DDIM(), None, ExplicitLevels((50.0, 1.0, 0.1))),
        Sampling(DDIM()),
    ]
    found = compared(*samplings, count=40)
    assert [row.evaluations for row in found.rows] == [8, 15, 3, 3, 25]  # the last takes the noise off
    assert all(row.seconds > 0 for row in found.rows)
    assert found.rows[-1].sampling == Sampling(DDIM(), 24)


def test_densities_that_are_asked_for_are_counted_too():
    sampling = Sampling(AnnealedLangevin(MetropolisLangevin(0.5), moves=3), 4, LogLevel())
    found = compared(sampling, count=40)
    expected = model_of().sample(40, sampler=sampling.sampler, steps=4, schedule=sampling.schedule)
    np.testing.assert_allclose(found.samples[0], expected, rtol=1e-5)
    assert found.rows[0].evaluations == 1 + 4 * (
        2 + 2 * 3
    )  # density and score: before the first move, and at each proposal


def test_a_sampler_with_its_own_steps_is_counted_and_not_held_up():
    found = compared(Sampling(DormandPrince()), Sampling(DormandPrince(), 8), denoiser=NARROW, count=40)
    own, held_up = (row.evaluations for row in found.rows)
    assert 10 < own < held_up and own != int(own)
    assert [str(row.sampling) for row in found.rows] == ["DormandPrince", "DormandPrince(steps=8)"]


def test_the_exact_model_is_as_good_as_data_and_as_diverse():
    found = compared(Sampling(ExponentialAdams()), Sampling(DDIM(eta=1.0), 100), count=400)
    for row in found.rows:  # each is rejected with a probability of 5 % at most, and then barely
        assert len(row.tests) == 15 and len(row.rejected) <= 1 and min(d.p_value for d in row.tests) > 1e-3
        assert [d.name for d in row.distances] == ["energy distance", "sliced Wasserstein"]
        assert row.diversity == pytest.approx(1, abs=0.15)
    assert found.rows[0].distances[0].counts == (400, 300)
    good = [row for row in found.rows if row.covered]
    assert good and found.verdict[0] == (
        "By the 15 tests of the report, with 400 samples of each, no difference from held-out data was found in the samples of "
        f"{len(good)} of 2 samplers."
    )
    fastest = min(good, key=lambda row: row.seconds)
    assert found.verdict[1].startswith(f"The fastest of them is {fastest.sampling}: ") and len(found.verdict) == 2


def test_samples_that_look_alike_are_found_out():
    found = compared(Sampling(Heun()), denoiser=NARROW)
    assert not found.rows[0].covered and found.rows[0].diversity == pytest.approx(0.1, abs=0.03)
    expected = "By the 12 tests of the report, with 200 samples, the samples differ from held-out data."
    assert found.verdict[0] == expected
    assert found.verdict[1] == f"{len(found.rows[0].rejected)} of 12 tests find a difference."
    assert found.verdict[2].startswith("The energy distance is ")
    alike = "Samples of Heun(steps=24) are closer to each other than real data are: they look alike."
    assert found.verdict[3] == alike


def test_samples_that_hold_noise_are_found_out():
    wide = Gaussian(EXACT.mean, EXACT.covariance * 9)
    assert compared(Sampling(Heun()), denoiser=wide).verdict[-1] == (
        "Samples of Heun(steps=24) are farther from each other than real data are: they contain noise."
    )


@pytest.mark.slow
def test_samplers_agree_as_they_converge():
    steps = (5, 10, 20, 40)
    found = compared(
        Sampling(DormandPrince(1e-8, 1e-8)),
        *(Sampling(Heun(), n) for n in steps),
        Sampling(DDIM(eta=1.0), 40),
        count=50,
    )
    apart = [row.apart for row in found.rows]
    assert apart[0] == 0 and apart[1] > apart[2] > apart[3] > apart[4] and apart[4] < 0.02 < 0.3 < apart[5]
    # of the standard deviations 1, 2 and 1/2 of the data, as they are the units here: the root of a mean square
    first, other = (model_of().sample(50, sampler=s, steps=n) for s, n in ((DDIM(), 5), (DDIM(), 9)))
    row = compared(Sampling(DDIM(), 5), Sampling(DDIM(), 9), count=50).rows[1]
    assert row.apart == pytest.approx(np.sqrt(np.mean((first - other) ** 2)), rel=1e-6)


def test_samples_are_those_of_the_model_and_the_floor_is_shared():
    model = model_of()
    found = compared(Sampling(Heun(), 6), Sampling(DDIM(), 6, LogLevel()), seed=4)
    for drawn, sampling in zip(found.samples, (Sampling(Heun(), 6), Sampling(DDIM(), 6, LogLevel()))):
        expected = model.sample(200, 4, sampler=sampling.sampler, steps=6, schedule=sampling.schedule)
        np.testing.assert_allclose(drawn, expected, rtol=1e-5)
    for row, drawn in zip(found.rows, found.samples):
        value = energy_distance(torch.from_numpy(drawn), torch.from_numpy(found.held_out))
        assert row.distances[0].value == pytest.approx(value, rel=1e-3)
    one, other = ([(d.floor, d.low, d.high) for d in row.distances] for row in found.rows)
    assert one == other and found.rows[0].distances[0].value != found.rows[1].distances[0].value


def test_the_model_is_left_as_it_was():
    model = model_of()
    before, names = model.denoiser, [name for name, _ in model.named_modules()]
    compare_model(model, TRAIN, HELD_OUT, [Sampling(DDIM(), 3)], 10)
    assert model.denoiser is before and [name for name, _ in model.named_modules()] == names


def test_numbers_that_are_whole_stay_whole():
    counts = np.random.default_rng(0).poisson(20, (400, 3))
    rows = ArrayRows(counts)
    found = compare_model(model_of(EXACT, counts), rows, rows, [Sampling(DDIM(), 4), Sampling(DDIM(), 5)], 20)
    assert all((drawn == np.round(drawn)).all() for drawn in found.samples)
    assert 0 < found.rows[1].apart < 1  # before rounding: a small difference shows


def test_real_data_that_repeat_themselves_say_nothing_of_diversity():
    rows = ArrayRows(np.repeat(data(4, 0), 50, 0))
    found = compare_model(model_of(), rows, rows, [Sampling(DDIM(), 3)], 20)
    assert math.isnan(found.rows[0].diversity) and found.plain()["rows"][0]["diversity"] is None
    assert len(found.verdict) == 3


def test_a_sampler_that_fails_is_reported_and_the_others_are_measured():
    said = []
    found = compared(Sampling(Explosive()), Sampling(DDIM(), 3), Sampling(Explosive(one=False), 3), watch=said.append)
    assert [str(row.sampling) for row in found.rows] == ["DDIM(steps=3)"] and found.rows[0].apart == 0
    assert [str(sampling) for sampling, _ in found.failed] == ["Explosive(steps=24)", "Explosive(one=False, steps=3)"]
    assert all("non-finite (NaN or inf)" in reason for _, reason in found.failed)
    assert len(said) == 3 and said[1].startswith("DDIM(steps=3): 200 samples in ")
    with pytest.raises(RuntimeError, match=r"every sampler failed: Explosive\(steps=24\): Explosive gave a state"):
        compared(Sampling(Explosive()))


@pytest.mark.parametrize(
    "sampling, reason",
    [
        (Sampling(DDIM(), 0), r"DDIM\(steps=0\): a sampler needs at least 1 step, got steps=0"),
        (
            Sampling(DDIM(), 3, ExplicitLevels((1.0, 0.5))),
            r"DDIM\(steps=3, schedule=ExplicitLevels\(values=\(1, 0.5\)\)\): 2 levels make 1 steps",
        ),
        (
            Sampling(DDIM(), None, ExplicitLevels((500.0, 0.5))),
            r"DDIM\(schedule=ExplicitLevels\(.*\): EDM runs through levels 80 to 0.002",
        ),
    ],
)
def test_a_sampling_that_cannot_be_used_is_refused_before_others_draw(sampling, reason):
    said = []
    with pytest.raises(ValueError, match=reason):
        compared(Sampling(DDIM(), 2), sampling, watch=said.append)
    assert said == []


def test_sets_of_one_cannot_be_compared():
    with pytest.raises(ValueError, match="2 or more of each: got count=1 and 300"):
        compared(Sampling(DDIM(), 2), count=1)
    with pytest.raises(ValueError, match="2 or more of each: got count=5 and 1"):
        compare_model(model_of(), TRAIN, HELD_OUT.subset([0]), [Sampling(DDIM(), 2)], 5)


def test_samplings_are_named_by_what_they_are():
    assert str(Sampling(DDIM())) == "DDIM"
    assert str(Sampling(DDIM(eta=0.5), 20, Karras(rho=5.0))) == "DDIM(eta=0.5, steps=20, schedule=Karras(rho=5))"
    assert (
        str(Sampling(Heun(), schedule=ExplicitLevels((2.5, 1.0)))) == "Heun(schedule=ExplicitLevels(values=(2.5, 1)))"
    )
    model = model_of()
    assert resolved(Sampling(DDIM()), model) == Sampling(DDIM(), 24)
    assert resolved(Sampling(DDIM()), model, 7) == Sampling(DDIM(), 7)
    assert resolved(Sampling(DDIM(), 5), model, 7) == Sampling(DDIM(), 5)
    assert resolved(Sampling(DormandPrince()), model, 7) == Sampling(DormandPrince())
    two = Sampling(DDIM(), None, ExplicitLevels((2.0, 1.0)))
    assert resolved(two, model, 7) == two
    model.sampling = model.sampling.replace(schedule=Karras())
    assert resolved(Sampling(DDIM(), 3), model) == Sampling(DDIM(), 3, Karras())
    assert resolved(Sampling(DDIM(), 3, UniformTime()), model) == Sampling(DDIM(), 3, UniformTime())


@pytest.mark.slow
def test_usual_ways_cost_about_as_much_as_the_model_s_own():
    model = model_of()
    samplings = usual(model)
    assert (
        resolved(samplings[0], model) == Sampling(Heun(), 24)
        and len(samplings) >= 7
        and len(set(map(str, samplings))) == len(samplings)
    )
    found = compare_model(model, TRAIN, HELD_OUT, samplings, 20)
    own = found.rows[0].evaluations
    for row in found.rows:
        assert row.sampling.steps is None or 0.45 * own <= row.evaluations <= 1.1 * own, str(row.sampling)
    assert usual(model, 9)[0] == Sampling(Heun(), 9)


def test_numbers_survive_json():
    found = compared(Sampling(DDIM(), 3), Sampling(Explosive(), 3))
    plain = json.loads(json.dumps(found.plain(), allow_nan=False))
    assert plain["count"] == 200 and plain["seed"] == 0 and plain["verdict"] == list(found.verdict)
    row = plain["rows"][0]
    assert row["sampler"] == "DDIM(steps=3)" and row["evaluations"] == 4
    assert row["per_second"] == pytest.approx(200 / found.rows[0].seconds)
    assert row["distances"][0]["name"] == "energy distance" and row["distances"][0]["high"] > 0
    assert plain["failed"][0]["sampler"] == "Explosive(steps=3)"


def test_one_sampler_is_described_as_one():
    near = Distance("energy distance", 0.0, 0.0, -0.1, 0.1)
    row = SamplerResult(Sampling(DDIM(), 3), 4.0, 0.5, (near,), 1.0, 0.0)
    one = Comparison(100, 0, (row,), (), (np.zeros((2, 2)),), np.zeros((2, 2)))
    assert one.verdict[0] == (
        "By their distances to held-out data, with 100 samples, no difference from held-out data was found in the samples of "
        "DDIM(steps=3)."
    )
    assert one.verdict[1] == "It draws 200 samples a second, 4 evaluations of the network each."
    assert replace(one, rows=(replace(row, seconds=400.0),)).verdict[1].startswith("It draws one sample in 4 s")
    far = replace(row, distances=(replace(near, value=0.2),))
    said = replace(one, rows=(far,)).verdict[1]
    assert said == "The energy distance is 0.2; between two sets of real data it is rarely more than 0.1."


@pytest.mark.slow
def test_samplers_are_judged_by_the_tests_of_the_report():
    """The same samples against the same data: the same tests, to the last digit, whatever is wrong with the model."""
    for denoiser in (EXACT, NARROW):
        row = compared(Sampling(Heun(), 24), denoiser=denoiser, seed=3).rows[0]
        found = evaluate(model_of(denoiser), TRAIN, HELD_OUT, count=200, seed=3)
        assert [(d.name, d.p_value, d.value) for d in row.tests] == [(d.name, d.p_value, d.value) for d in found.tests]
        assert row.covered == (not found.rejected) and len(row.rejected) == len(found.rejected)
        assert (len(row.rejected) > 8) == (denoiser is NARROW)


def test_a_run_keeps_the_numbers(tmp_path):
    x = data(120, 5)
    training = Training(steps=10, batch=16, evaluations=2)
    fit(x, tmp_path / "run", network=Network(widths=(8,), depth=1), training=training, device="cpu")
    run = Run(tmp_path / "run")
    with pytest.raises(ValueError, match="given in memory: pass them again"):
        compare(run, [Sampling(DDIM(), 3)])
    found = compare(run, [Sampling(DDIM(), 3), Sampling(Heun(), 2)], x, count=30, seed=1)
    assert run.read("compare.json") == json.loads(json.dumps(found.plain()))
    assert found.count == 30 and found.seed == 1 and found.held_out.shape == (12, 3)
    expected = run.model.sample(30, 1, sampler=Heun(), steps=2)
    np.testing.assert_allclose(found.samples[1], expected, rtol=1e-5)
