"""Probabilities of values that stand for cells: integrals over intervals of states, however the density lies in them."""

import numpy as np
import pandas as pd
import pytest
import torch

from scorefield.fitting import Options, plan, prepare, train
from scorefield.likelihood import LogProb
from scorefield.likelihood.places import mean_over_places, places
from scorefield.rng import Samples
from scorefield.settings import Network, Training
from scorefield.units import ColumnMap, ColumnUnits, PartlyEqual, Related, Relation, Relations

D, DRAWS = torch.float64, 3000
CODES = ColumnMap(atoms=torch.tensor([[0.0, 1.0, 2.0, 5.0], [0.4, 0.3, 0.2, 0.1]], dtype=D))


def normal(z):
    return (-0.5 * z * z).sum(1) - z.shape[1] * 0.5 * np.log(2 * np.pi)


def averaged(units, x, density, seed=0):
    """The mean over places of a density of states, and its error."""
    inside, none = places(units, x, seed), torch.zeros(len(x), dtype=D)
    found = [density(units(x, place)) + units.log_volume(x, place) for place in inside]
    parts = [LogProb(value, none, none, none, none, none.long()) for value in found]
    return mean_over_places(parts, torch.full((len(x),), x.shape[1] == 1))


@pytest.mark.parametrize("width", [0.5, 0.7, 1.0, 1.1])
def test_a_density_of_any_width_in_a_cell(width):
    """Narrower and wider than what is learned from: exact probabilities of intervals on average, and honest errors."""
    units, seeds = ColumnUnits((CODES,)), range(40)
    ends = torch.special.ndtri(torch.tensor([0.0, 0.4, 0.7, 0.9, 1.0], dtype=D))
    exact = torch.special.ndtr(ends / width).diff()
    found = [averaged(units, CODES.values[:, None], lambda z: normal(z / width) - np.log(width), k) for k in seeds]
    ratio, error = (torch.stack(each) for each in zip(*((each.value.exp() / exact, each.error) for each in found)))
    assert bool(((ratio.mean(0) - 1).abs() < 4 * ratio.std(0) / len(seeds) ** 0.5 + 1e-6).all())
    assert float(((ratio - 1).abs() < error * ratio + 0.02).double().mean()) > 0.9
    assert float((ratio - 1).abs().median()) < (0.03 if width == 1 else 0.2)


def test_the_places_of_two_columns_fill_their_square():
    """A ridge along the diagonal of the cells, which grids in the same order, or in any, would miss or hit too often."""
    units, seeds = ColumnUnits((CODES, CODES)), range(40)
    x = torch.tensor([[1.0, 1.0]], dtype=D)

    def ridge(z):
        return normal((z - 0.1) / 0.7)

    found = torch.stack([averaged(units, x, ridge, seed).value for seed in seeds]).exp()
    at = torch.special.ndtr((torch.special.ndtri(torch.tensor([0.4, 0.7], dtype=D)) - 0.1) / 0.7).diff() * 0.7
    assert float(found.mean() / at**2) == pytest.approx(1, abs=4 * float(found.std() / at**2) / len(seeds) ** 0.5)
    assert float(found.std() / at**2) < 0.1  # of independent places it is 0.25


def test_learned_places_of_composed_units():
    """Those of the columns that keep away from the ends, whatever units they are in."""
    other = ColumnMap(location=1.0)
    inner = ColumnUnits((other, CODES))
    u = Samples(0, 0, 50, "u").uniform((50, 3), D)
    expected = inner.drawn(u[:, :2])
    assert torch.equal(expected[:, 0], u[:, 0]) and float(expected[:, 1].std()) < 0.8 * float(u[:, 1].std())
    assert torch.equal(PartlyEqual((other, CODES), ((0, 1),)).drawn(u[:, :2]), expected)
    related = Related(inner, Relations(3, (Relation(2, (0, 1), (1, 1)),)))
    assert torch.equal(related.drawn(u), torch.cat([expected, u[:, 2:]], 1))


def fitted(table):
    options = Options(training=Training(steps=250), network=Network(widths=(64,), depth=2), device="cpu")
    return train(plan(prepare(table, options), options)).model


def tables():
    rng = np.random.default_rng(0)
    counts, codes = rng.poisson(4, 1000), rng.choice([0, 1, 2, 5], p=[0.4, 0.3, 0.2, 0.1], size=1000)
    normal = np.where(rng.random(1000) < 0.3, 0.0, rng.normal(size=1000))
    pair = np.where(rng.random(1000) < 0.6, codes, rng.choice([0, 1, 2, 5], size=1000))
    return {
        "a hole": pd.DataFrame({"y": counts[counts != 6]}),
        "codes": pd.DataFrame({"y": codes}),
        "a zero": pd.DataFrame({"y": normal}),
        "two": pd.DataFrame({"y": codes, "b": 3 * pair}),
    }


@pytest.mark.parametrize("name", ["a hole", *(pytest.param(name, marks=pytest.mark.slow) for name in [*tables()][1:])])
def test_probabilities_add_up_and_are_those_of_samples(name):
    table = tables()[name]
    model = fitted(table)
    drawn = model.sample(DRAWS, seed=1)
    values = table.drop_duplicates() if name != "a zero" else pd.DataFrame({"y": [0.0]})
    shares = np.array([(drawn.to_numpy() == row).all(1).mean() for row in values.to_numpy()])
    for seed in range(3):
        found = model.log_prob(values, seed=seed)
        p = found.value.exp().numpy()
        allowed = found.error.numpy() * p + 4 * np.sqrt(shares * (1 - shares) / DRAWS) + 0.005
        assert bool((np.abs(p - shares) < allowed).all())
        sure = 0.03 if name != "two" else 0.02 + float(np.linalg.norm(found.error.numpy() * p))
        assert name == "a zero" or p.sum() == pytest.approx(1, abs=sure)
