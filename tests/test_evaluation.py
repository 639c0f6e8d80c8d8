from __future__ import annotations

import json
import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from scorefield.data import ArrayRows, Schema
from scorefield.denoisers import Denoiser, Empirical, Gaussian
from scorefield.evaluation import (
    Evaluation,
    LossHistory,
    evaluate,
    evaluate_run,
    evaluate_table,
    measure,
    split_of,
    still_falling,
)
from scorefield.evaluation.findings import range_finding
from scorefield.evaluation.measure import _other
from scorefield.evaluation.verdict import verdict
from scorefield.metrics import Distance, GeneralizationGap, Neighbours, PlainColumn, declared
from scorefield.model import Model
from scorefield.processes import EDM
from scorefield.rng import Samples
from scorefield.runs import Run, fit
from scorefield.samplers import DDIM, EulerMaruyama, Heun, OneStepSampler, Sampling
from scorefield.settings import Data, Training
from scorefield.units import Standardize

D = torch.float64
EXACT = Gaussian(torch.tensor([1.0, -2.0, 0.5], dtype=D), torch.tensor([1.0, 4.0, 0.25], dtype=D).diag())


def data(count: int, seed: int, offset: float = 0.0) -> np.ndarray:
    return EXACT.sample(count, Samples(seed, count=count)).numpy() + offset


def model_of(denoiser: Denoiser, offset: float = 0.0) -> Model:
    units = Standardize((3,), torch.full((3,), offset, dtype=D), torch.ones(3, dtype=D))
    return Model(Schema.of(np.zeros((2, 3))), units, denoiser, EXACT, Sampling(Heun(), 24, process=EDM(0.002, 80.0)))


def shifted(by: float) -> Gaussian:
    return Gaussian(EXACT.mean + by, EXACT.covariance)


RANGE = "values outside the range of the data"
ORIGINAL = "No copies of training data were found: "
POWER = "the tests find in nine of ten cases, in a single column: a mean off by"
COPIED = "Some samples lie closer to the training data than chance explains: the model has begun to memorize them."


@pytest.mark.parametrize("offset", [pytest.param(0.0, marks=pytest.mark.slow), 1e9])
def test_samples_of_the_exact_model_are_as_good_as_data(offset):
    """However far from zero the data lie."""
    found = evaluate(model_of(EXACT, offset), data(1500, 0, offset), data(500, 1, offset), count=500, seed=2)
    assert not found.rejected and not found.neighbours.suspicious and not found.gap.suspicious
    assert len(found.tests) == 12
    conclusion, none, copies, power = found.verdict
    assert conclusion == ALIKE and found.summary.advice == ()
    assert none == "None of 12 tests distinguishes 500 samples from 500 rows of held-out data."
    assert power.startswith(f"With 500 samples against 500 rows, {POWER} 0.")
    assert copies.startswith(
        f"{ORIGINAL}0 of 500 samples equal a training row, and 0 of 2,000 real rows equal another; "
    )
    assert (
        "would have found exact copies of 0.2 % of the samples and near copies (rows with noise of 1 % of the spread) of"
        in copies
    )
    assert copies.endswith(" of the samples.") and not found.rows
    assert found.count == 500 and found.seconds > 0
    assert found.twin.p_value > 0.01


@pytest.mark.parametrize("offset", [pytest.param(0.0, marks=pytest.mark.slow), 1e9])
def test_shifted_samples_are_found_out(offset):
    """Not by associations, which a shift leaves as they are."""
    found = evaluate(model_of(shifted(0.5), offset), data(1500, 0, offset), data(500, 1, offset), count=500, seed=2)
    names = {d.name for d in found.rejected}
    assert {"columns", "moments", "energy distance", "classifier two-sample test"} <= names
    assert "associations" not in names
    assert not found.neighbours.suspicious
    assert found.verdict[0] == APART and len(found.verdict) == 4 and found.verdict[2].startswith(ORIGINAL)
    expected = f"{len(names)} of 12 tests find a difference. The clearest is in the columns (p = 0.002): of 3,"
    assert found.verdict[1].startswith(expected)


@pytest.mark.slow
def test_all_rows_are_used_where_few_were_held_out():
    """A shift too small for 100 held-out rows is found in 1,000 rows; the level stays that of all tests together."""
    parts = data(900, 0), data(100, 1)
    found = evaluate(model_of(EXACT), *parts, count=2000, seed=2)
    names = [d.name for d in found.tests]
    assert found.rows == 1000 and len(names) == 15 and not found.rejected
    assert {"moments, all rows", "marginals, Kolmogorov-Smirnov, all rows", "associations, all rows"} <= set(names)
    assert found.verdict[1].endswith(
        "2,000 samples from 100 rows of held-out data, nor, by moments, marginals and associations, from all 1,000 rows."
    )
    assert found.smallest.sizes.real == (100, 1000)
    for family in found.families:  # what is said of the rows is what they are
        if family.distance.name == RANGE:
            assert family.against == "new real rows"
            continue
        every = family.distance.name.endswith("all rows")
        assert family.against == ("all rows" if every else "held out")
        said = "samples and 1,000 real rows, held out or not" if every else "samples and 100 held-out rows"
        assert said in family.distance.note
    shift = evaluate(model_of(shifted(0.13)), *parts, count=2000, seed=2)
    assert "moments, all rows" in {d.name for d in shift.rejected} and "moments" not in {d.name for d in shift.rejected}
    assert not evaluate(model_of(EXACT), *parts, count=150, matched=False).rows


def test_copies_are_found_out():
    """A model that memorized its data."""
    train = data(300, 0)
    found = evaluate(model_of(Empirical(torch.from_numpy(train))), train, data(100, 1), count=200, seed=2)
    assert found.neighbours.suspicious
    assert found.neighbours.copied > 0.9 > found.neighbours.copied_held_out
    assert found.verdict[0] == COPIES and any(sentence.startswith(COPIED) for sentence in found.summary.reasons)
    assert found.summary.advice[-1] == "Use more data, a smaller network, or a shorter budget."


def test_rows_serve_as_well_as_arrays_and_seeds_repeat():
    model, train, held_out = model_of(EXACT), data(300, 0), data(100, 1)
    first, again, other = (
        evaluate(model, *parts, count=100, seed=seed)
        for parts, seed in (
            ((train, held_out), 3),
            ((ArrayRows(train), ArrayRows(held_out)), 3),
            ((train, held_out), 4),
        )
    )
    assert first.distances == again.distances != other.distances
    assert first.tests == again.tests and first.twin == again.twin
    assert np.array_equal(first.neighbours.samples, again.neighbours.samples)


def test_plain_data_of_it():
    found = evaluate(model_of(EXACT), data(300, 0), data(100, 1), count=100)
    plain = json.loads(json.dumps(found.plain(), allow_nan=False))
    assert plain["verdict"] == list(found.verdict) and plain["count"] == 100
    assert [d["name"] for d in plain["distances"]] == [d.name for d in found.distances]
    assert plain["rejected"] == [d.name for d in found.rejected]
    assert plain["families"][0]["labels"] == list(found.families[0].labels)
    near = plain["neighbours"]
    for name, values in (("samples", found.neighbours.samples), ("held_out", found.neighbours.held_out)):
        assert near[name] == pytest.approx(np.quantile(values, near["quantiles"]))
    assert near["suspicious"] is False and near["equal"]["count"] == 0 and near["copies_p_value"] > 1e-3
    assert plain["smallest"]["mean"] == found.smallest.mean and plain["smallest"]["sizes"]["real"] == [100]


class Field(Denoiser):
    """The denoiser of white noise on a grid, times a factor."""

    def __init__(self, factor: float = 1.0) -> None:
        super().__init__()
        self.factor = factor

    def forward(self, x: torch.Tensor, level: torch.Tensor) -> torch.Tensor:
        return self.factor * x / (1 + level**2)


def test_fields_get_what_is_known_of_fields():
    shape = (1, 8, 8)
    units = Standardize(shape, torch.zeros(shape, dtype=D), torch.ones(shape, dtype=D))
    exact = Gaussian(torch.zeros(shape), torch.ones(shape))
    noise = np.random.default_rng(0).normal(size=(400, 8, 8))
    model = Model(
        Schema.of(noise, structure="grid", channels="none"), units, Field(), exact, Sampling(process=EDM(0.002, 80.0))
    )
    found = evaluate(model, noise[:200], noise[200:], count=100)
    assert {"power spectrum", "variogram", "lineal path", "Minkowski functionals"} <= {c.name for c in found.curves}
    assert [family.distance.name for family in found.families] == [RANGE]
    assert not found.rejected and "in a single principal direction: " in found.verdict[-1]
    assert "power spectrum" in found.chosen
    json.dumps(found.plain(), allow_nan=False)
    model.denoiser = Field(0.8)
    assert "power spectrum" in {d.name for d in evaluate(model, noise[:200], noise[200:], count=100).rejected}


def test_a_table_is_judged_by_its_types():
    """A column of booleans is one of categories, whatever numbers stand for it inside."""
    import pandas as pd

    rng = np.random.default_rng(0)
    frame = pd.DataFrame({"size": rng.normal(size=400), "yes": rng.random(400) < 0.3})
    fitted = fit(frame, training=Training(steps=30))
    found = evaluate(fitted, frame[:300], frame[300:], count=100)
    assert found.families[0].labels == ("size", "yes")
    assert [(c.name, c.size, c.kind) for c in found.table.columns] == [("size", 0, "number"), ("yes", 2, "boolean")]
    assert "boosted trees" in {d.name for d in found.tests} and found.table.shapes.columns[1].kind == "boolean"
    assert [f.distance.name for f in found.families] == [
        "columns",
        "associations",
        "joint distributions of pairs",
        RANGE,
    ]


# -- tables ------------------------------------------------------------------------------------------------------


COLUMNS = (PlainColumn("rain"), PlainColumn("price"), PlainColumn("kind", 3), PlainColumn("late", 2, "boolean"))


def table(count: int, seed: int) -> np.ndarray:
    """Rain of 60 % zeros, a price in steps of 0.5 that is missing for a tenth, and two categories that go with it."""
    rng = np.random.default_rng(seed)
    z = rng.normal(size=count)
    rain = np.where(rng.random(count) < 0.6, 0.0, rng.gamma(2.0, size=count))
    price = np.round(2 * (5 + z)) / 2
    price[rng.random(count) < 0.1] = np.nan
    kind = np.clip(np.round(1 + z + 0.5 * rng.normal(size=count)), 0, 2)
    return np.stack([rain, price, kind, (z + rng.normal(size=count) > 0).astype(float)], 1)


def judged(samples: np.ndarray, history: LossHistory | None = None) -> Evaluation:
    """The evaluation of samples of that table, without a model."""
    made, families = evaluate_table(samples, table(2000, 0), table(600, 1), COLUMNS)
    none = Neighbours(np.ones(50), np.ones(50), 0.1, 0.1, 0.5)
    whole = Evaluation(len(samples), 1.0, "", (made.boosted,), families, (), none, None, None, table=made)
    summary = verdict(whole, history, unseen=True)
    return replace(whole, verdict=summary.sentences, summary=summary)


def test_rows_of_the_same_table_pass():
    found = judged(table(600, 2), FALLING)
    assert not found.rejected and not found.copies_suspected and len(found.verdict) == 3
    assert found.verdict[1] == "None of 6 tests distinguishes 600 samples from 600 rows of held-out data."
    assert found.table.utility.target == "late" and not found.table.utility.worse
    assert all(score.value >= score.low - 0.01 for score in found.table.scores)
    plain = json.loads(json.dumps(found.plain(), allow_nan=False))
    assert [c["name"] for c in plain["table"]["shapes"]["columns"]] == ["rain", "price", "kind", "late"]
    assert len(plain["table"]["privacy"]["distances"]) == 5 and "columns" not in plain["table"]
    assert evaluate_table(table(100, 2), None, table(100, 1), COLUMNS[:4])[0].privacy is None


@pytest.mark.slow
def test_advice_follows_what_was_found():
    """Values below zero are not a matter of more training, however the held-out loss falls."""
    samples = table(600, 2)
    samples[:40, 0] = -0.5
    found = judged(samples, FALLING)
    assert RANGE in {d.name for d in found.rejected}
    said = " ".join(found.verdict)
    assert "Samples lie outside the range of the data in rain (40 below 0, of 600)" in said and "declare bounds" in said
    assert "−log₁₀" not in said  # of a value that the sentence does not give
    assert "Train longer" not in said
    samples = table(600, 2)
    zero = samples[:, 0] == 0
    samples[zero, 0] = np.random.default_rng(0).uniform(0, 0.5, zero.sum())
    said = " ".join(judged(samples, FALLING).verdict)
    share = np.mean(table(600, 1)[:, 0] == 0)
    assert (
        f"A single value has another probability in rain (0 in {share:.2g} of the rows, and in 0 of the samples)"
        in said
    )
    assert "keeps them apart" in said and "bounds" not in said and "Train longer" not in said


@pytest.mark.slow
def test_lattices_new_categories_and_missing_shares_are_named():
    samples = table(600, 2)
    samples[:, 1] += np.random.default_rng(0).uniform(-0.2, 0.2, 600)
    off = np.mean(~np.isin(samples[:, 1], table(2600, 0)[:, 1]) & ~np.isnan(samples[:, 1]))
    samples[:30, 2] = 3
    said = " ".join(judged(samples).verdict)
    assert f"samples lie between them, in price ({100 * off:.0f} % of the samples)" in said
    assert "categories that no row of the data has in kind (30 of 600 samples)" in said
    samples = table(600, 2)
    samples[:, 1] = np.nan_to_num(samples[:, 1], nan=5.0)
    said = " ".join(judged(samples).verdict)
    assert "Values are missing at other rates than in the data: price is missing (0 of the samples, 0.1" in said


def test_lost_dependence_leads_to_the_usual_advice_and_to_the_pairs():
    samples = np.stack([np.random.default_rng(i).permutation(column) for i, column in enumerate(table(600, 2).T)], 1)
    found = judged(samples, FALLING)
    assert {d.name for d in found.rejected} == {"associations", "joint distributions of pairs", "boosted trees"}
    assert found.verdict[-1].startswith("Train longer") and found.table.utility.worse
    assert (
        "The clearest is in the associations" in found.verdict[1] or "The clearest is in the joint" in found.verdict[1]
    )
    assert any(s.startswith("Boosted trees that learned from samples predict late less well") for s in found.verdict)


def test_copies_of_rows_are_found():
    found = judged(table(2000, 0)[:600], FALLING)
    assert found.copies_suspected and COPIED in found.verdict and found.table.privacy.equal.count == 600
    assert found.verdict[-1] == "Use more data, a smaller network, or a shorter budget."
    assert "suspected" in repr(found)


def test_models_of_described_tables_are_evaluated_by_the_columns(monkeypatch):
    """Whatever the units of the model are: rows with categories and gaps are compared as rows."""
    units = Standardize((4,), torch.zeros(4, dtype=D), torch.ones(4, dtype=D))
    gaussian = Gaussian(torch.zeros(4, dtype=D), torch.ones(4, dtype=D))
    schema = replace(Schema.of(table(9, 0)), table=COLUMNS)
    model = Model(schema, units, gaussian, gaussian, Sampling(Heun(), 8, process=EDM(0.002, 80.0)))
    rows = lambda model, count, seed, *rest: (model.schema.unpack(table(count, seed + 5), D), 0)  # noqa: E731
    monkeypatch.setattr(measure, "drawn", rows)
    monkeypatch.setattr(measure, "_gap", lambda *parts: None)  # the loss of this model knows no gaps
    found = evaluate(model, table(1000, 0), table(300, 1), count=300, target="kind")
    assert not found.rejected and found.twin.p_value > 0.01 and found.table.utility.target == "kind"
    assert len(found.tests) == 8 + 6 and "tables of 4 columns" in found.chosen
    assert found.samples.dtype == np.float64 and np.isnan(found.samples).any()
    with pytest.raises(ValueError, match="there is no column 'wind' to predict: choose from rain, price, kind, late"):
        evaluate(model, table(100, 0), table(100, 1), count=100, target="wind")


def test_few_data_are_tested_with_all_rows():
    """Held-out rows alone are too few for tests, and it is said what could have been found."""
    found = evaluate(model_of(EXACT), data(300, 0), data(10, 1), count=100)
    kinds = ("moments", "marginals, Kolmogorov-Smirnov", "associations")
    assert [d.name for d in found.tests] == [f"{kind}, all rows" for kind in kinds]
    assert not found.rejected and found.gap is None
    assert [d.name for d in found.distances] == ["energy distance", "sliced Wasserstein"]
    assert found.chosen.startswith("Fewer than 20 vectors of 3 numbers on a side")
    none, (few,), power = found.summary.reasons[0], found.summary.advice, found.summary.details[0]
    assert none == "None of 3 tests of moments, marginals and associations distinguishes the samples from all 310 rows."
    assert few.startswith("Only 10 rows are held out, and tests against held-out rows need 20: hold out more;")
    assert power.startswith(f"With 100 samples against 310 rows, {POWER} 0.")
    assert f"of two columns, a rank correlation off by {found.smallest.sizes.association:.2g}. Smaller" in power


def test_without_tests_it_is_said_what_they_would_find():
    found = evaluate(model_of(EXACT), data(8, 0), data(8, 1), count=100)
    assert not found.tests and found.gap is None
    assert found.verdict[0].endswith("there are too few data for tests.")
    assert (
        found.summary.advice[0] == "Only 8 rows are held out, and tests against held-out rows need 20: hold out more."
    )
    assert "against 8 rows, tests of moments and marginals would find in nine of ten cases" in found.verdict[-1]
    assert found.smallest.mean > 1


class TwoMinds(Denoiser):
    """A denoiser of no distribution: it removes half of the noise that it should."""

    def forward(self, x: torch.Tensor, level: torch.Tensor) -> torch.Tensor:
        exact = EXACT(x, level)
        return x + 0.5 * (exact - x)


def test_two_ways_of_sampling_show_a_score_of_no_distribution():
    found = evaluate(model_of(TwoMinds()), data(300, 0), data(100, 1), count=200)
    assert found.twin.p_value < 0.01
    assert any(s.startswith("Another sampler gives different samples (energy test of 200") for s in found.verdict)


def test_too_few_held_out_data():
    """The part that is advised holds two."""
    need = "^samples are compared with at least 2 held-out data, got 1"
    for count, advice in ((10, "held_out=0.2"), (5, "held_out=0.4"), (3, "held_out=0.5")):
        with pytest.raises(ValueError, match=rf"{need}: fit again with a larger part held out, {advice} \(--held-out"):
            evaluate(model_of(EXACT), data(count, 0), data(1, 1))
        assert int(float(advice[9:]) * (count + 1)) >= 2
    with pytest.raises(ValueError, match=f"{need} of 3 rows: fit to more data, 4 rows or more$"):
        evaluate(model_of(EXACT), data(2, 0), data(1, 1))


@pytest.mark.parametrize("count", [0, -3])
def test_no_samples(count):
    with pytest.raises(ValueError, match=f"at least one sample is drawn, .* got count={count}"):
        evaluate(model_of(EXACT), data(10, 0), data(5, 1), count=count)


# -- the verdict ---------------------------------------------------------------------------------------------------


def distance(value: float, name: str = "energy distance", p: float | None = None) -> Distance:
    return Distance(name, value, 1.0, 0.5, 2.0, (100, 100), p, note="of 3, size differs the most")


def neighbours(suspicious: bool) -> Neighbours:
    near = np.full(50, 0.01 if suspicious else 1.0)
    p = 1e-9 if suspicious else 0.5
    found = Neighbours(near, np.full(50, 1.0), 0.9 if suspicious else 0.1, 0.1, p, p)
    assert found.suspicious is suspicious
    return found


def gap(suspicious: bool) -> GeneralizationGap:
    held_out = np.array([1.5, 1.0]) if suspicious else np.ones(2)
    z, p = (np.array([9.0, 0.0]), 0.001) if suspicious else (np.zeros(2), 0.5)
    return GeneralizationGap(np.array([0.1, 1.0]), np.ones(2), held_out, z, p)


def found(p: float | None, copied: bool = False, learned: bool = False, value: float = 1.5) -> Evaluation:
    distances = (distance(value, p=p), distance(value, "Wasserstein"))
    return Evaluation(100, 1.0, "", distances, (), (), neighbours(copied), gap(learned), None)


def falling(*slopes: float, count: int = 20) -> LossHistory:
    """Losses that fall in a straight line, each by another slope."""
    level = [0.1 * 2**k for k in range(len(slopes) + 1)]
    return LossHistory(level, list(range(count)), [[1 - slope * t for slope in slopes] for t in range(count)])


FALLING, FLAT = falling(0.0, 0.01, 0.02, 0.0), falling(0.0, 0.0)
UP = LossHistory([0.1, 1.0], range(23), [[1 - 0.02 * t] for t in range(20)] + [[3.0]] * 3)
MORE = "Train longer: the held-out loss at noise levels 0.2 to 0.8 was still falling when the budget ended (by 11 %"
STOPPED = "The held-out loss has stopped falling at every noise level"
DIFFERENT = (
    "1 of 1 tests finds a difference. The clearest is in the energy distance (p = 0.002): of 3, size differs the most."
)
NONE = "None of 1 tests distinguishes 100 samples from 100 rows of held-out data."
LEARNED = "But the held-out loss exceeds the training loss at level 0.1, by a factor of up to 1.50"
APART = "The samples differ from real data in ways that the tests can see."
ALIKE = "No difference between samples and held-out data was found."
SHORT = "The model is not trained enough yet: its samples differ from real data."
COPIES = "The model copies training data: do not use its samples as new data."


@pytest.mark.parametrize(
    ("what", "history", "said"),
    [
        (found(0.5), FALLING, (ALIKE, NONE, ORIGINAL)),
        (found(0.002), FALLING, (APART, DIFFERENT, ORIGINAL, MORE)),
        (found(0.002), FLAT, (APART, DIFFERENT, ORIGINAL, STOPPED)),
        (found(0.002), UP, (APART, DIFFERENT, ORIGINAL, STOPPED)),
        (found(0.002), None, (APART, DIFFERENT, ORIGINAL)),
        (found(0.002, copied=True), FALLING, (COPIES, DIFFERENT, COPIED, "Use more data")),
        (found(0.5, copied=True), FALLING, (COPIES, NONE, COPIED, "Use more data")),
        (found(0.5, learned=True), FALLING, (ALIKE, NONE, LEARNED, "Use more data")),
        (
            found(None),
            None,
            (
                "No difference between samples and held-out data was found, but there are too few data for tests.",
                "By energy distance and Wasserstein, the samples are as close",
                ORIGINAL,
            ),
        ),
        (
            found(None, value=5.0),
            FALLING,
            (APART, "The energy distance between samples and held-out data is 5; between two sets", ORIGINAL, MORE),
        ),
    ],
)
def test_sentences(what, history, said):
    sentences = verdict(what, history, unseen=True).sentences
    assert len(sentences) == len(said)
    assert all(part in sentence for part, sentence in zip(said, sentences))


@pytest.mark.parametrize("measured", [1, 7])
def test_a_model_that_was_trained_too_shortly_is_told_so(measured):
    """Training of 24 steps has one measurement of the held-out loss: too few for a trend."""
    history = replace(falling(0.02, count=measured), steps=24, seconds=3.0)
    said = verdict(found(0.002), history, unseen=True)
    assert said.conclusion == SHORT and said.reasons[0] == DIFFERENT
    assert said.advice[0].startswith("Train longer: training ended after 24 steps (3 s), too early to see whether")
    twin = replace(found(0.002), twin=distance(9.0, "two ways of sampling", 1e-4))
    assert "Another sampler" not in " ".join(verdict(twin, history, True).sentences)
    assert "Another sampler" in " ".join(verdict(twin, FLAT, True).sentences)
    assert verdict(found(0.5), history, unseen=True).conclusion == ALIKE  # whoever is as good needs no more training


def test_where_the_loss_still_falls():
    """Neighbours count together; of several places the one of the largest drop."""
    assert still_falling(FLAT) is None and still_falling(UP) is None and still_falling(falling(0.02, count=7)) is None
    low, high, drop = still_falling(falling(0.001, 0.0, 0.01, 0.02))
    assert (low, high) == (0.4, 1.6)
    assert drop == pytest.approx((0.7 - 0.62) / 0.7)


def test_without_held_out_data_copies_cannot_be_tested():
    """The data's distances to themselves are 0: nobody comes closer."""
    train = ArrayRows(data(300, 0))
    found = evaluate(model_of(Empirical(torch.from_numpy(data(300, 0)))), train, train, count=100)
    assert found.verdict[2] == (
        "Nothing was held out: whether samples are copies of training data cannot be tested; hold out a part."
    )
    assert "held-out" not in found.verdict[0]
    assert not any(sentence.startswith(ORIGINAL) for sentence in found.verdict)


# -- of a run ------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def run(tmp_path_factory) -> Run:
    path = tmp_path_factory.mktemp("run") / "fit"
    fit(data(200, 0), path, training=Training(steps=60), data=Data(held_out=0.25))
    return Run(path)


def test_a_run_is_evaluated_on_what_it_held_out(run):
    train, held_out = split_of(run, run.model, data(200, 0))
    assert (len(train), len(held_out)) == (150, 50)
    found = evaluate_run(run, data(200, 0), count=100, seed=1)
    assert isinstance(found, Evaluation)
    about = run.read("fit.json")["on_the_way"]
    assert len(about["level"]) == 9 and all(len(row) == 8 for row in about["loss"])
    assert len(about["step"]) == len(about["loss"])
    again = evaluate(run.model, train, held_out, 100, 1)
    assert found.distances == again.distances
    kept = run.read("evaluation.json")
    assert kept["verdict"] == list(found.verdict)
    assert math.isclose(kept["distances"][0]["value"], found.distances[0].value)


def test_data_of_a_run_must_be_its_own(run):
    with pytest.raises(ValueError, match=r"^the data of .*fit were given in memory: pass them again$"):
        evaluate_run(run)
    message = r"^these are not the data that .*fit was fitted to: pass those, or fit these$"
    with pytest.raises(ValueError, match=message):
        evaluate_run(run, data(200, 1))


def test_data_are_read_again_from_where_they_came(tmp_path):
    np.save(tmp_path / "x.npy", data(100, 0))
    source = {"path": str(tmp_path / "x.npy")}
    fit(data(100, 0), tmp_path / "fit", training=Training(steps=5), source=source)
    assert evaluate_run(Run(tmp_path / "fit"), count=50).count == 50


def test_a_run_without_a_model(tmp_path):
    with pytest.raises(FileNotFoundError, match="there is no folder"):
        evaluate_run(Run(tmp_path / "none"))


@pytest.mark.parametrize("count", [100, 10])
def test_metrics_that_are_declared_or_passed_are_shown_last(count):
    """With enough data for tests, where they join the battery, and with few."""

    def difference(samples, real):
        return float((samples.mean(0) - real.mean(0)).abs().max())

    before = evaluate(model_of(EXACT), data(200, 0), data(count, 1), count=100, seed=2)
    try:
        declared.metric("difference of means")(difference)
        found = evaluate(model_of(EXACT), data(200, 0), data(count, 1), count=100, seed=2, own={"the same": difference})
    finally:
        del declared.DISTANCES["difference of means"]
    assert found.distances[: len(before.distances)] == before.distances
    last, same = found.distances[len(before.distances) :]
    assert (last.name, same.name) == ("difference of means", "the same")
    assert 0 < last.value == same.value and last.low <= last.floor <= last.high
    with pytest.raises(ValueError, match="two metrics called 'energy distance'"):
        declared.metric("energy distance")(difference)


class Midpoint(OneStepSampler):
    """A sampler of a user: the midpoint rule for the probability flow."""

    deterministic = True

    def step(self, diffusion, x, t, s, rng):
        middle = (t + s) / 2
        return x + (s - t) * diffusion.velocity(x + (middle - t) * diffusion.velocity(x, t), middle)


def test_the_other_sampler_is_of_the_other_kind():
    """F6: it was found from a list of classes, so that a new sampler of the flow was compared with the flow."""
    gaussian = Gaussian(torch.zeros(2), torch.ones(2))
    schema = Schema.of(np.zeros((3, 2)))
    for sampler in (Midpoint(), DDIM(), Heun(), DDIM(eta=1.0), EulerMaruyama()):
        model = Model(schema, Standardize((2,)), gaussian, gaussian, Sampling(sampler, 8, process=EDM()))
        other = _other(model)[0].sampler
        assert other.deterministic is not sampler.deterministic


@pytest.mark.slow
def test_the_moments_of_tables_are_called_by_their_columns():
    """They were features 0 to 3, which nobody can look up."""
    rng = np.random.default_rng(0)
    frame = pytest.importorskip("pandas").DataFrame({"size": rng.normal(size=500), "kind": rng.choice(["a", "b"], 500)})
    model = fit(frame, training=Training(steps=1))
    found = evaluate(model, frame[:400], frame[400:], count=300)
    labels = {
        label for family in found.families if family.distance.name == "moments, all rows" for label in family.labels
    }
    assert {"mean of size", "variance of size", "mean of kind is a"} <= labels
    assert not any("feature" in label for label in labels)


AGREE = tuple(Distance(name, 0.0, 0.0, 0.0, 1.0, p_value=0.9) for name in ("a", "b"))


def fields_model(values: np.ndarray, by: float) -> Model:
    schema = Schema.of(values, "grid", "none")
    units = Standardize(schema.inner_shape, torch.tensor(0.5), torch.tensor(0.1))
    exact = Gaussian(torch.zeros(schema.inner_shape), torch.ones(schema.inner_shape))
    denoiser = exact if by == 1 else Gaussian(torch.zeros(schema.inner_shape), by**2 * torch.ones(schema.inner_shape))
    return Model(schema, units, denoiser, exact, Sampling(Heun(), 16, process=EDM(0.002, 80.0)))


@pytest.mark.parametrize(("by", "outside"), [(1.0, False), (1.4, True)])
def test_values_of_fields_outside_the_range_of_the_data_are_found(by, outside):
    """White noise of mean 0.5, by a model of the same and by one of a larger spread."""
    x = np.random.default_rng(0).normal(0.5, 0.1, (400, 8, 8))
    found = evaluate(fields_model(x, by), x[:300], x[300:], count=100)
    assert RANGE in {test.name for test in found.tests}
    assert (RANGE in {test.name for test in found.rejected}) == outside
    alone = replace(found, distances=AGREE, curves=())
    clip = "If values outside the range of the data are impossible, clip samples to it (numpy.clip)."
    assert range_finding(found) == "", "where all is wrong, it is not the ends that are to be mended"
    assert range_finding(alone) == (clip if outside else "")


def test_integers_that_are_clipped_are_not_tested_for_their_range():
    x = np.random.default_rng(0).integers(0, 256, (400, 8, 8)).astype(np.uint8)
    found = evaluate(fields_model(x, 1.0), x[:300], x[300:], count=50)
    assert found.tests and not found.families


def test_values_of_vectors_outside_the_range_of_the_data_are_found():
    wide = Gaussian(EXACT.mean, 4 * EXACT.covariance)
    found = evaluate(model_of(wide), data(600, 0), data(200, 1), count=200, seed=2)
    assert RANGE in {test.name for test in found.rejected}
    ends = tuple(family for family in found.families if family.distance.name == RANGE)
    assert "declare bounds (bounds of Data)" in range_finding(replace(found, distances=AGREE, families=ends))


def test_the_place_of_a_difference_in_a_field_is_named():
    """Not as a feature by its number: a reader sees where in the field it is."""
    x = np.random.default_rng(0).normal(0.5, 0.1, (400, 8, 8))
    real = x.copy()
    real[:, 2, 5] += 1.0
    found = evaluate(fields_model(real, 1.0), real[:300], real[300:], count=100)
    moments = next(d for d in found.distances if d.name == "moments")
    assert "the value at [2, 5]" in moments.note and "feature" not in moments.note
