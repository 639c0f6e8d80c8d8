"""The choice of units: which map each column gets, by what reason, and what is drawn by it."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from scorefield.data import ArrayRows, summarize
from scorefield.data.columns import Column
from scorefield.units import Wishes, choose_units
from scorefield.units.forms import find_atoms, find_form, find_lattice

D = torch.float64


class Plain(Column):
    """A column whose properties are set by hand."""

    kind = "plain"

    def __init__(self, name, size=0, bounds=(None, None), transform="auto", missing=False):
        super().__init__(name, "float64", missing)
        self.__dict__ |= {"_size": size, "_bounds": bounds, "_transform": transform}

    size = property(lambda self: self._size)
    bounds = property(lambda self: self._bounds)
    transform = property(lambda self: self._transform)

    def encode(self, values):
        return values.to_numpy()

    def decode(self, numbers):
        return numbers


def drawn(units, count=20000, seed=1):
    """Data of standard normal numbers and of atoms with their probabilities."""
    generator = torch.Generator().manual_seed(seed)
    z = torch.randn((count, *units.state_shape), dtype=D, generator=generator)
    blocks = iter(() if units.variables is None else units.variables.blocks)
    for column in getattr(units, "columns", ()):
        if column.separate:
            p, (start, end) = column.probabilities, next(blocks)
            level = torch.multinomial(torch.cat((1 - p.sum(0, keepdim=True), p)), count, True, generator=generator)
            z[:, start:end] = torch.eye(end - start, dtype=D)[level]
    return units.inverse(z).numpy()


def states(units, x, seed=2):
    x = torch.as_tensor(np.asarray(x, dtype=float))
    place = torch.rand(x.shape, dtype=D, generator=torch.Generator().manual_seed(seed))
    return units(x, place).numpy()


def ks(x, exact):
    """The Kolmogorov-Smirnov distance times √n: 1.95 is exceeded with probability 0.001."""
    p = exact(torch.as_tensor(np.sort(x))).numpy()
    n = len(x)
    return math.sqrt(n) * max((np.arange(1, n + 1) / n - p).max(), (p - np.arange(n) / n).max())


def test_smooth_arrays_keep_their_units():
    """Mixtures, edges and moderate tails stay affine, with the moments of all data to the last bit."""
    rng = np.random.default_rng(0)
    angle = rng.uniform(0, math.pi, 2000)
    columns = (np.cos(angle) + 0.1 * rng.normal(size=2000), rng.normal(3, 2, 2000), rng.standard_t(5, 2000))
    x = np.stack((*columns, rng.choice([-2, 3], 2000) + rng.normal(size=2000)), 1)
    rows, summary = ArrayRows(x), summarize(ArrayRows(x))
    units, reasons = (found := choose_units(rows, summary=summary)).units, found.reasons
    assert units.affine and reasons == ("affine",) * 4
    assert torch.equal(units.mean, summary.mean) and torch.equal(units.std, summary.variance.sqrt())


@pytest.mark.parametrize(
    "draw", [lambda rng: rng.normal(size=900), lambda rng: rng.uniform(size=900), lambda rng: rng.exponential(size=900)]
)
def test_scaled_to_the_range_of_the_data(draw):
    """The smallest and the largest value, which are 0 and 1 then, are no atoms, and have states like the others."""
    x = np.stack([draw(np.random.default_rng(seed)) for seed in range(3)], 1)
    scaled = (x - x.min(0)) / np.ptp(x, 0)
    units = choose_units(ArrayRows(scaled)).units
    assert units.variables is None
    z = states(units, scaled)
    assert np.abs(z).max() < 9 and np.abs(z.mean(0)).max() < 0.3 and np.abs(z.std(0) - 1).max() < 0.3
    assert drawn(units).min() > -0.6  # of normal data, whose smallest value is no bound
    np.testing.assert_allclose(units.inverse(torch.from_numpy(z)).numpy(), scaled, atol=1e-9)
    once = np.concatenate([[0.0], 5 * np.random.default_rng(9).exponential(size=899)])
    assert find_form(once).values == (0.0,)  # one zero alone is a value that other rows may have


def test_wide_whole_numbers():
    """Those of an integer type keep their units, which round them by type; in floats they are rounded by their units."""
    x = np.random.default_rng(0).normal(1000, 300, (3000, 2)).round()
    found = choose_units(ArrayRows(x.astype(np.int64)))
    assert found.units.affine and found.reasons[0] == "affine, steps of 1"
    units = choose_units(ArrayRows(x)).units
    assert units.has_cells and not units.affine
    assert (drawn(units) == drawn(units).round()).all()
    summary = summarize(ArrayRows(x))
    units = choose_units(ArrayRows(x), summary=summary).units
    assert units.columns[0].scale == math.sqrt(summary.variance[0] + 1 / 12)


@pytest.mark.parametrize(
    ("draw", "kind"),
    [
        (lambda rng: rng.gamma(0.7, 6.0, 8000), "quantile: heavy tails and skewed"),
        (lambda rng: np.exp(2 * rng.normal(size=8000)), "log: positive"),
        (lambda rng: rng.choice([-2, 2], 8000) + rng.normal(size=8000), "affine"),
        (lambda rng: rng.uniform(-1, 1, 8000), "affine"),
        (lambda rng: rng.normal(size=8000), "affine"),
        (lambda rng: rng.exponential(size=8000) - 0.5, "quantile: skewed"),
        (lambda rng: -np.exp(2 * rng.normal(size=8000)) + 0.5, "quantile: heavy tails and skewed"),
    ],
)
def test_many_values(draw, kind):
    """Skewed and heavy-tailed columns become normal; modes and edges stay as they are."""
    found = choose_units(ArrayRows(draw(np.random.default_rng(0))[:, None]))
    assert found.reasons[0].startswith(kind)


def test_rain():
    """Steps of 0.1, exact zeros with their share, never negative, and what is drawn has standard normal states."""
    rng = np.random.default_rng(0)
    rain = np.where(rng.random((3000, 2)) > 0.6, rng.gamma(0.7, 6.0, (3000, 2)).round(1), 0.0)
    found = choose_units(ArrayRows(rain))
    assert found.reasons[0].startswith("atoms at 0 (62 %), else ") and found.reasons[0].endswith("steps of 0.1")
    x = drawn(found.units)
    share = (rain == 0).mean(0)
    assert (abs((x == 0).mean(0) - share) < 4 * np.sqrt(share * (1 - share) / 20000)).all()
    assert x.min() == 0 and (np.round(x, 1) == x).all()
    assert (np.abs(np.nanmean(states(found.units, rain)[:, :2], 0)) < 0.1).all()
    torch.testing.assert_close(found.units.inverse(torch.from_numpy(states(found.units, rain))).numpy(), rain)


def test_saturation():
    """Values in [0, 1] with 30 % exact zeros; bounds are found and kept."""
    rng = np.random.default_rng(0)
    u = rng.beta(0.5, 0.5, (3000, 2))
    u[rng.random((3000, 2)) < 0.3] = 0.0
    found = choose_units(ArrayRows(u))
    x = drawn(found.units)
    share = (u == 0).mean(0)
    assert (abs((x == 0).mean(0) - share) < 4 * np.sqrt(share * (1 - share) / 20000)).all()
    assert x.min() == 0 and 0.99 < x.max() <= 1


@pytest.mark.parametrize("count", [400, 3000])
def test_six_decades(count):
    """A log-normal column is standardized in its logarithm: KL of the density to the exact one."""
    x = np.exp(4.6 * np.random.default_rng(0).normal(size=(count, 2)))
    found = choose_units(ArrayRows(x))
    assert found.reasons[0].startswith("log: positive, spans 1")
    test = np.exp(4.6 * np.random.default_rng(1).normal(size=(20000, 2)))
    z, at = states(found.units, test), torch.from_numpy(test)
    log_p = -0.5 * (z**2).sum(1) - math.log(2 * math.pi) + found.units.log_volume(at).numpy()
    y = np.log(test) / 4.6
    exact = -0.5 * (y**2).sum(1) - math.log(2 * math.pi) - 2 * math.log(4.6) - np.log(test).sum(1)
    assert 0 <= (exact - log_p).mean() < 10 / count  # four parameters cost 4 / 2n


def test_an_outlier_does_not_destroy_its_column():
    """The other 399 values stay standard normal, as states and when drawn."""
    x = np.random.default_rng(0).normal(size=(400, 3))
    x[17, 0] = 1e6
    found = choose_units(ArrayRows(x))
    assert found.reasons[0].startswith("quantile: heavy tails") and "generalized Pareto" in found.reasons[0]
    z = states(found.units, x)
    assert abs(z[:, 0]).max() < 8 and 0.9 < np.delete(z[:, 0], 17).std() < 1.1
    assert ks(drawn(found.units, 400)[:, 0], torch.special.ndtr) < 1.95 * math.sqrt(2)  # the map has errors as well
    assert (abs(drawn(found.units)[:, 0]) < 10).mean() > 0.995


def test_lattices_and_codes():
    """Few values with many rows each are drawn only as they are in the data; many stay on their lattice."""
    rng = np.random.default_rng(0)
    halves = rng.integers(50, 74, 3000) * 0.5
    tenths, codes = (60 + 4 * rng.normal(size=3000)).round(1), rng.choice([0, 5, 100], 3000, p=[0.5, 0.3, 0.2])
    found = choose_units(ArrayRows(np.stack((halves, tenths, codes), 1)))
    assert found.reasons == ("atoms: 24 values", "affine, steps of 0.1", "learned as a category: one of 0, 5, 100")
    x = drawn(found.units)
    assert set(x[:, 0]) == set(halves) and set(x[:, 2]) == {0.0, 5.0, 100.0}
    assert set(x[:, 1]) - set(tenths) and (np.round(x[:, 1], 1) == x[:, 1]).all()


def test_spikes_on_a_lattice():
    """40 hours, the usual week, among whole numbers."""
    rng = np.random.default_rng(0)
    hours = np.where(rng.random(2000) < 0.45, 40, rng.normal(40, 90, 2000).round()).clip(-400, 400)
    found = choose_units(ArrayRows(np.stack((hours, rng.normal(size=2000)), 1)))
    assert found.reasons[0].startswith("atoms at 40 (46 %), else ")
    share = (hours == 40).mean()
    x = drawn(found.units)[:, 0]
    assert abs((x == 40).mean() - share) < 4 * math.sqrt(share * (1 - share) / 20000)
    assert (x == x.round()).all()


def test_caps_are_atoms_and_bounds():
    rng = np.random.default_rng(0)
    price = rng.normal(30, 12, (1000, 1)).clip(5, 50)
    x = drawn(choose_units(ArrayRows(price)).units)
    assert x.min() == 5 and x.max() == 50
    assert abs((x == 50).mean() - (price == 50).mean()) < 4 * math.sqrt(0.05 / 20000)


def test_repeated_rows_do_not_make_atoms():
    rows = np.repeat(np.random.default_rng(0).normal(size=(100, 3)), 10, 0)
    assert choose_units(ArrayRows(rows)).units.affine


def test_tails_are_drawn_beyond_the_data():
    """Losses with a Pareto tail of shape 0.5: the probability of 3 times the largest of 4000 is right within a factor 4."""
    u = (np.arange(4000) + 0.5) / 4000
    loss = 2 * ((1 - u) ** -0.5 - 1) - 0.1
    found = choose_units(ArrayRows(np.random.default_rng(0).permutation(loss)[:, None]))
    assert "generalized Pareto of shape" in found.reasons[0]
    far = torch.tensor([[3 * loss.max()]], dtype=D)
    share = float(torch.special.log_ndtr(-found.units(far)).exp())
    exact = (1 + (3 * loss.max() + 0.1) / 2) ** -2
    assert 0.25 < share / exact < 4


def test_constants_and_missing_values():
    rng = np.random.default_rng(0)
    x = np.stack((rng.normal(size=300), np.full(300, 7.0), rng.normal(size=300), np.full(300, math.nan)), 1)
    x[rng.random(300) < 0.25, 2] = math.nan
    found = choose_units(ArrayRows(x))
    share = np.isnan(x[:, 2]).mean()
    assert found.reasons[:2] == ("affine", "constant: always 7")
    assert found.reasons[2] == f"affine; missing in {100 * share:.2g} %"
    assert found.reasons[3] == "no values: nothing is drawn; missing in all rows"
    assert found.units.state_shape == (2 + 4,)
    back = found.units.inverse(found.units(torch.from_numpy(x)))
    torch.testing.assert_close(back.numpy(), x, equal_nan=True)


def test_columns_of_a_table():
    rng = np.random.default_rng(0)
    x = np.stack((rng.integers(0, 3, 400), rng.normal(size=400), rng.uniform(2, 3, 400), np.zeros(400)), 1)
    table = (Plain("rock", 3), Plain("mass", missing=True), Plain("share", bounds=(0.0, 10.0)), Plain("one", 1))
    found = choose_units(ArrayRows(x), table)
    assert found.units.variables.levels == (3, 2) and found.units.state_shape == (2 + 3 + 2,)
    assert found.reasons[0] == "category: 3 levels" and found.reasons[3] == "constant: one level"
    assert found.reasons[1] == "affine; missing in 0 %"
    x = drawn(found.units)
    assert x[:, 2].min() > 0 and x[:, 2].max() < 10


@pytest.mark.parametrize(("transform", "words"), [("affine", "affine: as asked"), ("quantile", "quantile: as asked")])
def test_transforms_are_followed(transform, words):
    x = np.random.default_rng(0).normal(50, 1, (400, 1))
    found = choose_units(ArrayRows(x), (Plain("x", transform=transform),))
    assert found.reasons[0].startswith(words) and not found.units.affine


def test_wishes_for_arrays():
    x = np.random.default_rng(0).normal(50, 1, (400, 3))
    found = choose_units(ArrayRows(x), wishes=Wishes(log=(0,), bounds={1: (40.0, None), 2: (0.0, 100.0)}))
    assert found.reasons[0] == "log: as asked"
    x = found.units.inverse(1e3 * torch.randn((1000, 3), dtype=D)).numpy()
    assert x[:, 0].min() >= 0 and x[:, 1].min() >= 40 and x[:, 2].min() >= 0 and x[:, 2].max() <= 100


@pytest.mark.parametrize(
    ("wishes", "message"),
    [
        (Wishes(log=("a",)), "there is no column 'a' to transform: columns are 0, 1"),
        (Wishes(bounds={0: (1.0, 0.0)}), "bounds of column 0 must be increasing, got 1 and 0"),
        (Wishes(bounds={1: (0.0, 1.0)}), r"column 1 is declared to be in \[0, 1\] and holds -"),
        (Wishes(log=(1,)), "the logarithm of column 1 needs values of one sign, it holds -"),
    ],
)
def test_wishes_that_do_not_fit(wishes, message):
    x = np.random.default_rng(0).normal(size=(100, 2))
    with pytest.raises(ValueError, match=message):
        choose_units(ArrayRows(x), wishes=wishes)


def test_grids():
    """Permeability gets its logarithm, saturation in [0, 1] its logit if bounds are given; exact zeros come back."""
    rng = np.random.default_rng(0)
    saturation = rng.beta(0.5, 0.5, (200, 6, 6)).clip(0.1, 1) - 0.1
    x = np.stack((np.exp(2 * rng.normal(size=(200, 6, 6))), saturation, rng.normal(size=(200, 6, 6))), 1)
    found = choose_units(ArrayRows(x), wishes=Wishes(bounds={1: (0.0, 1.0)}))
    assert found.reasons == ("log: positive, spans 7 decades", "atoms at 0 (21 %), else as asked", "affine")
    units = found.units
    z = units(torch.from_numpy(x))
    torch.testing.assert_close(z.mean((0, 2, 3)), torch.zeros(3, dtype=D), rtol=0, atol=1e-9)
    torch.testing.assert_close(z.std((0, 2, 3), correction=0), torch.ones(3, dtype=D))
    back = units.inverse(z).numpy()
    np.testing.assert_allclose(back, x, rtol=1e-9, atol=1e-12)
    assert ((back == 0) == (x == 0)).all()
    far = units.inverse(100 * torch.randn((50, 3, 6, 6), dtype=D))
    assert float(far[:, 0].min()) >= 0 and float(far[:, 1].min()) == 0 and float(far[:, 1].max()) == 1
    one = torch.from_numpy(x[:1]).clamp_min(1e-3)
    jacobian = torch.autograd.functional.jacobian(lambda y: units(y.reshape(one.shape)).reshape(-1), one.reshape(-1))
    assert float(units.log_volume(one)) == pytest.approx(float(torch.linalg.slogdet(jacobian)[1]), rel=1e-9)


def test_smooth_grids_keep_their_units():
    x = np.random.default_rng(0).uniform(0, 1, (50, 2, 4, 4))
    rows, summary = ArrayRows(x), summarize(ArrayRows(x))
    units = choose_units(rows, summary=summary).units
    assert units.affine and units.mean.shape == (2, 1, 1)


@pytest.mark.parametrize(
    ("wishes", "message"),
    [
        (Wishes(log=(0,)), "the logarithm of channel 0 needs values above 0, it holds -"),
        (Wishes(bounds={0: (0.0, 1.0)}), r"channel 0 is declared to be in \[0.0, 1.0\] and holds -"),
    ],
)
def test_wishes_that_do_not_fit_grids(wishes, message):
    with pytest.raises(ValueError, match=message):
        choose_units(ArrayRows(np.random.default_rng(0).normal(size=(20, 1, 4, 4))), wishes=wishes)


def test_many_rows_are_sampled():
    """A large table is read in part: the choice does not grow with it."""
    x = np.random.default_rng(0).exponential(size=(300_000, 2))
    found = choose_units(ArrayRows(x))
    assert all(reason.startswith(("log", "quantile")) for reason in found.reasons)


def test_rounding_alone_makes_no_spikes():
    """Of 60 smooth columns in hundredths, and of 60 of counts, at most one has a value that passes for a spike."""
    found = 0
    for seed in range(60):
        rng = np.random.default_rng(seed)
        for x in (rng.normal(size=800).round(2), np.round(100 + 30 * rng.normal(size=800))):
            values, counts = np.unique(x, return_counts=True)
            found += int(find_atoms(values, counts, find_lattice(x, values)).any())
    assert found <= 1
    x = np.where(np.random.default_rng(0).random(800) < 0.05, 0.78, np.random.default_rng(1).normal(size=800)).round(2)
    values, counts = np.unique(x, return_counts=True)
    assert values[find_atoms(values, counts, find_lattice(x, values))].tolist() == [0.78]
