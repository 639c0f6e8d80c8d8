"""Whether the check of conditionals finds what is wrong with them, and nothing where they are exact."""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

sys.path.append(str(Path(__file__).parents[1] / "benchmarks"))
from conditional_checks import FAULTS, Classes, checked, model_of

from scorefield import fit
from scorefield.cli.measures import _print_conditionals
from scorefield.evaluation import Conditionals, RunData, check_conditionals, evaluate
from scorefield.measurement import Mask, Measurement
from scorefield.metrics import column_conditionals, completion_tests, exchange_test
from scorefield.reporting.page import Content, write_page
from scorefield.settings import Data, Training

pd = pytest.importorskip("pandas")


def test_the_exchange_is_exact():
    """Of 300 tests of skewed, dependent statistics of 25 rows at 5 %, 4 to 28 reject with a probability of 99.9 %."""
    rejected = 0
    for seed in range(300):
        x = np.random.default_rng(seed).exponential(size=(25, 3, 1)) ** 2
        rejected += exchange_test(np.concatenate([x, x**2, x > 1], 2), ["a", "b", "c"], "test", seed)[0].p_value <= 0.05
    assert 4 <= rejected <= 28
    z = exchange_test(np.stack([np.arange(9.0), np.zeros(9)], 1)[:, :, None], ["a"], "test")[1]
    assert z[0] == pytest.approx(36 / np.sqrt((np.arange(9) ** 2).sum()))  # sums of ± half the differences


def halves(count: int, seed: int, slope: float = 0.8, width: float = 0.6) -> tuple[np.ndarray, ...]:
    """Pairs of normal numbers with a correlation of 0.8, one of them drawn again, N(slope · other, width²)."""
    rng = np.random.default_rng(seed)
    x = rng.multivariate_normal([0, 0], [[1, 0.8], [0.8, 1]], count)
    asked = (rng.random(count) < 0.5).astype(int)
    y = x.copy()
    y[np.arange(count), asked] = slope * x[np.arange(count), 1 - asked] + width * rng.normal(size=count)
    return x, y, np.eye(2, dtype=bool)[asked]


def test_completed_rows_are_rejected_as_often_as_they_should():
    """Of 15 tests of 60 pairs at 10 %, six or more reject with a probability of 0.2 %."""
    reference = np.random.default_rng(99).normal(size=(500, 2))
    found = [completion_tests(*halves(60, seed), reference, seed=seed) for seed in range(15)]
    assert all(sum(tests[i].p_value <= 0.1 for tests in found) <= 5 for i in range(2))


@pytest.mark.parametrize(("slope", "width"), [(0.0, 1.0), (0.8, 0.3), (0.8, 1.0)])
def test_wrong_completions_are_recognized(slope, width):
    reference = np.random.default_rng(99).normal(size=(500, 2))
    moments, trees = completion_tests(*halves(400, 0, slope, width), reference)
    assert min(moments.p_value, trees.p_value) <= 0.002 and trees.value > 0.55


def test_dependences_that_are_wrong_in_two_ways_do_not_cancel():
    """Drawn on what is given, too weakly, and where both are drawn, too strongly: the mean product of all rows is right."""
    x, n = np.random.default_rng(0).multivariate_normal([0, 0], [[1, 0.5], [0.5, 1]], 1000), 500
    fresh, y = np.random.default_rng(1).normal(size=(1000, 2)), x.copy()
    y[:n, 1] = 0.25 * x[:n, 0] + np.sqrt(1 - 0.25**2) * fresh[:n, 1]
    y[n:, 0] = fresh[n:, 0]
    y[n:, 1] = 0.75 * fresh[n:, 0] + np.sqrt(1 - 0.75**2) * fresh[n:, 1]
    drawn = np.stack([np.arange(1000) >= n, np.ones(1000, bool)], 1)
    order = np.random.default_rng(2).permutation(1000)
    moments, _ = completion_tests(x[order], y[order], drawn[order], x)
    assert moments.p_value <= 0.01 and "where one is given" in moments.note


def test_skill_and_spread_are_those_of_gaussians():
    """Of N(ρ x, 1 − ρ²): the skill is 1 − √(1 − ρ²); draws of half the width have a spread of 1 / √(5/2)."""
    rng = np.random.default_rng(1)
    x = rng.multivariate_normal([0, 0], [[1, 0.8], [0.8, 1]], 3000)
    mean = 0.8 * x[2000:, :1]
    for width, skill, spread in ((0.6, 0.4, 1.0), (0.3, None, 1 / np.sqrt(2.5))):
        draws = mean + width * np.random.default_rng(2).normal(size=(1000, 3))
        _, (column,) = column_conditionals(x[2000:], draws[None], [1], x[:2000])
        assert column.spread == pytest.approx(spread, abs=0.04)  # the standard error is 0.01
        assert skill is None or column.skill == pytest.approx(skill, abs=0.05)  # 0.015
        assert column.trees == pytest.approx(0.4, abs=0.07)
    kind = (rng.random(3000) < np.where(x[:, 0] > 0, 0.9, 0.2)).astype(float)
    table = np.stack([x[:, 0], kind], 1)
    sure = np.where(x[2000:, :1] > 0, 1.0, 0.0) * np.ones((1, 3))
    columns = model_of(Classes(1, 3)).schema.table
    _, (column,) = column_conditionals(table[2000:], sure[None], [1], table[:2000], columns=columns)
    assert column.spread == 0 and column.missed and column.trees > column.skill and column.p_value <= 0.01


@pytest.mark.parametrize("world", ["numbers", "mixed"])
def test_exact_conditionals_pass(world):
    check = checked(world, "none", 300, 0)
    assert len(check.tests) == 5 and check.rows == 300 and not check.rejected and not check.wrong and not check.missed
    assert all(0.8 < column.spread < 1.25 for column in check.columns)


@pytest.mark.parametrize(
    ("world", "fault", "column"),
    [
        ("mixed", "marginal", None),
        ("mixed", "one given alone is ignored", None),
        ("mixed", {"width": 0.7}, None),
        ("numbers", "one column ignores others", "x0"),
        ("mixed", {"tilt": 1.5}, "kind"),
    ],
)
def test_planted_faults_are_found(world, fault, column, monkeypatch):
    """The joint distribution is exact; the figures of benchmarks/conditional_checks.py say how often each is found."""
    if isinstance(fault, dict):
        monkeypatch.setitem(FAULTS, "this", fault)
        fault = "this"
    check = checked(world, fault, 400, 1)
    assert check.rejected
    assert column is None or check.columns[0].name == column


def test_what_is_known_already_is_not_drawn():
    classes = Classes(3, 3)
    model, data = model_of(classes), classes.rows(1200, 5)
    rows = [model.schema.rows(x) for x in (data[:900], data[900:])]
    check = check_conditionals(model.condition(kind="b"), *rows)
    assert {column.name for column in check.columns} == {"x0", "x1", "x2"} and not check.rejected
    assert check.rows == (data[900:]["kind"] == "b").sum()
    assert check_conditionals(model.condition(kind="c", x0=0.5), *rows) is None  # no row has these values
    wrong = model_of(Classes(3, 3, ignored=True)).condition(kind="b")
    assert check_conditionals(wrong, *rows).rejected


def test_it_is_off_where_it_cannot_apply():
    classes = Classes(3, 1)
    model, data = model_of(classes), classes.rows(300, 5)
    rows = [model.schema.rows(x) for x in (data[:200], data[200:])]
    seen = model.observe(Measurement(Mask([True, False, False]), [0.0], 1.0), method="momentmatching")
    assert check_conditionals(seen, *rows) is None
    assert check_conditionals(model.replace(denoiser=model.moments), *rows) is None  # it does not complete
    assert check_conditionals(model, rows[0], rows[1].subset(range(39))) is None
    same = [x.subset(np.zeros(60, int)) for x in rows]
    assert check_conditionals(model, *same) is None  # nothing varies


def messy(count: int, seed: int = 0) -> pd.DataFrame:
    """A total, a constant, missing numbers, a category, an order of two columns and names of rows."""
    rng = np.random.default_rng(seed)
    a, b, start = rng.integers(0, 50, count), rng.poisson(8, count), rng.normal(size=count).round(3)
    size = np.where(rng.random(count) < 0.3, np.nan, a + rng.normal(size=count).round(2))
    kind = np.where(b > 8, "p", np.where(rng.random(count) < 0.5, "q", "r"))
    end = (start + rng.gamma(2, 0.5, count)).round(3)
    names = [f"row {i}" for i in range(count)]
    return pd.DataFrame(
        {"total": a + b, "a": a, "b": b, "one": 7, "size": size, "kind": kind, "start": start, "end": end, "n": names}
    )


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:left out of the model")
def test_tables_with_everything(tmp_path):
    """Columns that follow from others are not asked for given these; a context and constraints are kept."""
    frame, label = messy(500), np.arange(500) % 2
    options = {"context": {"label": label}, "training": Training(steps=40), "device": "cpu"}
    fit(frame, tmp_path / "run", data=Data(constraints=("start <= end",), held_out=0.3), **options)
    data = RunData.of(tmp_path / "run", frame, "cpu").conditioned()
    check = check_conditionals(data.model, data.train, data.held_out, data.how)
    assert {column.name for column in check.columns} == {"size", "kind", "start", "end"}
    assert check.rows >= 100 and check.failed == "" and check.rejected  # of 40 steps
    assert all(np.isnan(column.trees) for column in check.columns)  # trees do not know the context
    kept = replace(data, model=data.model.condition(kind="p"))
    assert "kind" not in {c.name for c in check_conditionals(kept.model, data.train, data.held_out).columns}
    assert check_conditionals(data.model, data.train, data.held_out.subset(range(60))) is None  # whose contexts?


def test_an_evaluation_says_it(tmp_path, capsys):
    """Of samples that are exact and conditionals that are not: the verdict, the plain data, the page, the terminal."""
    classes = Classes(3, 1, ignored=True)
    model, data = model_of(classes), classes.rows(500, 7)
    found = evaluate(model, *(model.schema.rows(x) for x in (data[:350], data[350:])), count=200)
    check = found.conditionals
    assert (
        isinstance(check, Conditionals)
        and check.rejected
        and not {d.name for d in check.tests} & {d.name for d in found.tests}
    )
    assert not found.rejected and found.summary.conclusion.endswith(
        "But values that are drawn given others differ from held-out ones."
    )
    said = [reason for reason in found.summary.reasons if reason.startswith("Values drawn given others are disting")]
    assert len(said) == 1 and "150 held-out rows with half of their columns drawn again" in said[0]
    assert any(advice.startswith("For better conditionals train longer") for advice in found.summary.advice)
    assert json.loads(json.dumps(found.plain()))["conditionals"]["columns"][0]["name"] == check.columns[0].name
    page = write_page(tmp_path / "page.html", Content("run", conditionals=check)).read_text()
    assert ">Conditionals</h2>" in page and "boosted trees on completed rows" in page
    _print_conditionals(check)
    assert "Each column given all others" in capsys.readouterr().out
