"""Columns of few values: categories, whose levels stand for them."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pandas
import pytest
import torch

import scorefield
from scorefield.data import ArrayRows
from scorefield.units import ColumnMap, ColumnUnits, choose_units

D = torch.float64
BINARY = ColumnMap(levels=2, atoms=torch.tensor([[-1.5, 5.0], [0.75, 0.25]], dtype=D))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_values_are_corners_and_come_back(dtype):
    """Also those that miss; a value that is neither of the two counts as the nearer one, as in other columns of atoms alone."""
    units = ColumnUnits((BINARY, ColumnMap(levels=3), ColumnMap(levels=2, atoms=BINARY.atoms, missing=True)))
    x = torch.tensor([[-1.5, 0, 5], [5, 2, math.nan], [5, 1, -1.5], [4.9, 1, -7]], dtype=dtype)
    exact = torch.tensor([[-1.5, 0, 5], [5, 2, math.nan], [5, 1, -1.5], [5, 1, -1.5]], dtype=D)
    state = units(x)
    assert state.dtype == dtype and not units.has_cells
    assert state[:, :2].tolist() == [[1, 0], [0, 1], [0, 1], [0, 1]]
    assert torch.equal(units.inverse(state).nan_to_num(-9.0), exact.nan_to_num(-9.0))
    assert units.log_volume(x).tolist() == [0.0] * 4 and units.atoms == ((-1.5, 5.0), (), (-1.5, 5.0))
    assert units.smooth.tolist() == [False] * 3 and units.variables.levels == (2, 3, 2, 2)


def test_few_values_are_a_category():
    """Two and three always, up to five if there are 200 rows for each."""
    rng = np.random.default_rng(0)
    for rows, expected in ((700, [2, 2, 3, 0, 0, 0]), (1000, [2, 2, 3, 4, 5, 0])):
        drawn = [rng.integers(0, k, rows) for k in (3, 4, 5, 6)]
        x = np.stack((rng.random(rows) < 0.03, 7 - 2 * (rng.random(rows) < 0.4), *drawn), 1)
        choice = choose_units(ArrayRows(x.astype(float)))
        assert [m.levels for m in choice.units.columns] == expected
        said = [f"learned as a category: one of {values}" for values in ("0, 1", "5, 7", "0, 1, 2")]
        assert [*choice.reasons[:3]] == said
    with pytest.raises(ValueError, match="3 levels stand for as many atoms"):
        ColumnMap(levels=3, atoms=BINARY.atoms)


@pytest.mark.slow
def test_what_depends_on_three_values_is_drawn_so():
    """Three columns of three values with a common cause, 1,500 rows: their correlation within .06 of that of the data."""
    rng = np.random.default_rng(3)
    cuts = np.array([-0.5, 0.8])
    x = np.digitize(rng.normal(size=(1500, 1)) + 0.7 * rng.normal(size=(1500, 3)), cuts)
    drawn = np.asarray(scorefield.fit(x, steps=800, seed=3).sample(40000, seed=1))
    assert abs(np.corrcoef(drawn.T)[0, 1] - np.corrcoef(x.T)[0, 1]) < 0.06


@pytest.mark.slow
def test_rare_events_are_as_frequent_as_in_the_data():
    """One in 25, which depends on a number: the frequency within four standard errors, and .6 of the correlation."""
    rng, count = np.random.default_rng(0), 1500
    x = rng.normal(size=(count, 5))
    event = rng.random(count) < 1 / (1 + np.exp(3.6 - 0.8 * x[:, 0]))
    model = scorefield.fit(np.column_stack((x, event)), steps=400)
    drawn = np.asarray(model.sample(4000, seed=0))
    error = math.sqrt(event.mean() * (1 / 4000 + 1 / count))
    assert abs(drawn[:, 5].mean() - event.mean()) < 4 * error
    exact = np.corrcoef(x[:, 0], event)[0, 1]
    assert np.corrcoef(drawn[:, 0], drawn[:, 5])[0, 1] > 0.6 * exact


@pytest.mark.parametrize("text", [False, pytest.param(True, marks=pytest.mark.slow)])
def test_probabilities_of_all_rows_add_up_to_one(text):
    """Of a chain of four values, of which each is that before it in 80 %: near the exact ones, in one evaluation each."""
    rng = np.random.default_rng(0)
    flips = rng.random((4000, 4)) < (0.3, 0.2, 0.2, 0.2)
    rows = np.logical_xor.accumulate(flips, 1).astype(int)
    every = np.array(list(itertools.product((0, 1), repeat=4)))
    exact = np.log([0.3 if row[0] else 0.7 for row in every])
    exact += np.where(np.diff(every) == 0, math.log(0.8), math.log(0.2)).sum(1)
    values = np.array(["no", "yes"]) if text else np.array([0, 10])
    table, asked = (pandas.DataFrame(values[x], columns=list("abcd")) for x in (rows, every))
    model = scorefield.fit(table, steps=250)
    found = model.log_prob(asked)
    assert found.evaluations.tolist() == [4] * 16 and float(found.standard_error.max()) == 0
    assert float(found.value.exp().sum()) == pytest.approx(1, abs=1e-5)
    assert float((torch.tensor(exact).exp() * (torch.tensor(exact) - found.value)).sum()) < 0.03  # nats of divergence
    given = model.density().conditional(asked, given=["a", "b"])
    first = model.density().marginal(asked[["a", "b"]], of=["a", "b"])
    assert torch.allclose(given.value + first.value, found.value, atol=1e-5)
    bound = model.density().bound(asked)
    assert bool((bound.value <= found.value + 4 * bound.standard_error + 1e-6).all())
