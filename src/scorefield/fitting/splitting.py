"""Which rows are trained on, and which are held out."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch

from ..data import Overlap, Rows, dependence_of, group_codes, overlap_of, repeats_of, time_order
from ..rng import permutation
from ..settings import Data

__all__ = ["Split", "chosen_split", "split"]

_REPRESENTATIVE = 2048  # rows, up to which the held-out part is a representative one
_CANDIDATES = 256  # random parts that it is chosen from
_OFF = (
    2  # times the part that is asked for, or that part of it: a split by distinct rows that is as far off is not made
)


@dataclass(frozen=True)
class Split:
    """Training rows and held-out rows. With nothing held out, both are all rows.

    Arguments:
        train: The rows to train on.
        held_out: The rows that training does not see.
        places: Where they stand in the data, of both; those that overlap both sides stand on neither.
        groups: The group of each row of the data, `(N,)`, of which each lies on one side as a whole; None if rows were
            held out one by one.
        order: The place of each row of the data in time, `(N,)`, if the last ones were held out; None if not.
        named: Whether the user gave the groups; if not, they are those of equal rows.
        said: How it was made, in words, where that is worth it.
        warning: What the user should know of the order of the rows.
    """

    train: Rows
    held_out: Rows
    places: tuple[np.ndarray, np.ndarray]
    groups: np.ndarray | None = None
    order: np.ndarray | None = None
    named: bool = False
    said: str = ""
    warning: str = ""

    @property
    def separate(self) -> bool:
        """Whether any rows are held out."""
        return self.train is not self.held_out


def split(
    rows: Rows,
    part: float,
    seed: int,
    groups: np.ndarray | None = None,
    order: np.ndarray | None = None,
    apart: int = 0,
) -> Split:
    """Holds out a part of the rows, chosen by the seed: at least two if any, and two are left to train on.

    A random part of few rows may miss what the others show. Up to 2,048 rows, the part is the one of 256 random ones that is
    closest to the rest in energy distance.

    Arguments:
        rows: The rows.
        part: The part to hold out, from 0 to below 1.
        seed: The seed.
        groups: The group of each row, `(N,)`: whole groups are held out, chosen at random, as many as come closest to the
            part that is asked for, and at least one.
        order: The rows in the order of time, `(N,)`: the last ones are held out.
        apart: How many rows before these are on neither side, since they overlap them; at least two are left to train on.

    Raises:
        ValueError: If all rows belong to one group, so that none can be held out.

    References:
        After Joseph & Vakayil, 2022, SPlit: an optimal method for data splitting.
    """
    count = max(0, min(len(rows) - 2, _wanted(rows, part))) if part > 0 else 0
    mixed = permutation(len(rows), seed, -1)
    if count == 0:
        whole = np.arange(len(rows))
        return Split(rows, rows, (whole, whole))
    if order is not None:
        rank = np.argsort(order)
        held, known = rank >= len(rows) - count, rank < max(2, len(rows) - count - apart)
        return replace(_parted(rows, mixed[known[mixed]], mixed[held[mixed]]), order=rank)
    few = 8 <= len(rows) <= _REPRESENTATIVE
    if groups is not None:
        orders = [permutation(int(groups.max()) + 1, seed, -10 - i) for i in range(_CANDIDATES if few else 1)]
        sides = np.stack([_whole_groups(groups, each, count) for each in orders], 1)
        held = sides[:, _most_alike(rows, sides) if few else 0]
        return replace(_parted(rows, mixed[~held[mixed]], mixed[held[mixed]]), groups=groups)
    if few:
        mixed = _representative(rows, count, seed)
    return _parted(rows, mixed[count:], mixed[:count])


def _wanted(rows: Rows, part: float) -> int:
    """How many rows are that part of them, two at least: samples are not compared with fewer."""
    return max(2, round(part * len(rows)))


def chosen_split(
    x: Any,
    rows: Rows,
    data: Data,
    seed: int,
    groups: Any = None,
    name_of: Callable[[int], str] = "column {}".format,
    windows: bool = True,
) -> Split:
    """The split that a user asks for; copies of a row stay together unless any rows may be held out.

    Arguments:
        x: The data.
        rows: The same as rows.
        data: What the user says: the part, groups or time, and whether equal rows stay together.
        seed: The seed.
        groups: A label for each row, in place of a column that `data` names.
        name_of: What a number of a row is called, by its place, for a warning.
        windows: Whether overlapping windows are looked for.

    Raises:
        ValueError: If groups or the order in time cannot be read, or all rows belong to one group.
    """
    part, given = data.held_out, data.groups if groups is None else groups
    if given is not None:
        codes = group_codes(given, x, len(rows))
        codes = np.unique(codes, return_inverse=True)[1].reshape(-1)
        if part and not codes.any():
            raise ValueError(
                "all rows belong to one group, so that none can be held out: name other groups, or held_out=0"
            )
        found = split(rows, part, seed, codes)
        return replace(found, named=True, said=_by_groups(found, codes, part)) if found.separate else found
    if data.by_time:
        order = time_order(data.time_column, x, len(rows))
        overlap = overlap_of(rows if data.time_column is None else rows.subset(order)) if windows else None
        return _by_time(rows, part, seed, order, overlap, f" by {data.time_column!r}" if data.time_column else "")
    overlap = overlap_of(rows) if part and windows else None
    if overlap is not None:
        return _of_windows(rows, part, seed, overlap, data.split == "distinct")
    return (
        _by_distinct_rows(rows, part, seed, name_of) if part and data.split == "distinct" else split(rows, part, seed)
    )


def _by_time(rows: Rows, part: float, seed: int, order: np.ndarray, overlap: Overlap | None, by: str = "") -> Split:
    """The last rows, without those before them that share values with them."""
    found = split(rows, part, seed, order=order, apart=0 if overlap is None else overlap.reach)
    if not found.separate:
        return found
    between = len(rows) - len(found.held_out) - len(found.train)
    said = f"the last {len(found.held_out):,} of {len(rows):,} rows{by}"
    return replace(
        found, said=f"{said}; {between:,} before them, which overlap them, are left out" if between else said
    )


def _of_windows(rows: Rows, part: float, seed: int, overlap: Overlap, chosen: bool) -> Split:
    """The split of overlapping windows: by time, unless the user asked for any rows or few would be left to train on."""
    shared = f"{overlap.length - overlap.shift:,} of {overlap.length:,} positions"
    what = f"rows are overlapping windows: each shares {shared} with the one before"
    found = _by_time(rows, part, seed, np.arange(len(rows)), overlap)
    if chosen and 2 * len(found.train) >= len(rows):
        warning = f'{what}, so that the last ones are held out, as by split="time" (--split time)'
        return replace(found, said=f"{found.said}, since {what}", warning=warning)
    leak = "training sees values of held-out rows, and overfitting cannot be seen"
    advice = f'split="time" (--split time), or windows that do not overlap, x[::{overlap.reach + 1}]'
    return replace(split(rows, part, seed), warning=f"{what}, so that {leak}: {advice}")


def _by_distinct_rows(rows: Rows, part: float, seed: int, name_of: Callable[[int], str]) -> Split:
    """A random split in which copies of a row stay together, where that leaves the part that is asked for."""
    repeats = repeats_of(rows, shared=True)
    counted = f"{repeats.count:,} rows, {repeats.distinct:,} distinct"
    said = f"{counted}: by rows, because {repeats.reason}" if repeats.reason else ""
    codes = repeats.codes
    if codes is not None:
        codes, one = _numbered(codes, seed)
        found = split(rows, part, seed, codes) if len(one) > 1 else None
        share = 0.0 if found is None else len(found.held_out) / len(rows)
        wanted = _wanted(rows, part) / len(rows)
        if found is not None and wanted / _OFF <= share <= wanted * _OFF:
            unlike = dependence_of(rows.subset(np.sort(one)), seed)
            words = f"{counted}: by distinct rows, because {repeats.reason}"
            return replace(found, said=words, warning=_warning(unlike, name_of))
        what = f"distinct ones would hold out {100 * share:.0f} %, not {100 * part:.0f} %"
        said = f"{counted}: by rows, because {what}; copies of rows that are trained on are held out"
    return replace(split(rows, part, seed), said=said, warning=_warning(dependence_of(rows, seed), name_of))


def _numbered(codes: np.ndarray, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Groups numbered from 0, and a row of each, by chance: the first ones of large groups are all near the beginning."""
    order = permutation(len(codes), seed, -2)
    numbered = np.empty(len(codes), np.int64)
    _, one, numbered[order] = np.unique(codes[order], return_index=True, return_inverse=True)
    return numbered, order[one]


def _by_groups(found: Split, codes: np.ndarray, part: float) -> str:
    held, total = (len(np.unique(each)) for each in (codes[found.places[1]], codes))
    rows, whole = len(found.held_out), len(codes)
    off = "" if 1 / _OFF <= rows / whole / part <= _OFF else f"; {100 * part:.0f} % was asked for: groups are large"
    return f"{held:,} of {total:,} groups, with {rows:,} of {whole:,} rows{off}"


def _warning(found: Any, name_of: Callable[[int], str]) -> str:
    if found is None or not found.dependent:
        return ""
    return (
        f"neighbouring rows are alike ({name_of(found.column)}: rank correlation {found.correlation:.2f} with the next row): "
        'if rows follow each other in time, hold out the last ones, split="time" (--split time); if several belong to one '
        "subject, name it, groups=… (--groups); if the file is merely sorted, nothing is wrong"
    )


def _parted(rows: Rows, train: np.ndarray, held_out: np.ndarray) -> Split:
    return Split(rows.subset(train), rows.subset(held_out), (train, held_out))


def _whole_groups(groups: np.ndarray, order: np.ndarray, count: int) -> np.ndarray:
    """Which rows the first groups of an order hold, `(N,)`: of so many groups that these are `count` rows, or nearly."""
    sizes = np.bincount(groups, minlength=len(order))
    total = np.cumsum(sizes[order])[:-1]
    total = total[len(groups) - total >= 2] if len(groups) - total[0] >= 2 else total[:1]
    kept = np.zeros(len(order), bool)
    kept[order[: 1 + int(np.abs(total - count).argmin())]] = True
    held: np.ndarray = kept[groups]
    return held


def _representative(rows: Rows, count: int, seed: int) -> np.ndarray:
    """An order of the rows whose first `count` have the least energy distance to the others, of 256 orders."""
    orders = np.stack([permutation(len(rows), seed, -10 - i) for i in range(_CANDIDATES)])
    held = np.zeros((len(rows), len(orders)), bool)
    np.put_along_axis(held, orders[:, :count].T, True, 0)
    order: np.ndarray = orders[_most_alike(rows, held)]
    return order


def _most_alike(rows: Rows, held: np.ndarray) -> int:
    """Which of several parts `(N, K)` has the least energy distance to the other rows."""
    x = rows.take(range(len(rows)), torch.float64).flatten(1)
    missing = x.isnan()
    x = torch.where(missing, x.nanmean(0), x).nan_to_num()
    x = (x - x.mean(0)) / x.std(0).clamp_min(1e-12)
    side = torch.from_numpy(held)
    inside = side.sum(0, dtype=torch.float64)
    weights = torch.where(side, 1.0 / inside, -1.0 / (len(x) - inside))
    energy = -(weights * (torch.cdist(x, x) @ weights)).sum(0)
    return int(energy.argmin())
