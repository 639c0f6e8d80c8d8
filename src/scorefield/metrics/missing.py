"""Which values of a table are missing: in each column, and in which columns together."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from ..rng import generator
from .association import chi_square
from .base import Array, Distance
from .columns import RARE, TableColumn
from .moments import TestFamily
from .pool import Pool
from .smallest import SmallestPValue
from .typed import TypedColumn, typed_matrices

__all__ = ["MissingPatterns", "missing_patterns", "missing_test"]

SHOWN = 12  # patterns that are listed


@dataclass(frozen=True)
class MissingPatterns:
    """In which columns the rows of samples and of real data miss values.

    Arguments:
        patterns: For each pattern the names of the columns that miss values, the most common of real data first.
        samples, real: The share of rows with each.
        distance: The total variation distance between the distributions of all patterns, with its noise floor.
    """

    patterns: tuple[tuple[str, ...], ...]
    samples: np.ndarray
    real: np.ndarray
    distance: Distance


def missing_patterns(
    samples: Array, real: Array, columns: Sequence[TypedColumn] = (), *, splits: int = 50, seed: int = 0
) -> MissingPatterns:
    """The patterns of missing values of samples and of real data, and how far apart their distributions are.

    The noise floor is the distance between random parts of samples and real data together, of the sizes of both.

    Arguments:
        samples, real: Tables `(N, C)` and `(M, C)` with NaN for missing values.
        columns: A description per column, for the names.
        splits, seed: The number of random parts for the noise floor, and their seed.

    Raises:
        TypeError: If something is not a tensor or an array of real numbers.
        ValueError: If tables or columns differ in number.

    Example:
        >>> x = np.array([[2.0, 1.0], [3.0, 1.0], [np.nan, 1.0], [np.nan, 1.0]])
        >>> found = missing_patterns(x, x[:3])
        >>> found.patterns, found.samples.tolist(), round(found.distance.value, 3)
        (((), ('column 0',)), [0.5, 0.5], 0.167)
    """
    (x, y), columns = typed_matrices([("samples", samples), ("real", real)], columns)
    absent = np.isnan(np.concatenate([x, y]))
    patterns, codes = np.unique(absent, axis=0, return_inverse=True)
    codes = codes.ravel()

    def shares(rows: np.ndarray) -> np.ndarray:
        return np.asarray(np.bincount(codes[rows], minlength=len(patterns)) / len(rows))

    rows, rng = np.arange(len(codes)), generator(seed)
    drawn, held = shares(rows[: len(x)]), shares(rows[len(x) :])
    floors = []
    for _ in range(splits):
        mixed = rng.permutation(rows)
        floors.append(np.abs(shares(mixed[: len(x)]) - shares(mixed[len(x) :])).sum() / 2)
    low, middle, high = (float(q) for q in np.quantile(floors, [0.05, 0.5, 0.95]))
    value = float(np.abs(drawn - held).sum() / 2)
    order = np.argsort(-held - 1e-6 * drawn, kind="stable")[:SHOWN]
    names = tuple(tuple(str(c.name) for c, gone in zip(columns, patterns[k]) if gone) for k in order)
    note = f"total variation distance between the shares of {len(patterns)} patterns"
    distance = Distance("patterns of missing values", value, middle, low, high, (len(x), len(y)), note=note)
    return MissingPatterns(names, drawn[order], held[order], distance)


class _Missing:
    """Codes of what is missing, by χ²."""

    def __init__(self, codes: Sequence[tuple[Tensor, int]]) -> None:
        self.codes = codes

    def each(self, block: slice, a: Tensor, b: Tensor, fine: bool) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        for codes, levels in self.codes:
            yield chi_square(codes[block], levels, a, b)


def missing_test(pool: Pool, columns: Sequence[TableColumn], permutations: int = 499) -> tuple[TestFamily, ...]:
    """Tests which values are missing: the share of each column, and of the patterns of columns that miss values together.

    `samples` and `real` are shares of rows, `differences` total variation distances, which for a single column is the absolute
    difference of the shares. Whether a missing value goes with the values of other columns is part of `association_test`.

    Arguments:
        pool, columns, permutations: The pooled rows, their typed columns, and the number of permutations.

    Returns:
        The family; none if no value of samples and held-out data is missing.
    """
    absent = torch.stack([column.absent for column in columns], 1)
    where = absent[pool.pair].any(0).nonzero()[:, 0].tolist()
    if not where:
        return ()
    codes: list[tuple[Tensor, int]] = [(absent[:, i].long(), 2) for i in where]
    labels = [f"{columns[i].name} is missing" for i in where]
    sides = [tuple(float(absent[part, i].double().mean()) for part in (pool.drawn, pool.held)) for i in where]
    if len(where) > 1:
        patterns, found = torch.unique(absent[:, where], dim=0, return_inverse=True)
        members = torch.bincount(found[pool.pair], minlength=len(patterns))
        rare = members * min(pool.n, pool.m) / (pool.n + pool.m) < RARE
        order = torch.where(rare, int((~rare).sum()), torch.cumsum(~rare, 0) - 1)
        codes.append((order[found], int((~rare).sum()) + 1))
        labels.append("the pattern of missing columns (share of complete rows)")
        complete = ~absent.any(1)
        sides.append(tuple(float(complete[part].double().mean()) for part in (pool.drawn, pool.held)))
    return (
        SmallestPValue(_Missing(codes).each, "shares of rows").family(
            pool, "missing values", labels, sides, permutations
        ),
    )
