"""The largest distance is that of brute force, to the last digit; with a tolerance or a limit, it is between the bounds."""

from __future__ import annotations

import functools
import math

import numpy as np
import pytest
import torch

from scorefield.data import ArrayRows, FileRows
from scorefield.noise_levels import Diameter, diameter
from scorefield.noise_levels.distances import nearest
from scorefield.units import Standardize


def normal(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@functools.cache
def brute(x: torch.Tensor) -> float:
    """All pairs, by their differences; the sum that decides is rounded once."""
    x, best = x.double().reshape(len(x), -1), 0.0
    for part in x.split(max(1, 2**22 // x.numel())):
        squares = sum((part[:, None, k : k + 64] - x[:, k : k + 64]).square().sum(2) for k in range(0, x.shape[1], 64))
        i, j = divmod(int(squares.argmax()), len(x))
        best = max(best, math.sqrt(math.fsum((part[i] - x[j]).square().tolist())))
    return best


def digits(count: int) -> torch.Tensor:
    from sklearn.datasets import load_digits

    return torch.from_numpy(load_digits().images[:count]).float()[:, None]


CASES = {
    "plane": normal(1100, 2),
    "one column": normal(700, 1),
    "numbers": normal(500, 1)[:, 0],
    "two": normal(2, 3),
    "noise alike in all directions": normal(300, 300),
    "wide in few directions": normal(1100, 3) @ normal(3, 100, seed=1) + 0.01 * normal(1100, 100, seed=2),
    "heavy tails": normal(1000, 10) ** 5,
    "a ring": torch.nn.functional.normalize(normal(1000, 2)),
    "a sphere": torch.nn.functional.normalize(normal(800, 50)),
    "corners, with copies": (normal(4500, 4) > 0).double(),
    "one-hot": torch.eye(40).repeat(20, 1),
    "a lattice": torch.cartesian_prod(*[torch.arange(4.0)] * 5),
    "far from 0": 1e6 + normal(1000, 4),
    "tiny": 1e-30 * normal(500, 5),
    "huge": 1e30 * normal(300, 700),
    "bytes": (256 * torch.rand(1000, 1, 9, 9, generator=torch.Generator().manual_seed(0))).to(torch.uint8),
    "volumes": normal(200, 2, 3, 4, 5),
    "digits": digits(1000),
}


@pytest.mark.parametrize("name", CASES)
def test_the_largest_distance_is_exact(name):
    x, far = CASES[name], brute(CASES[name])
    found = diameter(x)
    assert found.low == found.high == far and found.exact and found.count == len(x)
    first, second = found.pair
    assert first < second and brute(x[[first, second]]) == far


@pytest.mark.parametrize("name", CASES)
def test_bounds_hold_the_largest_distance(name):
    x, far = CASES[name], brute(CASES[name])
    for tolerance in (0.003, 0.3):
        found = diameter(x, tolerance=tolerance)
        assert found.low <= far <= found.high <= found.low * (1 + tolerance) * (1 + 1e-15)
    for limit in (0, 1e4, 1e6):
        found = diameter(x, limit=limit)
        assert found.low <= far <= found.high <= 2.1 * found.low


def test_a_limit_ends_the_search():
    x = CASES["noise alike in all directions"]
    assert not diameter(x, limit=0).exact and diameter(x, limit=1e12).exact


def test_a_lower_precision_of_products_changes_nothing():
    x = CASES["wide in few directions"]
    torch.set_float32_matmul_precision("medium")
    try:
        assert diameter(x) == diameter(x.flip(0).flip(0)) and diameter(x).low == brute(x)
    finally:
        torch.set_float32_matmul_precision("highest")


def test_few_pairs_are_looked_at_where_data_have_a_shape(monkeypatch):
    """Of images, a few in a thousand pairs are measured, and most are not even bounded."""
    from scorefield.noise_levels import search

    products_of, measured = [], []
    products, measure = search._products, search.Best.measure
    monkeypatch.setattr(search, "_products", lambda a, b: products_of.append(len(a) * len(b)) or products(a, b))
    monkeypatch.setattr(search.Best, "measure", lambda self, p: measured.append(len(p)) or measure(self, p))
    x = digits(1797)
    diameter(torch.cat([x, x + 0.1 * normal(*x.shape), x.flip(-1)]))
    pairs = (3 * 1797) ** 2 / 2
    assert sum(products_of) < 0.5 * pairs and sum(measured) < 1e-3 * pairs


@pytest.mark.parametrize("size", [0.01, 1.0])
def test_much_noise_in_blocks(size, monkeypatch):
    """The blocks of pairs, with and without projections, cover all pairs."""
    from scorefield.noise_levels import search

    monkeypatch.setattr(search, "_STORED", size * 2**20)
    for x in (normal(1300, 40), normal(1300, 3) @ normal(3, 40, seed=1)):
        assert diameter(x).low == brute(x)


def test_rows_on_disk_and_units(tmp_path):
    images = (255 * torch.rand(700, 1, 6, 6, generator=torch.Generator().manual_seed(0))).to(torch.uint8)
    np.save(tmp_path / "x.npy", images.numpy())
    rows = FileRows.of(np.load(tmp_path / "x.npy", mmap_mode="r"))
    assert rows is not None
    assert diameter(rows) == diameter(ArrayRows(images)) == diameter(images)
    units = Standardize((1, 6, 6), torch.tensor(100.0), torch.tensor(50.0))
    assert diameter(rows, units).low == brute(units(images.double()))
    columns = Standardize((36,), None, torch.linspace(1, 10, 36))
    assert diameter(images.flatten(1), columns).low == brute(columns(images.flatten(1).double()))


def test_equal_data_have_no_distance():
    assert diameter(torch.ones(5, 3)) == Diameter(0.0, 0.0, (0, 1), 5)


@pytest.mark.parametrize("count", [0, 1])
def test_a_distance_needs_two(count):
    with pytest.raises(ValueError, match=f"^a largest distance needs at least 2 examples, got {count}$"):
        diameter(torch.zeros(count, 3))


@pytest.mark.parametrize("tolerance", [-0.1, math.nan, math.inf])
def test_a_tolerance_is_not_negative(tolerance):
    with pytest.raises(ValueError, match=r"^a tolerance is a relative error of 0 or more, got (-0.1|nan|inf)$"):
        diameter(normal(5, 2), tolerance=tolerance)


def test_data_are_finite():
    x = normal(20, 3)
    with pytest.raises(
        ValueError, match=r"^the data are so large that their distances are not finite: divide them by their"
    ):
        diameter(1e200 * x)
    x[4, 1], x[9] = math.nan, math.inf
    with pytest.raises(ValueError, match=r"^2 of 20 examples are not finite \(the first is 4\): drop them$"):
        diameter(x)


def test_nearest_neighbours_are_not_copies():
    x = torch.tensor([[0.0], [0.0], [1.0], [3.0], [7.0]]).double()
    assert nearest(x) == 1.0  # 1, 1, 1, 2, 4
    assert nearest(torch.zeros(3, 2).double()) == 0.0
