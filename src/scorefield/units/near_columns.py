"""Columns that differ little from each other, such as the dates of admission and discharge: maps that keep them so."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch

from ..rng import generator
from .candidates import BALANCED, shape_of
from .column_map import ColumnMap
from .held_out_gain import density_of_states
from .number_maps import NumberMaps

__all__ = ["straightened"]

_COMPARED = 8000  # rows, at most
_ENOUGH = 40  # rows in which all values of a group are there, at least
_NEAR = 0.9375  # correlation: half of the sum and half of the difference then differ by a factor of more than 5.5
_GAIN = 0.1  # nats a row that straight maps gain at least
_EQUAL = 1e-8  # variance of a direction of states, at least


def straightened(
    x: np.ndarray,
    maps: Sequence[ColumnMap],
    free: Sequence[bool],
    straight: Callable[[int], tuple[ColumnMap, str]],
    seed: int = 0,
) -> dict[int, tuple[ColumnMap, str, int]]:
    """The columns that get an affine map in place of a curved one, as they differ little from other columns.

    What differs by a few days in two years is a thin and straight direction of affine states, which denoisers know
    (`denoisers.Whitening`). Maps that are chosen for each column alone bend it, each in its way, so that it becomes wide:
    a network then has to learn the curve. So the density of all states of a group is compared: each column's own one, with
    the volume of its map, and that which their correlations add. Skewed columns and those with heavy tails keep their maps.

    Arguments:
        x: Rows, `(N, C)`, NaN where a value is missing.
        maps: The map of each column.
        free: Which columns may get another map.
        straight: The affine map of a column, and what it is, in words.
        seed: The seed of places in cells and of folds.

    Returns:
        For each such column its map, what that is, and the column that it is next to.
    """
    eligible = [c for c, m in enumerate(maps) if free[c] and m.is_number and not m.discrete]
    if len(eligible) < 2:
        return {}
    if len(x) > _COMPARED:
        x = x[np.sort(generator(seed).permutation(len(x))[:_COMPARED])]
    values = np.stack([np.where(np.isin(x[:, c], maps[c].values.numpy()), np.nan, x[:, c]) for c in eligible], 1)
    found: dict[int, tuple[ColumnMap, str, int]] = {}
    for group in _groups(values):
        rows = values[~np.isnan(values[:, group]).any(1)][:, group]
        columns = [eligible[i] for i in group]
        curved = [c for i, c in enumerate(columns) if _is_curved(maps[c])]
        if not curved or len(rows) < _ENOUGH or any(shape_of(part) != BALANCED for part in rows.T):
            continue
        lines = {c: straight(c) for c in curved}
        others = [lines[c][0] if c in lines else maps[c] for c in columns]
        if _log_density(rows, others, seed) > _log_density(rows, [maps[c] for c in columns], seed) + _GAIN:
            found |= {c: (*lines[c], next(other for other in columns if other != c)) for c in curved}
    return found


def _is_curved(column: ColumnMap) -> bool:
    return column.base != "affine" or column.knots is not None


def _groups(values: np.ndarray) -> list[list[int]]:
    """The columns that are connected by correlations, two or more each; of values with NaN where there are none."""
    there = ~np.isnan(values)
    center = np.where(there.any(0), np.where(there, values, 0.0).sum(0) / np.maximum(there.sum(0), 1), 0.0)
    z = np.where(there, values - center, 0.0)
    z /= np.maximum(np.abs(z).max(0), 1e-300)
    squares = z.T**2 @ there
    near = np.abs(z.T @ z) > _NEAR * np.sqrt(squares * squares.T)
    near &= (there.T.astype(float) @ there >= _ENOUGH) & (squares > 0) & (squares.T > 0)
    left, found = set(range(values.shape[1])), []
    while left:
        group, new = set[int](), {min(left)}
        while new:
            group |= new
            new = {int(k) for c in new for k in np.flatnonzero(near[c])} - group
        left -= group
        found += [sorted(group)] if len(group) > 1 else []
    return found


def _log_density(rows: np.ndarray, maps: Sequence[ColumnMap], seed: int) -> float:
    """The mean log-density of rows whose states have the density of each column, and the correlations of all."""
    place = torch.from_numpy(generator(seed).random(rows.shape))
    states, log_slope = (part.numpy() for part in NumberMaps(maps).states(torch.from_numpy(rows), place))
    own = sum(density_of_states(z, seed).mean() for z in states.T)
    directions = np.linalg.eigvalsh(np.corrcoef(states.T))
    return float(own + log_slope.sum(1).mean() - 0.5 * np.log(directions.clip(_EQUAL)).sum())
