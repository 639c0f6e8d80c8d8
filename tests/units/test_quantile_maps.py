"""Quantile maps: densities against exact ones, shapes of tails, and how little they store."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from scorefield.units import ColumnMap, ColumnUnits, Wish
from scorefield.units.candidates import Candidate
from scorefield.units.choose_map import choose_map
from scorefield.units.fit_map import ColumnForm, fit_quantile, spread_over_cells
from scorefield.units.forms import find_bounds, find_form, find_lattice
from scorefield.units.held_out_gain import folds_of, held_out_log_density
from scorefield.units.normal import normal_cdf, normal_quantile, quantile_of_log
from scorefield.units.number_maps import NumberMaps
from scorefield.units.tails import fit_tail

D = torch.float64


def log_beta_half(x):
    return -math.log(math.pi) - 0.5 * np.log(x * (1 - x))


def log_student(x):
    return math.lgamma(2) - math.lgamma(1.5) - 0.5 * math.log(3 * math.pi) - 2 * np.log1p(x**2 / 3)


def log_two_modes(x):
    return np.logaddexp(-0.5 * (x - 3) ** 2, -0.5 * (x + 3) ** 2) - math.log(2) - 0.5 * math.log(2 * math.pi)


KNOWN = {
    "Student t, 3 degrees": (lambda rng, n: rng.standard_t(3, n), log_student, ColumnForm()),
    "exponential": (lambda rng, n: rng.exponential(size=n), lambda x: -x, ColumnForm(lower=0.0)),
    "uniform": (lambda rng, n: rng.uniform(size=n), lambda x: 0 * x, ColumnForm(0.0, 1.0)),
    "arcsine": (lambda rng, n: rng.beta(0.5, 0.5, n), log_beta_half, ColumnForm(0.0, 1.0)),
    "two modes": (lambda rng, n: rng.normal(size=n) + rng.choice([-3, 3], n), log_two_modes, ColumnForm()),
}


@pytest.mark.parametrize("count", [400, 6000])
@pytest.mark.parametrize(("draw", "log_density", "form"), KNOWN.values(), ids=KNOWN)
def test_densities_are_near_the_exact_ones(count, draw, log_density, form):
    """The Kullback-Leibler divergence is a few times (knots + 4) / 2n, what as many parameters cost."""
    rng = np.random.default_rng(0)
    column, _, _ = fit_quantile(draw(rng, count), form)
    units, x = ColumnUnits((column,)), draw(rng, 20000)
    z = units(torch.from_numpy(x)[:, None])[:, 0]
    log_p = -0.5 * z * z - 0.5 * math.log(2 * math.pi) + units.log_volume(torch.from_numpy(x)[:, None])
    divergence = float((torch.from_numpy(log_density(x)) - log_p).mean())
    assert -0.005 < divergence < 4 * (column.knots.shape[1] + 4) / (2 * count)


def test_knots_grow_slowly_and_end():
    rng = np.random.default_rng(0)
    knots = [fit_quantile(rng.normal(size=n), ColumnForm())[0].knots.shape[1] for n in (100, 10_000, 1_000_000)]
    assert knots == [7, 40, 160]


@pytest.mark.parametrize("shape", [0.0, 0.3, 0.7])
def test_shapes_of_tails(shape):
    """Excesses with a known shape: within 4 standard errors, (1 + ξ) / √n, and the shrinkage by the prior."""
    u = np.random.default_rng(0).random(2000)
    excess = 2 * (-np.log(u) if shape == 0 else (u**-shape - 1) / shape)
    tail = fit_tail(excess, 1.6)
    error = 4 * (1 + shape) / math.sqrt(2000)
    assert tail.heavy and abs(tail.shape - shape) < error + 0.02
    assert abs(math.log(tail.scale / 2)) < 4 * math.sqrt(2 * (1 + shape) / 2000) + 0.02


def test_tails_of_normal_values_are_normal():
    z = np.random.default_rng(0).normal(size=40_000)
    tail = fit_tail(z[z > 1.5] - 1.5, 1.5)
    assert not tail.heavy and tail.scale == 0
    assert abs(tail.slope - 1) < 4 / math.sqrt((z > 1.5).sum())


def test_tails_end_at_bounds():
    """Near its bounds an arcsine density is that of a power 1/2 of the distance."""
    x = np.random.default_rng(0).beta(0.5, 0.5, 20_000)
    tail = fit_tail(0.01 - x[x < 0.01], 1.5, 0.01)
    assert -1 / tail.shape == pytest.approx(0.5, abs=4 * 0.5 / math.sqrt((x < 0.01).sum()) + 0.01)
    assert tail.scale / -tail.shape == pytest.approx(0.01)


def test_tails_of_logarithms_are_at_most_exponential():
    """A heavy tail of log x would give values beyond all numbers; an exponential one is a Pareto tail of x."""
    x = np.exp(np.random.default_rng(0).standard_t(1.5, 2000))
    column, tails, _ = fit_quantile(x, ColumnForm(lower=0.0), "log")
    assert [tail.name for tail in tails] == ["exponential", "exponential"]
    far = ColumnUnits((column,)).inverse(torch.tensor([[-6.0], [6.0]], dtype=D))
    assert float(far[0]) > 0 and float(far[1]) < 1e300


def test_normal_quantiles_far_out():
    z = torch.tensor([-1500.0, -37.0, -8.0, 0.3, 8.0], dtype=D)
    torch.testing.assert_close(quantile_of_log(torch.special.log_ndtr(z))[:4], z[:4], rtol=1e-9, atol=0)
    torch.testing.assert_close(normal_quantile(normal_cdf(z), normal_cdf(-z))[1:], z[1:], rtol=1e-12, atol=0)


@pytest.mark.parametrize(
    ("values", "lattice"),
    [
        (np.array([0.25, 1.0, 2.5, 7.75]), (25.0, 75.0, 100.0)),
        (np.array([12.0, 15.0, 21.0, 36.0]), (0.0, 3.0, 1.0)),
        (np.arange(300) % 7 / 255, (0.0, 1.0, 255.0)),
        (np.array([1.05, 1.15, 1.35, 2.05]), (5.0, 10.0, 100.0)),
        (np.array([1e-13, 3e-13, 2.2e-13, 5e-13]), (0.0, 0.0, 1.0)),
        (np.array([0.1, 0.2, 0.7]).astype(np.float32).astype(float), (0.0, 1.0, 10.0)),
        (np.random.default_rng(0).normal(size=100), (0.0, 0.0, 1.0)),
        (1.7e9 + 86400 * np.arange(9.0), (80000.0, 86400.0, 1.0)),
    ],
)
def test_lattices(values, lattice):
    assert find_lattice(values, np.unique(values)) == lattice


def test_atoms_are_the_values_that_stand_out():
    rng = np.random.default_rng(0)
    x = rng.exponential(size=2000)
    x[:300], x[300:310] = 2.0, 5.0
    form = find_form(x)
    assert form.values == (2.0, 5.0) and form.probabilities == (0.15, 0.005)
    assert find_form(rng.poisson(60, 1000).astype(float)).values == ()
    assert find_form(rng.normal(size=(5, 1))[:, 0]).values == ()


@pytest.mark.parametrize(
    ("draw", "bounds"),
    [
        (lambda rng: rng.normal(3, 1, 1000), (None, None)),
        (lambda rng: rng.normal(300, 10, 1000), (None, None)),
        (lambda rng: rng.uniform(-1, 1, 1000), (None, None)),
        (lambda rng: rng.gamma(2, 3, 1000), (0.0, None)),
        (lambda rng: rng.uniform(0, 1, 1000), (0.0, 1.0)),
        (lambda rng: rng.beta(0.5, 0.5, 1000) * 100, (0.0, 100.0)),
    ],
)
def test_evident_bounds(draw, bounds):
    assert find_bounds(draw(np.random.default_rng(0)), np.zeros(0)) == bounds


def test_bounds_of_few_values():
    """Of 16 positive values 0 is a bound if normal ones would come below it, and seldom where those are far from it."""
    rng = np.random.default_rng(0)
    found = [find_bounds(np.abs(rng.normal(4, 1, 16)), np.zeros(0))[0] for _ in range(300)]
    assert found.count(None) > 290
    found = [find_bounds(rng.lognormal(0, 2, 16), np.zeros(0))[0] for _ in range(300)]
    assert found.count(0.0) > 150  # and never for a value below it
    assert find_bounds(np.concatenate([[-0.1], rng.lognormal(0, 2, 15)]), np.zeros(0)) == (None, None)


def test_a_code_far_from_all_values_is_not_a_bound():
    x = np.random.default_rng(0).normal(10, 1, 1000)
    x[:50] = -999
    form = find_form(x)
    assert form.values == (-999.0,) and form.lower is None


def preferred(rng, n):
    """Sizes that are cut to reach preferred ones: many at and just above 0.3, 0.5, 1.0, few below."""
    size = np.exp(0.6 * rng.normal(size=n) - 0.5)
    marks = np.array([0.2, 0.3, 0.4, 0.5, 0.7, 0.9, 1.0, 1.2, 1.5, 2.0, 3.0, 9.0])
    mark = marks[np.minimum(np.searchsorted(marks, size), 11)]
    return np.where(rng.random(n) < 0.7, mark + 0.03 * rng.exponential(size=n), size).round(2)


def test_heaps_on_a_lattice_have_their_own_probabilities():
    """Frequencies of new values in cells: by cells, total variation is near that of a second sample; by quantiles, far."""
    rng = np.random.default_rng(0)
    x, other = preferred(rng, 4000), preferred(rng, 40_000)
    column, reason = choose_map(x, Wish())
    assert "quantile by cells of the lattice" in reason
    form = replace(find_form(x), values=(), probabilities=())
    usual = fit_quantile(spread_over_cells(x, form, rng), form)[0]
    near, far = (cells_apart(each, other) for each in (column, usual))
    own = apart(x, other)
    assert near < own + 0.02 and far > own + 0.04
    state = torch.linspace(-5, 5, 4001, dtype=D)[:, None]
    units = ColumnUnits((column,))
    assert bool((units.inverse(state).diff(dim=0) >= 0).all())
    place = torch.rand((4000, 1), dtype=D, generator=torch.Generator().manual_seed(0))
    data = torch.from_numpy(x)[:, None]
    assert torch.equal(units.inverse(units(data, place)), data)


def cells_apart(column: ColumnMap, x: np.ndarray) -> float:
    """The total variation distance between the frequencies of a sample and of what a map makes of normal numbers."""
    drawn = ColumnUnits((column,)).inverse(torch.randn((40_000, 1), generator=torch.Generator().manual_seed(1)))
    return apart(drawn[:, 0].numpy(), x)


def apart(x: np.ndarray, y: np.ndarray) -> float:
    """The total variation distance between the frequencies of two samples of numbers in hundredths."""
    x, y = x.round(2), y.round(2)
    values = np.unique(np.concatenate((x, y)))
    first, second = (np.unique(np.append(each, values), return_counts=True)[1] - 1 for each in (x, y))
    return float(np.abs(first / len(x) - second / len(y)).sum() / 2)


@pytest.mark.parametrize("seed", range(6))
def test_smooth_values_on_a_lattice_are_not_cut_into_cells(seed):
    rng = np.random.default_rng(seed)
    draws = (rng.normal(size=2000).round(1), rng.gamma(2.0, 30.0, 2000).round(), np.exp(rng.normal(size=2000)).round(2))
    for x in draws:
        assert "by cells" not in choose_map(x, Wish())[1]


def test_folds_together_are_as_likely_as_one_after_another():
    x = np.exp(np.random.default_rng(3).normal(size=600))
    fold, form = folds_of(x, 5), ColumnForm(lower=0.0)
    for base, spline in (("log", False), ("affine", True), ("log", True)):
        fit = Candidate(form, base, spline).fit
        found = held_out_log_density(x, fit, 5)
        assert np.array_equal(found, held_out_log_density(x, fit, 5, fold))
        for f in range(4):
            maps = NumberMaps([fit(x[fold != f])])
            (known, _), (z, slope) = (
                maps.smooth(torch.from_numpy(x[part])[:, None]) for part in (fold != f, fold == f)
            )
            z, slope, known = z[:, 0].numpy(), slope[:, 0].numpy(), known[:, 0].numpy()
            counts, edges = np.histogram(known.clip(-8, 8 - 1e-9), 1024, (-8, 8))
            width = 1.06 * len(known) ** -0.2
            centers = (edges[1:] + edges[:-1]) / 2
            kernel = np.exp(-0.5 * ((z[:, None] - centers) / width) ** 2) / (width * np.sqrt(2 * np.pi))
            density = 0.98 * kernel @ counts / len(known) + 0.02 / (4 * np.pi * (1 + (z / 4) ** 2))
            np.testing.assert_allclose(found[fold == f], np.log(density) + slope, atol=2e-3)
