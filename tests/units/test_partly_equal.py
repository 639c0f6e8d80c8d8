"""Columns that are equal in a part of the rows: found, drawn exactly, and with the right probabilities."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import Tensor

from scorefield import Network, Training, fit, load
from scorefield.data.variables import ABSENT, FREE, GIVEN
from scorefield.denoisers import Denoiser, Gaussian, Mixture
from scorefield.diffusion import Diffusion
from scorefield.likelihood.data_units import DataDensity
from scorefield.processes import VE
from scorefield.units import ColumnMap, ColumnUnits, PartlyEqual, Related, Relation, Relations
from scorefield.units.partly_equal import partial_equalities

pd = pytest.importorskip("pandas")

D = torch.float64
SHARE, MEAN, WIDTH = 0.3, 1.0, 0.5  # of equal rows; of what is paid elsewhere


def rows(count: int, seed: int = 0) -> np.ndarray:
    """Owed, which is standard normal, and paid: what is owed, or another number."""
    rng = np.random.default_rng(seed)
    owed = rng.normal(size=count)
    return np.stack((owed, np.where(rng.random(count) < SHARE, owed, MEAN + WIDTH * rng.normal(size=count))), 1)


def normal(x: np.ndarray, mean: float = 0.0, width: float = 1.0) -> np.ndarray:
    return -(((x - mean) / width) ** 2) / 2 - math.log(width) - math.log(2 * math.pi) / 2


class Exact(Denoiser):
    """All that densities ask of a denoiser of owed and paid."""

    completes = True

    def forward(self, x: Tensor, level: Tensor) -> Tensor:
        raise NotImplementedError

    def category_log_probs(self, values: Tensor, status: Tensor, category: int) -> Tensor:
        logs = torch.tensor([1 - SHARE, SHARE], dtype=D).log().expand(len(values), 2).clone()
        given = status[:, 1] == GIVEN
        assert not bool((given & (status[:, 0] == GIVEN)).any())
        paid = values[:, 1].numpy()
        evidence = torch.from_numpy(np.stack((normal(paid, MEAN, WIDTH), normal(paid)), 1))
        return (logs + torch.where(given[:, None], evidence, 0.0)).log_softmax(1)

    def restricted(self, values: Tensor, status: Tensor) -> Denoiser:
        free = (status[0, :2] == FREE).nonzero()[:, 0]
        assert bool((status[:, :2] == FREE)[:, free].all())
        if free.tolist() == [1] and not bool((status[:, 2] == GIVEN).any()):  # paid, whether it equals owed or not
            means, variances = torch.tensor([[MEAN], [0.0]], dtype=D), torch.tensor([WIDTH**2, 1.0], dtype=D)
            return Mixture(means, variances[:, None, None], torch.tensor([1 - SHARE, SHARE], dtype=D))
        assert bool((status[values[:, 3] == 1, 1] != FREE).all())
        return _Normals(torch.tensor([0.0, MEAN], dtype=D)[free], torch.tensor([1.0, WIDTH], dtype=D)[free])

    def samples(self, index: Tensor) -> Denoiser:
        return self


class _Normals(Denoiser):
    def __init__(self, mean: Tensor, width: Tensor) -> None:
        super().__init__()
        self.mean, self.width = mean, width

    def forward(self, x: Tensor, level: Tensor) -> Tensor:
        return self.mean + self.width**2 / (self.width**2 + level**2) * (x - self.mean)


def test_log_probabilities_are_exact():
    """Of whole rows, of each column given the other, and of one that is not the second."""
    x = rows(600)
    owed, paid, equal = x[:, 0], x[:, 1], x[:, 0] == x[:, 1]
    units = PartlyEqual((ColumnMap(scale=2.0), ColumnMap(location=0.3)), ((0, 1),))
    plain = PartlyEqual((ColumnMap(), ColumnMap()), ((0, 1),))
    diffusion = Diffusion(VE(1e-3, 200.0), Exact(), Gaussian(torch.zeros(4, dtype=D), torch.eye(4, dtype=D) * 4))
    density = DataDensity(diffusion, plain, 1000, extrapolate=True)
    data = torch.from_numpy(x)
    exact = np.where(equal, math.log(SHARE), math.log(1 - SHARE) + normal(paid, MEAN, WIDTH)) + normal(owed)
    found = density(data)
    error = np.abs(found.value.numpy() - exact)
    assert (error <= found.error.numpy() + 1e-9).mean() >= 0.95 and error.max() < 1e-3
    given_owed = density.conditional(data, [0], 0)  # the difference of two, each with the tolerance of 1e-3
    error = np.abs(given_owed.value.numpy() - exact + normal(owed))
    assert (error <= given_owed.error.numpy() + 1e-9).mean() >= 0.95 and error.max() < 2e-3
    of_paid = np.logaddexp(math.log(SHARE) + normal(paid), math.log(1 - SHARE) + normal(paid, MEAN, WIDTH))
    np.testing.assert_allclose(density.conditional(data, [1], 0).value.numpy(), exact - of_paid, atol=2e-3)
    np.testing.assert_allclose(density.marginal(data[:, :1], [0], 0).value.numpy(), normal(owed), atol=1e-3)
    volume = units.log_volume(data).numpy()
    np.testing.assert_allclose(volume, np.full(600, -math.log(2.0)))
    assert math.isclose(float(units.log_volume(data[:1], counted=torch.tensor([[False, True]]))[0]), 0.0)


def test_states_and_back():
    """What is equal comes back equal to the last bit, through lattices, chains, bounds and gaps."""
    cents = ColumnMap(lattice=(0.0, 1.0, 100.0), fine=True, scale=3.0)
    columns = (cents, ColumnMap(base="log", lower=0.0, location=0.7), ColumnMap(location=0.1, missing=True))
    units = PartlyEqual(columns, ((0, 1), (1, 2)))
    x = torch.tensor([[1.23, 1.23, 1.23], [1.23, 4.0, 4.0], [-1.0, 2.0, 3.0], [1.5, 1.5, math.nan]], dtype=D)
    torch.testing.assert_close(units.inverse(units(x)), x, equal_nan=True, rtol=0, atol=1e-12)
    assert units.equal(x).tolist() == [[1, 1], [0, 1], [0, 0], [1, 0]]
    state = units(x) + 0.05 * torch.randn(units(x).shape, dtype=D, generator=torch.Generator().manual_seed(0)) * (
        torch.arange(units.state_shape[0]) < 3
    )
    drawn = units.inverse(state)
    assert drawn[0, 0] == drawn[0, 1] == drawn[0, 2] and drawn[1, 1] == drawn[1, 2] and drawn[3, 0] == drawn[3, 1]
    below = units(x[:1]) + torch.tensor([-5.0, *[0.0] * (units.state_shape[0] - 1)], dtype=D)
    assert float(units.inverse(below)[0, 0]) < 0 < float(units.inverse(below)[0, 1])  # a bound counts more
    atoms = PartlyEqual((cents, ColumnMap(atoms=torch.tensor([[0.0], [0.4]], dtype=D))), ((0, 1),))
    assert atoms.equal(torch.tensor([[0.0, 0.0], [2.0, 2.0]])).tolist() == [[0], [1]]


@pytest.mark.parametrize("gap", ["first", "second", "both"])
def test_whether_a_missing_value_is_equal_is_known_if_the_state_says_that_it_is_missing(gap):
    columns = [ColumnMap(missing=gap != "second"), ColumnMap(missing=gap != "first")]
    x = torch.tensor([[math.nan, 1.0], [1.0, math.nan], [math.nan, math.nan], [1.0, 1.0]], dtype=D)
    said = {"first": [0, None, None, 1], "second": [None, 0, None, 1], "both": [0, 0, 0, 1]}[gap]
    for complete, expected in ((False, said), (True, [None, None, None, 1])):
        found = PartlyEqual(columns, ((0, 1),), complete).equal(x)[:, 0].tolist()
        assert [None if math.isnan(value) else value for value in found] == expected


@pytest.mark.parametrize("gap", ["owed", pytest.param("paid", marks=pytest.mark.slow)])
def test_missing_values_are_drawn_as_often_as_they_are_missing(gap):
    """Of either column, and the others are as often equal as before, in samples and in densities."""
    frame = pd.DataFrame(rows(3000, 1).round(3), columns=["owed", "paid"])
    frame[gap] = frame[gap].where(np.random.default_rng(2).random(3000) > 0.4)
    model = fit(frame, training=Training(steps=250), network=Network(widths=(32,), depth=1))
    drawn, count = model.sample(4000, seed=1), 1 / 3000 + 1 / 4000
    for real, new in (
        (frame[gap].isna().mean(), drawn[gap].isna().mean()),
        ((frame["owed"] == frame["paid"]).mean(), (drawn["owed"] == drawn["paid"]).mean()),
    ):
        assert abs(real - new) < 4 * math.sqrt(real * (1 - real) * count) + 0.02  # and what a short training leaves
    missing = frame[frame[gap].isna()].head(60)
    other = missing.drop(columns=gap).iloc[:, 0].to_numpy()
    at = (
        normal(other)
        if gap == "paid"
        else np.logaddexp(math.log(SHARE) + normal(other), math.log(1 - SHARE) + normal(other, MEAN, WIDTH))
    )
    error = model.log_prob(missing).value.numpy() - (math.log(0.4) + at)
    assert abs(error.mean()) < 0.3


def test_variables_of_columns():
    """A column, and whether it equals its neighbours."""
    units = PartlyEqual((ColumnMap(), ColumnMap(), ColumnMap()), ((0, 1), (1, 2)))
    for columns, expected in (([1, 0, 0], [1, 0, 0, 1, 0]), ([0, 1, 0], [0, 1, 0, 1, 1]), ([0, 0, 0], [0, 0, 0, 0, 0])):
        assert units.variables_of(torch.tensor(columns)).long().tolist() == expected


def test_known_values_pass_to_what_equals_them():
    units = PartlyEqual((ColumnMap(), ColumnMap(), ColumnMap()), ((0, 1), (1, 2)))
    drawn = torch.tensor([[1.0, 1.0, 1.0], [1.0, 1.0, 3.0], [1.0, 2.0, 2.0]], dtype=D)
    known = torch.tensor([[False, True, False]]).expand(3, 3)
    x = torch.full((3, 3), 7.0, dtype=D)
    assert units.with_known(drawn, x, known).tolist() == [[7, 7, 7], [7, 7, 3], [1, 7, 7]]
    last = torch.tensor([[False, False, True]]).expand(3, 3)
    assert units.with_known(drawn, x, last).tolist() == [[7, 7, 7], [1, 1, 7], [1, 7, 7]]
    total = Related(units, Relations(4, (Relation(3, (0, 2), (1, 1)),)))
    wide = torch.cat([drawn, drawn[:, :1] + drawn[:, 2:]], 1)
    flags = torch.tensor([[True, False, False, False]]).expand(3, 4)
    found = total.with_known(wide, torch.full((3, 4), 7.0, dtype=D), flags)
    assert found.tolist() == [[7, 7, 7, 14], [7, 7, 3, 10], [7, 2, 2, 9]]


def test_status_of_pairs():
    """Whether two values are equal is known where both are; the second of two equal ones is then known from the first."""
    units = PartlyEqual((ColumnMap(), ColumnMap()), ((0, 1),))
    x = torch.tensor([[1.0, 1.0], [1.0, 2.0]], dtype=D)
    both = units.status(torch.ones(2, 2, dtype=torch.bool), x)
    assert both.tolist() == [[GIVEN, ABSENT, GIVEN], [GIVEN, GIVEN, GIVEN]]
    one = units.status(torch.tensor([[True, False]]).expand(2, 2), x)
    assert one.tolist() == [[GIVEN, FREE, FREE]] * 2


def test_only_what_chance_and_closeness_do_not_explain():
    """Counts, close numbers, and shared atoms are no partial equalities; pairs that follow from others are left out."""
    rng = np.random.default_rng(0)
    n = 4000
    base = rng.gamma(2.0, 100.0, n).round()
    close = base + rng.integers(-3, 4, n)
    counts = rng.poisson(3.0, (n, 2)).astype(float)
    zeros = np.where(rng.random((n, 2)) < 0.5, 0.0, rng.normal(size=(n, 2)))
    spiked = ColumnMap(atoms=torch.tensor([[0.0], [0.5]], dtype=D))
    assert not partial_equalities(np.column_stack((base, close, counts)), [ColumnMap()] * 4)
    assert not partial_equalities(zeros, [spiked, spiked])
    first = rng.normal(size=n)
    second = np.where(rng.random(n) < 0.2, first, rng.normal(size=n))
    third = np.where(rng.random(n) < 0.5, second, rng.normal(size=n))
    fine = ColumnMap(lattice=(0.0, 1.0, 1.0), fine=True)
    chain = np.stack((first, second, third), 1)
    found = partial_equalities(chain, [ColumnMap()] * 3)
    assert list(found) == [(0, 1), (1, 2)] and abs(found[1, 2] - 0.5) < 0.03
    owed = np.where(rng.random(n) < 0.3, base, base + 100 * rng.random(n))
    assert list(partial_equalities(np.stack((owed, base), 1), [ColumnMap(), fine])) == [(1, 0)]  # whole numbers give


def test_false_alarms_are_rare():
    """Of 300 independent pairs of rounded columns of many kinds, none is taken for partly equal."""
    rng = np.random.default_rng(1)
    kinds = [
        lambda n: rng.normal(size=n).round(1),
        lambda n: rng.gamma(2.0, 50.0, n).round(),
        lambda n: rng.integers(0, 30, n).astype(float),
        lambda n: np.exp(2 * rng.normal(size=n)).round(2),
        lambda n: (rng.normal(size=n) * 4).round() / 4,
    ]
    for k in range(300):
        x = np.stack([kinds[rng.integers(5)](1500) for _ in range(2)], 1)
        assert not partial_equalities(x, [ColumnMap()] * 2), k


@pytest.mark.slow
def test_a_table_is_learned_and_drawn_with_its_equal_rows(tmp_path):
    frame = pd.DataFrame(rows(3000).round(3), columns=["owed", "paid"])
    model = fit(frame, training=Training(steps=1200), network=Network(widths=(96,), depth=2))
    drawn = model.sample(2000)
    share = (drawn["owed"] == drawn["paid"]).mean()
    assert abs(share - SHARE) < 0.06
    rest = drawn[drawn["owed"] != drawn["paid"]]
    assert abs(rest["paid"].mean() - MEAN) < 0.1 and abs(np.corrcoef(rest["owed"], rest["paid"])[0, 1]) < 0.15
    for name in ("owed", "paid"):
        part = model.condition(**{name: 0.5}).sample(1000)
        odds = SHARE * math.exp(normal(0.5)), (1 - SHARE) * math.exp(normal(0.5, MEAN, WIDTH))
        expected = SHARE if name == "owed" else odds[0] / sum(odds)
        assert (part[name] == 0.5).all() and abs((part["owed"] == part["paid"]).mean() - expected) < 0.1
    model.save(tmp_path / "m.safetensors")
    pd.testing.assert_frame_equal(load(tmp_path / "m.safetensors").sample(50), drawn.head(50))


def test_errors_of_pairs():
    with pytest.raises(ValueError, match="a pair is two columns of numbers, got columns 0 and 1"):
        PartlyEqual((ColumnMap(), ColumnMap(levels=3)), ((0, 1),))
    with pytest.raises(ValueError, match="got columns 0 and 0"):
        PartlyEqual((ColumnMap(),), ((0, 0),))
    assert isinstance(PartlyEqual((ColumnMap(),), ()).inner, ColumnUnits)
