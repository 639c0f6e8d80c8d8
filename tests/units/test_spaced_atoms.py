"""Two values that a column holds alone: modes that lie apart, also where one is rare."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

import scorefield
from scorefield.data import ArrayRows
from scorefield.units import ColumnMap, ColumnUnits, Wishes, choose_units

D = torch.float64


def column(rare):
    return ColumnMap(atoms=torch.tensor([[0.0, 5.0], [1 - rare, rare]], dtype=D), spaced=True)


@pytest.mark.parametrize("rare", [0.5, 0.2, 0.01, 1e-4])
def test_states_have_mean_zero(rare):
    """Each value comes back from all its states. A standard deviation of the data is one, or less where a value is rare."""
    units, place = (
        ColumnUnits((column(rare),)),
        torch.rand(20000, 1, dtype=D, generator=torch.Generator().manual_seed(0)),
    )
    weights, states = (1 - rare, rare), []
    for value in (0.0, 5.0):
        x = torch.full((20000, 1), value, dtype=D)
        z = units(x, units.drawn(place))
        assert torch.equal(units.inverse(z), x) and torch.equal(units.inverse(units(x, place)), x)
        states.append(z)
    mean = sum(w * z.mean() for w, z in zip(weights, states))
    square = sum(w * z.square().mean() for w, z in zip(weights, states))
    gap = min(3, 1 / math.sqrt(rare * (1 - rare)))
    assert abs(float(mean)) < 0.005 * gap
    assert float(square) == pytest.approx((rare * (1 - rare) + 0.01) * gap**2, rel=0.02)


@pytest.mark.parametrize("rare", [0.5, 0.03])
def test_probabilities_are_integrals_over_places(rare):
    """Of the mixture that is learned, by the density at places and the volume: that of each value, within 1e-3 of it."""
    units = ColumnUnits((column(rare),))
    place = (torch.arange(2000, dtype=D)[:, None] + 0.5) / 2000
    middle = [float(units(torch.tensor([[v]], dtype=D), torch.full((1, 1), 0.5, dtype=D))) for v in (0.0, 5.0)]
    gap = middle[1] - middle[0]
    for value, wanted in ((0.0, 1 - rare), (5.0, rare)):
        x = torch.full((2000, 1), value, dtype=D)
        z, width = units(x, place)[:, 0], 0.1 * gap
        density = sum(
            w * (-0.5 * ((z - m) / width) ** 2).exp() / (width * math.sqrt(2 * math.pi))
            for w, m in zip((1 - rare, rare), middle)
        )
        found = density * units.log_volume(x, place).exp()
        assert float(found.mean()) == pytest.approx(wanted, rel=1e-3)
        assert float(found.max()) < 4 * wanted  # so that few places are enough


def test_rare_values_are_spaced_and_others_next_to_categories():
    rng = np.random.default_rng(0)
    x = np.stack((rng.random(500) < 0.03, rng.random(500) < 0.1, rng.integers(0, 3, 500), rng.normal(size=500)), 1)
    columns = choose_units(ArrayRows(x.astype(float))).units.columns
    assert [m.spaced for m in columns] == [True, False, False, False]  # where the rare value is one in 20 or less
    mixed = choose_units(ArrayRows(x.astype(float)), wishes=Wishes(conditionals=True)).units.columns
    assert [m.spaced for m in mixed] == [True, True, False, False]
    with pytest.raises(ValueError, match="spaced"):
        ColumnMap(spaced=True)
    with pytest.raises(ValueError, match="spaced"):
        ColumnMap(atoms=torch.tensor([[0.0, 1.0, 2.0], [0.3, 0.3, 0.4]]), spaced=True)


def test_rare_events_are_as_frequent_as_in_the_data():
    """One in 25, which depends on a number: the frequency within four standard errors, and two thirds of the correlation."""
    rng, count = np.random.default_rng(0), 1500
    x = rng.normal(size=(count, 5))
    event = rng.random(count) < 1 / (1 + np.exp(3.6 - 0.8 * x[:, 0]))
    model = scorefield.fit(np.column_stack((x, event)), steps=400)
    drawn = np.asarray(model.sample(4000, seed=0))
    error = math.sqrt(event.mean() * (1 / 4000 + 1 / count))
    assert abs(drawn[:, 5].mean() - event.mean()) < 4 * error
    exact = np.corrcoef(x[:, 0], event)[0, 1]
    assert np.corrcoef(drawn[:, 0], drawn[:, 5])[0, 1] > 0.6 * exact
