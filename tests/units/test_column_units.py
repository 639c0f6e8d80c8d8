"""Maps of columns: inverses, derivatives, probabilities of atoms and cells, categories and missing values."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from scorefield import checkpoint, spec
from scorefield.data.variables import ABSENT, FREE, GIVEN
from scorefield.units import ColumnMap, ColumnUnits

D = torch.float64
KNOTS = torch.tensor([[-2.0, -1.2, 0.1, 0.4, 2.5], [-1.7, -1.0, -0.2, 0.7, 1.6], [0.6, 1.0, 1.5, 2.0, 0.3]], dtype=D)
NORMAL = torch.zeros((2, 2), dtype=D)
PARETO = torch.tensor([[0.5, 0.0], [0.8, 0.4]], dtype=D)
TO_BOUNDS = torch.tensor([[2.0 / 3, -1 / 3], [1.5 * 2, -2.0]], dtype=D)  # 2 below the first knot, 1.5 above the last

WEEK = torch.tensor([[-2.5, -0.5, 1.5, 2.5, 4.5], [-2.2, -1.0, 1.5, 3.8, 4.8]], dtype=D)

SMOOTH = {
    "affine": ColumnMap(location=3.0, scale=0.5),
    "log": ColumnMap(base="log", lower=1.0, location=0.3, scale=1.7),
    "log below": ColumnMap(base="log", upper=9.0, location=0.3, scale=1.7),
    "softplus": ColumnMap(base="softplus", lower=1.0, location=0.3, scale=1.7, bend=0.4),
    "softplus below": ColumnMap(base="softplus", upper=9.0, location=0.3, scale=1.7, bend=2.0),
    "logit": ColumnMap(base="logit", lower=-1.0, upper=4.0, location=0.3, scale=1.7),
    "normal tails": ColumnMap(knots=KNOTS, tails=NORMAL, location=10.0, scale=2.0),
    "Pareto tails": ColumnMap(knots=KNOTS, tails=PARETO),
    "to bounds": ColumnMap(knots=KNOTS, tails=TO_BOUNDS, lower=-4.0, upper=4.0),
    "spline of log": ColumnMap(base="log", lower=0.0, knots=KNOTS, tails=NORMAL),
    "spline of softplus": ColumnMap(base="softplus", lower=0.0, knots=KNOTS, tails=PARETO),
    "weeks": ColumnMap(cycle=WEEK, location=20.0, scale=9.0),
    "weeks by a clock": ColumnMap(cycle=WEEK, clock=WEEK + 1, location=20.0, scale=9.0),
    "spline of weeks": ColumnMap(cycle=WEEK, knots=KNOTS, tails=NORMAL, location=10.0, scale=2.0),
}


def normal(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(shape, dtype=D, generator=torch.Generator().manual_seed(seed))


def uniform(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.rand(shape, dtype=D, generator=torch.Generator().manual_seed(seed))


def atoms(*pairs: tuple[float, float]) -> torch.Tensor:
    return torch.tensor(pairs, dtype=D).T


def standard_normal(z: torch.Tensor) -> bool:
    """Whether the Kolmogorov-Smirnov distance to the standard normal distribution is below its 1e-6 quantile."""
    n = len(z)
    p = torch.special.ndtr(z.sort().values)
    steps = torch.arange(n + 1, dtype=D) / n
    return float(torch.maximum((steps[1:] - p).max(), (p - steps[:-1]).max())) < 2.7 / math.sqrt(n)


@pytest.mark.parametrize("column", SMOOTH.values(), ids=SMOOTH)
def test_inverse_and_derivative(column):
    """Both directions are inverse to each other far into the tails, and the volume is the numerical derivative."""
    units = ColumnUnits((column,))
    z = torch.linspace(-6, 6, 2001, dtype=D)[:, None]
    x = units.inverse(z)
    assert bool((x.diff(dim=0) >= 0).all())
    low, high = column.extent
    apart = (x[:, 0] - low > 1e-6) & (high - x[:, 0] > 1e-6)  # nearer to a bound other than 0 float64 lacks digits
    torch.testing.assert_close(units(x)[apart], z[apart], rtol=1e-6, atol=1e-6)
    middle = units.inverse(torch.linspace(-4, 4, 500, dtype=D)[:, None])
    width = 1e-4 * units.log_volume(middle).neg().exp()[:, None]
    slope = (units(middle + width) - units(middle - width)) / (2 * width)
    torch.testing.assert_close(slope[:, 0].log(), units.log_volume(middle), rtol=0, atol=1e-4)


@pytest.mark.parametrize("column", SMOOTH.values(), ids=SMOOTH)
def test_gradients(column):
    """Measurements of data are differentiated through the inverse, by autograd."""
    units = ColumnUnits((column,))
    z = torch.linspace(-4, 4, 300, dtype=D)[:, None].requires_grad_()
    x = units.inverse(z)
    (slope,) = torch.autograd.grad(x.sum(), z)
    volume = units.log_volume(x.detach())
    torch.testing.assert_close(slope[:, 0].log(), -volume, rtol=0, atol=1e-5)
    again = x.detach().requires_grad_()
    (slope,) = torch.autograd.grad(units(again).sum(), again)
    torch.testing.assert_close(slope[:, 0].log(), volume, rtol=0, atol=1e-5)


@pytest.mark.parametrize("column", [c for c in SMOOTH.values() if c.knots is not None and c.cycle is None])
def test_densities_have_no_jumps_inside(column):
    """The derivative is continuous at inner knots."""
    units = ColumnUnits((column,))
    inner = units.inverse(KNOTS[1, 1:-1, None])
    step = 1e-9 * inner.abs()
    torch.testing.assert_close(units.log_volume(inner - step), units.log_volume(inner + step), rtol=0, atol=1e-6)


def test_tails_are_generalized_pareto():
    """P(x > u + e) = P(x > u) (1 + ξ e / β)^(-1/ξ), by the probabilities of states."""
    units = ColumnUnits((ColumnMap(knots=KNOTS, tails=PARETO),))
    excess = torch.tensor([0.0, 1.0, 100.0, 1e6], dtype=D)
    states = units(2.5 + excess[:, None])[:, 0]
    share = (torch.special.log_ndtr(-states) - torch.special.log_ndtr(-KNOTS[1, -1])).exp()
    torch.testing.assert_close(share, (1 + 0.4 * excess / 0.8) ** (-1 / 0.4), rtol=1e-9, atol=0)
    below = torch.special.log_ndtr(units(-2.0 - excess[:, None])[:, 0]) - torch.special.log_ndtr(KNOTS[1, 0])
    torch.testing.assert_close(below[:3], -excess[:3] / 0.5, rtol=1e-6, atol=1e-6)
    assert float(below[3]) == pytest.approx(-2e6, rel=1e-9)  # a probability of e^-2000000 has a state, too


LATTICE = ColumnMap(location=5.0, scale=3.0, lattice=(0.0, 1.0, 1.0), atoms=atoms((3.0, 0.2), (4.0, 0.1), (9.0, 0.05)))
BOUNDED = ColumnMap(base="log", lower=0.0, location=1.0, lattice=(0.0, 1.0, 10.0), atoms=atoms((0.0, 0.6), (0.5, 0.1)))
BETWEEN = ColumnMap(
    base="logit", lower=0.0, upper=3.0, lattice=(0.0, 1.0, 4.0), atoms=atoms((0.0, 0.3), (1.0, 0.1), (3.0, 0.2))
)
TENTHS = ColumnMap(knots=KNOTS, tails=NORMAL, location=20.0, scale=2.0, lattice=(0.0, 1.0, 10.0))
COUNTS = ColumnMap(lattice=(0.0, 1.0, 1.0), atoms=atoms((0.0, 0.2), (1.0, 0.5), (2.0, 0.3)))
CODES = ColumnMap(atoms=atoms((0.0, 0.5), (5.0, 0.3), (100.0, 0.2)))
DAYS = ColumnMap(base="log", lower=0.0, cycle=WEEK, location=4.0, scale=0.7, lattice=(0.0, 1.0, 1.0))
SHARED = ColumnMap(
    base="log",
    lower=0.0,
    cycle=WEEK,
    location=4.0,
    scale=0.7,
    lattice=(0.0, 1.0, 1.0),
    atoms=atoms((-90.0, 0.1), (12.0, 0.2), (13.0, 0.1), (9000.0, 0.3)),
)
SUMMER = torch.tensor([[5.5, 7.5, 40.5, 41.5], [5.5, 6.5, 39.5, 41.5]], dtype=D)
CELLS = {
    "lattice with atoms": (LATTICE, torch.arange(-40, 51)),
    "lattice with a bound": (BOUNDED, torch.arange(0, 3000).double() / 10),
    "lattice with two bounds": (BETWEEN, torch.arange(0, 13).double() / 4),
    "lattice": (TENTHS, torch.arange(-100, 501).double() / 10),
    "days of weeks": (DAYS, torch.arange(0, 2000)),
    "a clock that is put back and forward": (replace(DAYS, clock=SUMMER), torch.arange(0, 2000)),
    "days of weeks with atoms": (SHARED, torch.tensor([-90, *range(2000), 9000])),
    "counts": (COUNTS, torch.arange(3)),
    "codes": (CODES, torch.tensor([0.0, 5.0, 100.0])),
}


def place_of(part):
    """The place of an atom at which a part of its probability lies below."""
    return 0.5 + ((part - 0.5) / 0.3).atan() / (2 * math.atan(0.5 / 0.3))


@pytest.mark.parametrize(("column", "values"), CELLS.values(), ids=CELLS)
def test_probabilities_of_cells_add_up_to_one(column, values):
    """Mean over places of the density of standard normal states times the volume: a probability of atoms, else a density."""
    ends = torch.linspace(0, 1, 201, dtype=D)  # places are close to each other where the density is steep
    units, places, weights = ColumnUnits((column,)), place_of((ends[1:] + ends[:-1]) / 2), place_of(ends).diff()
    x = values.double().repeat_interleave(200)[:, None]
    place = places.repeat(len(values))[:, None]
    z = units(x, place)[:, 0]
    density = (-0.5 * z * z - 0.5 * math.log(2 * math.pi) + units.log_volume(x, place)).exp()
    width = torch.where(torch.isin(values.double(), column.values), 1.0, column.step or 1.0)
    probability = density.reshape(-1, 200) @ weights * width
    assert float(probability.sum()) == pytest.approx(1, abs=1e-3)
    for value, expected in zip(column.values, column.probabilities):
        assert float(probability[values == value]) == pytest.approx(float(expected), rel=1e-3)
    inside = ((place - 0.5).abs() < 0.49)[:, 0]  # nearer to an end of a cell, float64 lacks digits
    assert torch.equal(units.inverse(z[inside, None]), x[inside])


@pytest.mark.parametrize("column", [*(c for c, _ in CELLS.values()), *SMOOTH.values()])
def test_standard_normal_states_stay_so(column):
    """Drawn values get standard normal states at uniform places, of atoms where the parts of their probability are uniform:
    none is lost between the parts of a map.
    """
    units = ColumnUnits((column,))
    x, place = units.inverse(normal(20000, 1)), uniform(20000, 1, seed=1)
    central = torch.isin(x, column.values) & (column != COUNTS)
    assert standard_normal(units(x, torch.where(central, place_of(place), place))[:, 0])


def test_atoms_keep_away_from_the_ends_of_their_intervals():
    """By probability, an atom's states are normal around the middle of its interval, where they are learned."""
    units, x = ColumnUnits((CODES,)), torch.full((4000, 1), 5.0, dtype=D)
    part = (torch.special.ndtr(units(x, units.drawn(uniform(4000, 1)))[:, 0]) - 0.5) / 0.3
    assert standard_normal((part - 0.5) / 0.15)
    assert int((part < 0.05).sum() + (part > 0.95).sum()) < 30
    counts = ColumnUnits((ColumnMap(atoms=atoms((4.0, 0.2), (5.0, 0.3), (6.0, 0.5))),))  # the next one is no worse
    part = (torch.special.ndtr(counts(x, counts.drawn(uniform(4000, 1)))[:, 0]) - 0.2) / 0.3
    assert standard_normal(torch.special.ndtri(part))


def test_atoms_among_continuous_values():
    """Exact atoms with their probability, the rest as it was; the density of the rest is that of a mixture."""
    units = ColumnUnits((ColumnMap(base="log", lower=0.0, scale=2.0, atoms=atoms((0.0, 0.58), (7.0, 0.02))),))
    x = units.inverse(normal(40000, 1))[:, 0]
    for value, p in ((0.0, 0.58), (7.0, 0.02)):
        assert float((x == value).double().mean()) == pytest.approx(p, abs=4 * math.sqrt(p * (1 - p) / 40000))
    assert float(x.min()) == 0
    rest = x[(x != 0) & (x != 7)]
    assert standard_normal(rest.log() / 2)
    at = torch.tensor([[0.01], [3.0], [7.1], [500.0]], dtype=D)
    z = units(at)[:, 0]
    found = -0.5 * z * z - 0.5 * math.log(2 * math.pi) + units.log_volume(at)
    y = at[:, 0].log() / 2
    exact = math.log(0.4) - 0.5 * y * y - 0.5 * math.log(2 * math.pi) - math.log(2) - at[:, 0].log()
    torch.testing.assert_close(found, exact, rtol=1e-9, atol=1e-9)


def test_values_on_a_bound_have_finite_states():
    """A value on its bound that training data did not have, or one beyond it."""
    x = torch.tensor([[0.0, 0.0, -4.0, 1.0, 9.0], [-1.0, 2.0, 9.0, -3.0, 12.0]], dtype=D)
    columns = (ColumnMap(base="log", lower=0.0), ColumnMap(base="logit", lower=0.0, upper=1.0), SMOOTH["to bounds"])
    columns += (SMOOTH["softplus"], SMOOTH["softplus below"])
    units = ColumnUnits(columns)
    assert bool(units(x).isfinite().all()) and bool(units.log_volume(x).isfinite().all())
    assert bool((units(x).abs() < 10).all())


def test_samples_keep_bounds():
    bounded = ("log", "log below", "logit", "to bounds", "softplus", "softplus below")
    x = ColumnUnits([SMOOTH[name] for name in bounded]).inverse(1e3 * normal(1000, 6))
    assert bool((x[:, [0, 4]] >= 1).all()) and bool((x[:, [1, 5]] <= 9).all())
    assert bool(((x[:, 2] >= -1) & (x[:, 2] <= 4)).all()) and bool((x[:, 3].abs() <= 4).all())


def test_dates_keep_their_digits():
    """Whole days in seconds since 1970 come back exactly, also from states in float32."""
    day = 86400.0
    x = 1.7e9 // day * day + day * torch.arange(-300, 300, dtype=D)[:, None]
    units = ColumnUnits((ColumnMap(location=float(x.mean()), scale=float(x.std()), lattice=(0.0, day, 1.0)),))
    assert torch.equal(units.inverse(units(x, uniform(600, 1)).float()), x)


def test_fine_lattices_are_points_and_rounded():
    units = ColumnUnits((ColumnMap(scale=100.0, lattice=(0.0, 1.0, 100.0), fine=True),))
    assert not units.has_cells
    x = torch.tensor([[12.34], [-0.07]], dtype=D)
    assert torch.equal(units(x, uniform(2, 1)), x / 100)
    assert torch.equal(units.inverse(x / 100 + 3e-5), x)


MIXED = (ColumnMap(levels=3, missing=True), ColumnMap(location=1.0, missing=True), ColumnMap(constant=7.0))
MIXED += (
    ColumnMap(levels=2),
    ColumnMap(base="log", lower=0.0),
    ColumnMap(levels=1),
    ColumnMap(constant=2.0, missing=True),
)
NAN = math.nan
TABLE = torch.tensor([[2.0, 1.5, 7, 1, 1.0, 0, 2], [NAN, NAN, 7, 0, 1.0, 0, NAN]], dtype=D)


def test_categories_constants_and_missing_values():
    units = ColumnUnits(MIXED)
    state = units(TABLE)
    expected = [
        [0.5, 0.0, 0, 0, 1, 0, 1, 1, 0, 1, 0, 1, 0],
        [NAN, 0.0, NAN, NAN, NAN, 1, 0, 0, 1, 0, 1, 0, 1],
    ]
    torch.testing.assert_close(state, torch.tensor(expected, dtype=D), equal_nan=True)
    assert units.state_shape == (13,) and units.variables.size == 13
    assert units.variables.numbers == 2 and units.variables.levels == (3, 2, 2, 2, 2)
    assert units.variables.indicators == (5, -1, 4, -1, -1, -1, -1)
    torch.testing.assert_close(units.inverse(state), TABLE, equal_nan=True)
    torch.testing.assert_close(units.log_volume(TABLE), torch.zeros(2, dtype=D))


def test_drawn_levels_and_missing_values_are_the_likeliest_coordinate():
    state = torch.tensor([[0.5, 0.0, 0.2, 0.3, 0.1, 0.9, 0.8, 0.4, 0.6, 0.9, 0.1, 0.9, 0.1]], dtype=D)
    found = ColumnUnits(MIXED).inverse(state)
    torch.testing.assert_close(found, torch.tensor([[NAN, 1.5, 7, 0, 1, 0, 2]], dtype=D), equal_nan=True)


def test_without_indicators_missing_values_are_only_nan():
    units = ColumnUnits(MIXED, complete=True)
    assert units.state_shape == (7,) and units.variables.indicators == (-1, -1, -1, -1)
    torch.testing.assert_close(units.inverse(units(TABLE[:1])), TABLE[:1])
    assert units(TABLE)[1].isnan().tolist() == [True, False, True, True, True, False, False]


def test_status_of_variables():
    units, known = ColumnUnits(MIXED), torch.tensor([[1, 1, 1, 0, 0, 1, 1]]).bool()
    both = known.expand(2, -1)
    found = units.status(both, TABLE)
    names = ["mass", "size", "rock", "wet", "rock?", "mass?", "k?"]
    assert len(names) == units.variables.count
    assert found[0].tolist() == [GIVEN, FREE, GIVEN, FREE, GIVEN, GIVEN, GIVEN]
    assert found[1].tolist() == [ABSENT, FREE, ABSENT, FREE, GIVEN, GIVEN, GIVEN]
    assert units.status(both, TABLE, complete=True)[1].tolist() == [ABSENT, FREE, ABSENT, FREE, *3 * [ABSENT]]
    assert units.status(~both, TABLE)[0].tolist() == [FREE, GIVEN, FREE, GIVEN, FREE, FREE, FREE]
    complete = ColumnUnits(MIXED, complete=True)
    assert complete.status(both, TABLE)[1].tolist() == [ABSENT, FREE, ABSENT, FREE]


def test_variables_of_columns():
    """They are what is free where all other columns are known; of constants there are none."""
    for units in (ColumnUnits(MIXED), ColumnUnits(MIXED, complete=True)):
        for place in range(len(MIXED)):
            one = torch.arange(len(MIXED)) == place
            free = units.status(~one[None], TABLE[:1])[0] == FREE
            assert torch.equal(units.variables_of(one), free)
        everything = units.variables_of(torch.ones(len(MIXED)))
        assert bool(everything.all()) and not bool(units.variables_of(torch.zeros(len(MIXED))).any())


def test_numbers_alone_have_no_variables():
    units = ColumnUnits((SMOOTH["log"], ColumnMap(constant=1.0), SMOOTH["affine"]))
    assert units.variables is None and units.state_shape == (2,)
    known = torch.tensor([[True, True, False]])
    assert units.status(known, torch.ones(1, 3)).tolist() == [[GIVEN, FREE]]


def test_units_are_written_with_models(tmp_path):
    """Every kind of map is rebuilt from its description, to the last bit."""
    columns = (*SMOOTH.values(), *(c for c, _ in CELLS.values()), *MIXED)
    units = ColumnUnits(columns)
    tensors = []
    again = spec.build(spec.describe(units, tensors), tensors=tensors)
    checkpoint.save(units, tmp_path / "units.safetensors")
    loaded = checkpoint.load(tmp_path / "units.safetensors")
    z = normal(50, *units.state_shape)
    for other in (again, loaded):
        torch.testing.assert_close(other.inverse(z), units.inverse(z), rtol=0, atol=0, equal_nan=True)
        assert other.variables == units.variables


def test_the_type_of_states_is_that_of_the_data():
    units = ColumnUnits((SMOOTH["affine"], CODES))
    x = torch.tensor([[1.0, 5.0]])
    assert units(x).dtype == torch.float32 and units(x.double()).dtype == D
    assert units.inverse(x).dtype == D


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"scale": 0.0}, "a finite location and a scale > 0, got 0, 0"),
        ({"base": "log"}, "a log map needs one bound, got lower=None, upper=None"),
        ({"base": "logit", "lower": 0.0}, "a logit map needs two bounds, got lower=0.0, upper=None"),
        ({"base": "sqrt"}, "base is 'affine', 'log', 'softplus' or 'logit', got 'sqrt'"),
        ({"base": "softplus", "lower": 0.0, "bend": 0.0}, "a bend is a finite number > 0, got 0"),
        ({"base": "softplus"}, "a softplus map needs one bound"),
        ({"lower": 1.0, "upper": 1.0}, "bounds must be increasing, got 1 and 1"),
        ({"knots": KNOTS}, "knots and tails go together"),
        ({"knots": KNOTS.flip(1), "tails": NORMAL}, "increasing y, increasing z, and positive slopes"),
        ({"knots": KNOTS, "tails": NORMAL - 1}, "a scale >= 0 and a shape"),
        ({"atoms": atoms((1.0, 0.5), (0.0, 0.5))}, "increasing values, and their probabilities > 0"),
        ({"atoms": atoms((0.0, 0.7), (1.0, 0.5))}, "add up to 1.2, more than 1"),
    ],
)
def test_maps_that_do_not_fit_together(arguments, message):
    with pytest.raises(ValueError, match=message):
        ColumnMap(**arguments)


def test_tables_in_which_nothing_varies():
    with pytest.raises(ValueError, match="none of 2 columns varies: there is nothing to learn"):
        ColumnUnits((ColumnMap(constant=1.0), ColumnMap(levels=1)))


def test_wide_tables_come_back():
    """Each map is computed for all columns of its kind at once."""
    units = ColumnUnits(tuple(SMOOTH.values()) * 40)
    x = units.inverse(normal(64, 40 * len(SMOOTH)))
    np.testing.assert_allclose(units.inverse(units(x)), x, rtol=1e-6, atol=1e-6)
