"""Defects of the size that is stated are found, and such of a third of it mostly are not."""

from __future__ import annotations

import math

import numpy as np
import pytest

from scorefield.metrics import Pool, Sizes, SmallestDefects, all_rows_test, marginal_test, moment_test, smallest_defects

TESTS = 13
SEEDS = 10


def gaussian(rng: np.random.Generator, count: int) -> np.ndarray:
    return rng.normal(size=(count, 5))


def heavy_tailed(rng: np.random.Generator, count: int) -> np.ndarray:
    return rng.standard_t(5, size=(count, 5))


def made(x: np.ndarray, kind: str, size: float, spread: float) -> np.ndarray:
    """Twice as many rows as are needed, with a defect in the first column."""
    first = x[:, 0]
    if kind == "lost":
        return x[first <= np.quantile(first, 1 - size)]
    changed = {
        "mean": lambda: first + size * spread,
        "wide": lambda: first * math.exp(size),
        "narrow": lambda: first * math.exp(-size),
        "clipped": lambda: np.clip(first, *np.quantile(first, [size / 2, 1 - size / 2])),
    }[kind]()
    return np.concatenate([changed[:, None], x[:, 1:]], 1)


def found(draw, kind: str, size: float, m: int, seed: int) -> bool:
    """Whether the tests of moments and marginals find it, at the level of the first of all tests."""
    rng = np.random.default_rng([seed, m])
    real = draw(rng, m)
    samples = made(draw(rng, 3000), kind, size, draw(np.random.default_rng(0), 50_000)[:, 0].std())[:1000]
    pool = Pool.of(samples, real, seed=seed)
    return any(test(pool).distance.p_value <= 0.05 / TESTS for test in (moment_test, marginal_test))


CASES = [("mean", gaussian), ("wide", gaussian), ("narrow", gaussian), ("lost", gaussian), ("clipped", gaussian)]
CASES += [("mean", heavy_tailed), ("lost", heavy_tailed)]


@pytest.mark.parametrize(
    ("kind", "draw"), [*CASES[::3], *(pytest.param(*c, marks=pytest.mark.slow) for i, c in enumerate(CASES) if i % 3)]
)
@pytest.mark.parametrize("m", [pytest.param(100, marks=pytest.mark.slow), 1000])
def test_the_stated_size_is_found_and_a_third_is_not(kind, draw, m):
    known = smallest_defects(draw(np.random.default_rng(1), 1000), 1000, [m], TESTS)
    size = {"wide": math.log(known.wide), "narrow": -math.log(known.narrow or 1e-9)}.get(kind, getattr(known, kind))
    assert math.isfinite(size)
    assert sum(found(draw, kind, size, m, seed) for seed in range(SEEDS)) >= 8
    assert sum(found(draw, kind, size / 3, m, seed) for seed in range(SEEDS)) <= 4


def test_more_rows_show_smaller_defects_and_more_tests_larger_ones():
    real = np.random.default_rng(0).normal(size=(1000, 3))
    few, many, both = (smallest_defects(real, 1000, m, 11) for m in ([100], [1000], [100, 1000]))
    for name in ("mean", "wide", "lost", "clipped"):
        assert getattr(few, name) > getattr(many, name) > 0
        assert getattr(both, name) == pytest.approx(getattr(many, name))
    assert 0 < few.narrow < many.narrow < 1
    assert smallest_defects(real, 1000, [100], 20).mean > few.mean


def test_the_mean_follows_from_the_sizes():
    """Normal columns: z of the level and of the power, times √(1/n + 1/m)."""
    real = np.random.default_rng(0).normal(size=(4000, 3))
    known = smallest_defects(real, 1000, [500], 11)
    plain = (known.sizes.moments + 1.2816) * math.sqrt(1 / 1000 + 1 / 500)
    assert plain * 0.9 < known.mean < plain * 1.1


def test_the_sentence_names_the_sizes_and_what_is_found():
    sizes = Sizes(2000, (100, 1000), 5, 13)
    text = SmallestDefects(0.2, 1.2, 0.8, 0.07, math.inf, sizes).sentence
    assert text.startswith("With 2,000 samples against 100 and 1,000 rows, the tests find in nine of ten cases")
    assert "a mean off by 0.2 standard deviations" in text and "7 % of the data lost at one end" in text
    assert "clipped" not in text and text.endswith("Smaller defects can remain unnoticed.")
    none = SmallestDefects(math.inf, math.inf, 0.0, math.inf, math.inf, sizes).sentence
    assert none.endswith("hold out more data.")


def test_columns_of_few_values_have_no_defects_of_numbers():
    """Shifts of a coin are not what goes wrong with it."""
    coins = np.random.default_rng(0).integers(0, 2, size=(500, 2)).astype(float)
    assert smallest_defects(coins, 500, [100], 8).mean == math.inf


@pytest.mark.parametrize("step", [0.1, pytest.param(0.3, marks=pytest.mark.slow)])
def test_rounded_values_hide_defects_as_others_do(step):
    """A shift that leaves the lattice would be found at any size, but samples do not leave it."""
    x = np.random.default_rng(0).normal(size=(3000, 4))
    exact, rounded = (smallest_defects(y, 2000, (300, 3000), 16) for y in (x, step * np.round(x / step)))
    for name in ("mean", "wide", "narrow", "lost", "clipped"):
        assert getattr(rounded, name) == pytest.approx(getattr(exact, name), rel=0.15), name


def test_the_stated_change_of_a_correlation_is_found():
    """Of normal numbers, whose rank correlation is (6/π) arcsin(ρ/2)."""
    sizes = Sizes(1000, (100, 500), 5, TESTS, 10)
    correlation = 2 * math.sin(math.pi * sizes.association / 6)

    def p_value(seed: int, rho: float) -> float:
        rng = np.random.default_rng(seed)
        samples, real = gaussian(rng, 1000), gaussian(rng, 500)
        real[:, 1] = rho * real[:, 0] + math.sqrt(1 - rho**2) * real[:, 1]
        return all_rows_test(samples, real, seed=seed).distance.p_value

    assert sum(p_value(seed, correlation) <= 0.05 / TESTS for seed in range(SEEDS)) >= 8
    assert sum(p_value(seed, correlation / 3) <= 0.05 / TESTS for seed in range(SEEDS)) <= 4
    assert Sizes(1000, (500,), 5, TESTS).association == math.inf
