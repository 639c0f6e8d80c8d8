"""Atoms among continuous values are levels of a category: neither they nor their neighbours take values from each other."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

import scorefield
from scorefield import Training, spec
from scorefield.data import ArrayRows
from scorefield.data.variables import ABSENT, FREE, GIVEN
from scorefield.units import ColumnMap, ColumnUnits, choose_units
from scorefield.units.choose_map import choose_map
from scorefield.units.wishes import Wish

D = torch.float64


def atoms(*pairs: tuple[float, float]) -> torch.Tensor:
    return torch.tensor(pairs, dtype=D).T


def normal(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(shape, dtype=D, generator=torch.Generator().manual_seed(seed))


def uniform(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.rand(shape, dtype=D, generator=torch.Generator().manual_seed(seed))


WHOLE = {"lattice": (0.0, 1.0, 1.0), "separate": True}
LATTICE = ColumnMap(location=5.0, scale=3.0, atoms=atoms((3.0, 0.2), (4.0, 0.1), (9.0, 0.05)), **WHOLE)
ENDS = ColumnMap(base="logit", lower=0.0, upper=30.0, atoms=atoms((0.0, 0.3), (12.0, 0.1), (30.0, 0.2)), **WHOLE)
PASSED = ColumnMap(lower=0.0, upper=30.0, location=14.0, scale=9.0, atoms=atoms((0.0, 0.3), (30.0, 0.2)), **WHOLE)
FINE = ColumnMap(lower=0.0, scale=9.0, fine=True, atoms=atoms((0.0, 0.3), (7.0, 0.1)), **WHOLE)
SMOOTH = ColumnMap(lower=0.0, location=1.0, atoms=atoms((0.0, 0.3), (0.5, 0.1)), separate=True)
WEEK = torch.tensor([[-0.5, 1.5, 6.5], [-0.7, 3.3, 6.3]], dtype=D)
ENDLESS = ColumnMap(  # dates with a weekly cycle, some of which stand for something else
    base="logit", lower=0.0, upper=30.0, cycle=WEEK, atoms=atoms((-90.0, 0.1), (12.0, 0.2), (9000.0, 0.3)), **WHOLE
)
COLUMNS = {"dates": ENDLESS, "lattice": LATTICE, "ends": ENDS, "passed": PASSED, "fine": FINE, "smooth": SMOOTH}
on_each = pytest.mark.parametrize("column", COLUMNS.values(), ids=COLUMNS)


def states_of(units: ColumnUnits, level: int, number: torch.Tensor) -> torch.Tensor:
    """States with a number, `(B, 1)`, and a level of atoms."""
    block = torch.zeros((len(number), units.state_shape[0] - 1), dtype=D)
    block[:, level] = 1
    return torch.cat([number, block], 1)


@on_each
def test_values_come_back(column):
    units = ColumnUnits((column,))
    x = torch.cat([column.values, torch.arange(1, 30).double()]).repeat(40)[:, None]
    state = units(x, 0.002 + 0.996 * uniform(len(x), 1))
    torch.testing.assert_close(units.inverse(state), x, rtol=0, atol=1e-9)
    level = state[:, 1:].argmax(1)
    for j, value in enumerate(column.values):
        assert torch.equal(level == j + 1, x[:, 0] == value)
    assert bool(units.log_volume(x)[level > 0].eq(0).all())


@on_each
def test_what_is_no_atom_is_never_drawn_as_one(column):
    """Whatever the number of a state is, also where it passes a bound; and an atom is drawn whatever it is."""
    units, number = ColumnUnits((column,)), torch.linspace(-12, 12, 4001, dtype=D)[:, None]
    drawn = units.inverse(states_of(units, 0, number))
    assert not bool(torch.isin(drawn, column.values).any())
    assert bool((drawn >= (column.lower or -math.inf)).all()) and bool((drawn <= (column.upper or math.inf)).all())
    for j, value in enumerate(column.values):
        assert bool((units.inverse(states_of(units, j + 1, number)) == value).all())


@pytest.mark.parametrize("column", [LATTICE, ENDS, ENDLESS])
def test_probabilities_of_cells_add_up_to_one(column):
    """Of continuous values, under standard normal states."""
    units, place = ColumnUnits((column,)), (torch.arange(400) + 0.5) / 400
    low, high = (-40, 60) if column.lower is None else (0, 30)
    values = torch.arange(low, high + 1).double()
    values = values[~torch.isin(values, column.values)]
    x = values.repeat_interleave(400)[:, None]
    inside = place.double().repeat(len(values))[:, None]
    z = units(x, inside)[:, 0]
    density = (-0.5 * z * z - 0.5 * math.log(2 * math.pi) + units.log_volume(x, inside)).exp()
    assert float(density.mean() * len(values)) == pytest.approx(1, abs=2e-3)


SHARES = ((0, 99.95, 100.05), (0, 98.95, 99.95), (1, -1.0, 0.005), (1, 0.005, 0.505))


def capped_and_zeros(count: int) -> np.ndarray:
    """A normal number with a cap, and an exponential one with zeros."""
    r = np.random.default_rng(0)
    cap = np.minimum(r.normal(90, 8, count).round(1), 100.0)
    return np.stack((cap, np.where(r.random(count) < 0.35, 0.0, r.exponential(10, count)).round(2)), 1)


def check_shares(x: np.ndarray, drawn: np.ndarray, error: float) -> None:
    """Whether each atom, and what is next to it, has its share, within four standard errors; `error` is that of 0 or 1."""
    for column, low, high in SHARES:
        p, q = (float(((v[:, column] > low) & (v[:, column] < high)).mean()) for v in (x, drawn))
        assert abs(q - p) < 4 * math.sqrt(p * (1 - p)) * error, (column, low, p, q)


def test_approximate_numbers_move_no_shares():
    """States whose numbers are off by a tenth of a standard deviation: an atom, and what is next to it, keep their shares."""
    x = torch.from_numpy(capped_and_zeros(40_000))
    units = choose_units(ArrayRows(x.numpy())).units
    state = units.filled(units(x, uniform(*x.shape)))
    state[:, :2] = (state[:, :2] + 0.1 * normal(*x.shape)) / math.sqrt(1.01)
    check_shares(x.numpy(), units.inverse(state).numpy(), math.sqrt(1 / len(x)))


@pytest.mark.slow
def test_samples_of_a_short_fit_have_the_shares_of_the_data():
    x = capped_and_zeros(3000)
    model = scorefield.fit(x, training=Training(steps=150))
    drawn = model.sample(5000, seed=1)
    check_shares(x, drawn, math.sqrt(1 / 3000 + 1 / 5000))
    zero = model.density().marginal(np.zeros((1, 1)), of=[1]).value
    assert math.exp(float(zero)) == pytest.approx((drawn[:, 1] == 0).mean(), abs=0.04)


def test_which_atoms_are_separate():
    """Those among continuous values; not columns of nothing else."""
    r = np.random.default_rng(0)
    zeros = np.where(r.random(900) < 0.4, 0.0, r.exponential(1.0, 900))
    x = np.stack((zeros, r.poisson(2.0, 900), r.normal(size=900)), 1)
    units = choose_units(ArrayRows(x)).units
    assert [column.separate for column in units.columns] == [True, False, False]
    assert units.variables.levels == (2,) and units.variables.numbers == 3
    with pytest.raises(ValueError, match="separate atoms are among continuous values"):
        ColumnMap(separate=True)


def test_status_of_variables():
    """A known atom is known by its category alone; its number is left out."""
    gap = ColumnMap(atoms=atoms((0.0, 0.5)), separate=True, missing=True)
    units = ColumnUnits((ColumnMap(), gap, ColumnMap(levels=2)))
    x = torch.tensor([[1.0, 0.0, 1.0], [1.0, 2.0, 1.0], [1.0, math.nan, 1.0]], dtype=D)
    known = torch.tensor([[False, True, False]]).expand(3, 3)
    assert units.variables.indicators == (-1, 4, -1, 4, -1)
    assert units.status(known, x).tolist() == [
        [FREE, ABSENT, FREE, GIVEN, GIVEN],
        [FREE, GIVEN, FREE, GIVEN, GIVEN],
        [FREE, ABSENT, FREE, ABSENT, GIVEN],
    ]
    assert units.status(known, x, complete=True)[:, 4].tolist() == [ABSENT] * 3
    assert units.status(~known, x)[0].tolist() == [GIVEN, FREE, GIVEN, FREE, FREE]
    assert units.variables_of(known[0]).tolist() == [False, True, False, True, True]
    targets, _ = units.targets(known, torch.zeros_like(known), x)
    assert targets.long().tolist() == [[0, 0, 0, 1, 1], [0, 1, 0, 1, 1], [0, 0, 0, 0, 1]]
    again = units.inverse(units(x, uniform(3, 3)))
    torch.testing.assert_close(again, x, equal_nan=True)


def test_maps_of_earlier_files_have_intervals():
    """A description that does not say where atoms are is one with intervals of the state."""
    tensors: list[torch.Tensor] = []
    described = spec.describe(ColumnUnits((LATTICE,)), tensors)
    assert described["arguments"]["columns"][0]["arguments"].pop("separate") is True
    old = spec.build(described, tensors=tensors)
    assert not old.columns[0].separate and old.state_shape == (1,)
    assert spec.build(spec.describe(ColumnUnits((LATTICE,)), tensors), tensors=tensors).state_shape == (5,)


def test_codes_beyond_all_values_change_nothing_of_the_map_of_the_others():
    """Two codes below amounts, and one above: amounts keep their bound, their cells and their map."""
    rng = np.random.default_rng(0)
    amounts = np.round(rng.gamma(2, 40.0, 2000))
    with_codes = np.concatenate((amounts, np.repeat([-999.0, -99.0, 999999.0], 300)))
    alone, column = (choose_map(x, Wish())[0] for x in (amounts, with_codes))
    assert column.separate and column.values.tolist() == [-999, -99, *alone.values.tolist(), 999999]
    assert column.lower == alone.lower == 0 and column.fine is alone.fine and column.base == alone.base
    units, number = ColumnUnits((column,)), torch.linspace(-6, 6, 2001, dtype=D)[:, None]
    drawn, exact = units.inverse(states_of(units, 0, number)), ColumnUnits((alone,))
    exact = exact.inverse(states_of(exact, 0, number) if alone.separate else number)
    assert float(drawn.min()) >= 0 and float((drawn - exact).abs().quantile(0.9)) < 30


def test_only_ends_are_separate():
    """Preferred values between others have neighbours on both sides, and an order that levels do not know."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=2000)
    for column, separate in (
        (np.minimum(x, 1.0), True),
        (np.clip(x, -1.0, 1.0), True),
        (np.where(rng.random(2000) < 0.2, 0.5, x), False),
        (np.where(rng.random(2000) < 0.2, 0.5, np.minimum(x, 1.0)), False),
        (x, False),
    ):
        assert choose_map(column, Wish())[0].separate == separate
