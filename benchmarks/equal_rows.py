"""How often equal rows are taken for copies: in tables of independent rows, and in those of which some are repeated.

python benchmarks/equal_rows.py 10

The number is that of tables of each kind. It takes half a minute for each of them on one core.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable

import numpy as np

from scorefield.data import ArrayRows, repeats_of

Table = Callable[[np.random.Generator, int], np.ndarray]
COPIED = {"1 % of rows twice": 0.01, "5 % twice": 0.05, "50 % twice": 0.5}


def coins(rng: np.random.Generator, n: int) -> np.ndarray:
    return (rng.random((n, 12)) < 0.8).astype(float)


def whole(rng: np.random.Generator, n: int) -> np.ndarray:
    return np.stack([rng.integers(0, k, n) for k in (30, 12, 7, 4)], 1).astype(float)


def skewed(rng: np.random.Generator, n: int) -> np.ndarray:
    return np.stack([np.minimum(rng.zipf(a, n), 60) for a in (1.6, 2.0, 2.5)], 1).astype(float)


def categories(rng: np.random.Generator, n: int) -> np.ndarray:
    """Levels in no order, of frequencies that differ much."""
    names = [rng.permutation(50) for _ in range(3)]
    return np.stack(
        [name[rng.choice(50, n, p=np.arange(1, 51) ** -1.0 / (np.arange(1, 51) ** -1.0).sum())] for name in names], 1
    ).astype(float)


def rounded(rng: np.random.Generator, n: int) -> np.ndarray:
    return rng.normal(size=(n, 3)).round(1)


def correlated(rng: np.random.Generator, n: int) -> np.ndarray:
    x = rng.normal(size=n)
    return np.stack([x, x + 0.1 * rng.normal(size=n), 1.8 * x + 32, rng.normal(size=n)], 1).round(1)


def switched(rng: np.random.Generator, n: int) -> np.ndarray:
    """A machine that is on or off: all but the temperature follows from that it is off."""
    on = rng.random(n) < 0.4
    power, temperature = (
        np.where(on, rng.normal(1500, 40, n).round(1), 0.0),
        np.where(on, rng.normal(60, 2, n), rng.normal(21, 1, n)),
    )
    return np.stack([on, power, temperature.round(1)], 1)


def orders(rng: np.random.Generator, n: int) -> np.ndarray:
    """A total that follows from all else."""
    quantity, price = rng.geometric(0.5, n), rng.lognormal(3, 0.8, n).round(2)
    shipping = np.where(quantity * price > 100, 0.0, 4.9)
    discount = np.where(rng.random(n) < 0.25, (0.1 * quantity * price).round(2), 0.0)
    return np.stack([quantity, price, shipping, discount, (quantity * price + shipping - discount).round(2)], 1)


def products(rng: np.random.Generator, n: int) -> np.ndarray:
    """Products whose price, weight and size are always the same, and a quantity."""
    product = rng.choice(60, n, p=np.arange(1, 61) ** -0.7 / (np.arange(1, 61) ** -0.7).sum())
    made = np.random.default_rng(1)
    return np.stack(
        [
            product,
            made.lognormal(3, 1, 60).round(2)[product],
            made.integers(1, 900, 60)[product],
            rng.geometric(0.6, n),
        ],
        1,
    )


def catalogue(rng: np.random.Generator, n: int) -> np.ndarray:
    """The same without the quantity."""
    return products(rng, n)[:, :3]


def noisy_names(rng: np.random.Generator, n: int) -> np.ndarray:
    """A name and its code, which is wrong in a tenth of the rows."""
    name = rng.integers(0, 80, n)
    wrong = rng.random(n) < 0.1
    return np.stack([name, np.where(wrong, rng.integers(0, 80, n), name * 7 % 80)], 1).astype(float)


def visits(rng: np.random.Generator, n: int) -> np.ndarray:
    """Patients, who mostly see one doctor, and what they are treated for."""
    who = rng.integers(0, 150, n)
    usual = np.random.default_rng(2).integers(0, 12, 150)[who]
    return np.stack(
        [who, np.where(rng.random(n) < 0.1, rng.integers(0, 12, n), usual), (who * 5 + rng.geometric(0.5, n)) % 40], 1
    ).astype(float)


def stations(rng: np.random.Generator, n: int) -> np.ndarray:
    """Stations with coordinates, and a reading of few levels."""
    made, where = np.random.default_rng(3).normal(size=(40, 2)), rng.integers(0, 40, n)
    return np.column_stack([where, made[where], rng.integers(0, 6, n)])


def census(rng: np.random.Generator, n: int) -> np.ndarray:
    """Ages, hours that are mostly 40, years of school, an amount that is mostly 0, and two categories."""
    amount = np.where(rng.random(n) < 0.9, 0, rng.integers(1, 9999, n))
    hours = np.where(rng.random(n) < 0.5, 40, np.clip(rng.normal(40, 12, n), 1, 99)).round()
    return np.stack(
        [rng.integers(17, 90, n), hours, rng.binomial(16, 0.6, n), amount, rng.random(n) < 0.4, rng.integers(0, 7, n)],
        1,
    ).astype(float)


def normal(rng: np.random.Generator, n: int) -> np.ndarray:
    return rng.normal(size=(n, 3))


def mixed(rng: np.random.Generator, n: int) -> np.ndarray:
    return np.stack(
        [rng.normal(size=n), rng.integers(0, 5, n), rng.integers(0, 100, n), rng.lognormal(size=n).round(2)], 1
    )


def amounts(rng: np.random.Generator, n: int) -> np.ndarray:
    return np.stack([rng.lognormal(4, 1, n).round(2), rng.integers(0, 8, n), rng.integers(0, 365, n)], 1)


def answers(rng: np.random.Generator, n: int) -> np.ndarray:
    """Answers of 1 to 5 to twenty questions."""
    return np.clip(np.round(3 + rng.normal(size=(n, 1)) + rng.normal(size=(n, 20))), 1, 5)


INDEPENDENT: tuple[Table, ...] = (
    coins, whole, skewed, categories, rounded, correlated, switched, orders, products, catalogue, noisy_names, visits,
    stations, census, normal, mixed, amounts, answers,
)  # fmt: skip
DISTINCT: tuple[Table, ...] = (orders, census, normal, mixed, amounts, answers, switched)


def repeated(x: np.ndarray, part: float, rng: np.random.Generator) -> np.ndarray:
    more = rng.choice(len(x), round(part * len(x)), replace=False)
    return rng.permutation(np.concatenate([x, x[more]]))


def main(tables: int) -> None:
    start = time.perf_counter()
    print("taken for copies:", "independent", *COPIED, "all 2 times", "all 10 times", "drawn again, 10 n", sep=" | ")
    for table in INDEPENDENT:
        found = np.zeros(7, int)
        for seed in range(tables):
            rng = np.random.default_rng(seed)
            x = table(rng, 3000)
            data = [x, *(repeated(x, part, rng) for part in COPIED.values()), np.repeat(x, 2, 0), np.repeat(x, 10, 0)]
            data.append(x[rng.integers(0, 300, 3000)])
            found += [repeats_of(ArrayRows(each)).codes is not None for each in data]
        print(table.__name__, *found, f"{time.perf_counter() - start:.0f} s", sep=" | ", flush=True)


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 10)
