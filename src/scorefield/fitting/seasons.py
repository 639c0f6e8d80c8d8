"""Columns that follow the time of the year, over more years than a network resolves: samples lose that, and it is said."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import torch

from ..data import Rows
from ..data.columns import Column
from ..warned import warn_outside
from .prepared import chosen

__all__ = ["lost_seasons", "warn_of_seasons"]

_YEARS = 5.0  # of dates, beyond which a cycle of a year is too fine for a network
_SHARE = 0.02  # of the variance, for a cycle to matter
_CLEAR = 30.0  # twice the gain in log-likelihood, for it to be one
_ROWS = 20_000  # that are looked at, at most
_STREAM = -61  # of these rows
_LEVELS = 50  # of a category that are looked at


def warn_of_seasons(rows: Rows, table: Sequence[Column], seed: int) -> None:
    """Warns of columns that follow the time of the year; the arguments are those of `lost_seasons`."""
    if said := lost_seasons(rows, table, seed):
        warn_outside(said)


def lost_seasons(rows: Rows, table: Sequence[Column], seed: int) -> str:
    """What a user should know of columns that follow the time of the year of a column of dates; "" if there are none.

    A column does if a sine and a cosine of the year explain 2 % of the variance of its ranks, or of one of its levels, beyond
    a straight line in time, and those of every other year do in the years between, as they do not where values drift.

    Arguments:
        rows: The training rows, `(N, C)`, NaN where values are missing.
        table: Their columns.
        seed: The seed of the rows that are looked at.
    """
    dates = [(c, column.year) for c, column in enumerate(table) if column.year is not None]
    if not dates:
        return ""
    some = rows.take(chosen(rows, _ROWS, seed, _STREAM), torch.float64).cpu().numpy()
    for c, year in dates:
        time = some[:, c] / year
        low, high = np.nanquantile(time, (0.005, 0.995)) if np.isfinite(time).any() else (0.0, 0.0)
        time = np.where((time >= low) & (time <= high), time, np.nan)  # less dates that stand for something else
        if high - low <= _YEARS:
            continue
        shares = {other.name: _share(time, some[:, k], other) for k, other in enumerate(table) if other.year is None}
        found = sorted((name for name, share in shares.items() if share >= _SHARE), key=lambda name: -shares[name])
        if found:
            what = ", ".join(f"{name!r} ({100 * shares[name]:.2g} % of its variance)" for name in found[:3])
            more = f" and {len(found) - 3} more" if len(found) > 3 else ""
            follow = f"{'follows' if len(found) == 1 else 'follow'} the time of the year of {table[c].name!r}"
            advice = "give the year and the day of the year as two columns in place of the date (docs/tables.md)"
            return f"{what}{more} {follow}, which extends over {high - low:.0f} years: samples may lose that; {advice}"
    return ""


def _share(time: np.ndarray, values: np.ndarray, column: Column) -> float:
    """The share of the variance of a column that follows the time of the year, the largest of its levels; 0 if unclear."""
    there = np.isfinite(time) & np.isfinite(values)
    time, values = time[there], values[there]
    levels = np.unique(values)
    if len(values) < 10 or len(levels) < 2:
        return 0.0
    if column.size:
        known = [(values == level).astype(np.float64) for level in levels[:_LEVELS]]
    else:
        known = [np.searchsorted(np.sort(values), values) + np.searchsorted(np.sort(values), values, "right")]
    return max(_explained(time, each) for each in known)


def _explained(time: np.ndarray, values: np.ndarray) -> float:
    """The share of the variance that the time of the year explains, of times in years; 0 if it is unclear."""
    angle, odd = 2 * np.pi * time, np.floor(time) % 2 == 1
    plain = np.stack((np.ones_like(time), time), 1)
    values = _residual(plain, values)
    waves = _residual(plain, np.stack((np.sin(angle), np.cos(angle)), 1))
    before, after = float((values**2).sum()), float((_residual(waves, values) ** 2).sum())
    gain = len(values) * math.log(max(before, 1e-300) / max(after, 1e-300))
    if gain < _CLEAR or min(odd.sum(), (~odd).sum()) < 10:
        return 0.0
    for part in (odd, ~odd):
        learned = np.linalg.lstsq(waves[~part], values[~part], rcond=None)[0]
        left = float(((values[part] - waves[part] @ learned) ** 2).sum())
        if left > (1 - _SHARE) * float((values[part] ** 2).sum()):
            return 0.0
    return 1 - after / before


def _residual(design: np.ndarray, values: np.ndarray) -> np.ndarray:
    """What a regression leaves."""
    left: np.ndarray = values - design @ np.linalg.lstsq(design, values, rcond=None)[0]
    return left
