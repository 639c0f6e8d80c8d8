"""Maps of columns of numbers, fitted to their values."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from functools import lru_cache
from statistics import NormalDist

import numpy as np
import torch

from .column_map import Base, ColumnMap
from .cycles import on_cycle
from .tails import HEAVIEST, Tail, fit_tail

__all__ = ["ColumnForm", "fit_base", "fit_quantile", "spread_over_cells"]

MOST_KNOTS = 160
_FEWEST_KNOTS = 5
_OWN = 8  # values in a cell of a lattice, from which on it lies between knots of its own
_UNSEEN = 0.5  # values that are added to each bin: none is empty


@dataclass(frozen=True)
class ColumnForm:
    """What is known of a column of numbers before its map is fitted.

    Arguments:
        lower: What values other than atoms are not below.
        upper: What values other than atoms are not above.
        lattice: (origin, step, denominator); a step of 0 for none.
        fine: Whether the lattice is too fine for cells.
        values: The atoms' values, increasing.
        probabilities: Their probabilities.
        missing: Whether values may be missing.
        cycle: The cycle of a column of dates, as `ColumnMap` has it.
        clock: Its clock, likewise.
    """

    lower: float | None = None
    upper: float | None = None
    lattice: tuple[float, float, float] = (0.0, 0.0, 1.0)
    fine: bool = False
    values: tuple[float, ...] = ()
    probabilities: tuple[float, ...] = ()
    missing: bool = False
    cycle: torch.Tensor | None = None
    clock: torch.Tensor | None = None

    @property
    def step(self) -> float:
        """The width of the cells that values stand for; 0 where they are points."""
        return 0.0 if self.fine else self.lattice[1] / self.lattice[2]

    @property
    def discrete(self) -> bool:
        """Whether there is nothing but atoms."""
        return sum(self.probabilities) > 1 - 1e-9

    @property
    def plain(self) -> ColumnMap:
        """The map with location 0 and scale 1."""
        atoms = torch.tensor([self.values, self.probabilities], dtype=torch.float64) if self.values else None
        ends = {"lower": self.lower, "upper": self.upper, "lattice": self.lattice, "fine": self.fine}
        dates = {"cycle": self.cycle, "clock": self.clock}
        return ColumnMap(missing=self.missing, atoms=atoms, **dates, **ends)  # type: ignore[arg-type]


def spread_over_cells(x: np.ndarray, form: ColumnForm, rng: np.random.Generator) -> np.ndarray:
    """The values that are not atoms, uniform in their cells, on the line that the map begins with: without cells of atoms.

    Example:
        >>> form = ColumnForm(lattice=(0.0, 1.0, 1.0), values=(2.0,), probabilities=(0.5,))
        >>> spread_over_cells(np.array([1.0, 2.0, 3.0]), form, np.random.default_rng(0)).round(1)
        array([1.1, 1.8])
    """
    atoms = np.array(form.values)
    rest = x[~np.isin(x, atoms)]
    step = form.step
    if step == 0:
        return on_cycle(rest, form.cycle, form.clock)
    line = on_cycle(rest + step * (rng.random(len(rest)) - 0.5), form.cycle, form.clock)
    found: np.ndarray = line - form.plain.cut_out.numpy()[np.searchsorted(atoms, rest)]
    return found


def fit_base(line: np.ndarray, form: ColumnForm, base: Base) -> ColumnMap:
    """The map without a spline: coordinates that know the bounds, of mean 0 and standard deviation 1.

    Arguments:
        line: The values as `spread_over_cells` gives them.
        form: What is known of the column.
        base: The coordinates.

    Example:
        >>> fit_base(np.exp(np.array([1.0, 3.0])), ColumnForm(lower=0.0), "log").location
        2.0
    """
    low, high = form.plain.extent
    tiny = 1e-12 * max(float(np.ptp(line)), 1e-300)
    y = line
    if base != "affine":
        y = np.zeros_like(line)
        y = y + (np.log(np.maximum(line - low, tiny)) if math.isfinite(low) else 0.0)
        y = y - (np.log(np.maximum(high - line, tiny)) if math.isfinite(high) else 0.0)
    scale = float(y.std())
    return replace(form.plain, base=base, location=float(y.mean()), scale=scale if scale > 0 else 1.0)


def fit_quantile(
    line: np.ndarray, form: ColumnForm, base: Base = "affine", by_cells: bool = False
) -> tuple[ColumnMap, tuple[Tail, Tail], float]:
    """A smooth monotone map to a standard normal coordinate, with the tails beyond its knots.

    Knots are at quantiles, evenly spaced in the normal coordinate: about n^0.4 of them, at most 160, the outermost with
    about 1.5 √n values beyond them. By cells, they are where cells of the lattice meet: a cell of many values has its own
    probability, whatever that of its neighbours is, as where numbers are rounded up to preferred ones.
    Slopes are geometric means of those between knots, at the ends those of the tails.

    Arguments:
        line: The values as `spread_over_cells` gives them, 20 or more.
        form: What is known of the column.
        base: The coordinates that the spline starts from.
        by_cells: Whether knots are between cells of the lattice.

    Returns:
        The map, its lower and upper tail, and the probability of each.

    Example:
        >>> column, tails, beyond = fit_quantile(np.random.default_rng(0).normal(size=1000), ColumnForm())
        >>> column.knots.shape, round(beyond, 3)
        (torch.Size([3, 16]), 0.047)
    """
    start = fit_base(line, form, base)
    low, high = start.extent
    y = np.sort(_coordinates(line, start))
    n = len(y)
    center, spread = (float(np.median(y)), float(np.subtract(*np.quantile(y, (0.84, 0.16)))) / 2)
    spread = spread if spread > 0 else 1.0
    start = replace(start, location=start.location + start.scale * center, scale=start.scale * spread)
    y = (y - center) / spread
    beyond = min(max(1.5 * math.sqrt(n), 5.0), n / 10) / n
    knots_y, knots_z = _knots(y, beyond)
    if by_cells and (found := _cells(line, form, beyond)) is not None:
        between = _coordinates(found[0], start)
        if _apart(between).all():  # far from 0, where digits are few, cells are not
            knots_y, knots_z = between, found[1]
    ends, heaviest = [math.inf, math.inf], 0.0
    if base == "affine":
        heaviest = HEAVIEST
        ends = [knots_y[0] - (low - start.location) / start.scale, (high - start.location) / start.scale - knots_y[-1]]
    lower = fit_tail(knots_y[0] - y[y < knots_y[0]], -knots_z[0], ends[0], heaviest)
    upper = fit_tail(y[y > knots_y[-1]] - knots_y[-1], knots_z[-1], ends[1], heaviest)
    slopes = _slopes(knots_y, knots_z, lower.slope, upper.slope)
    knots = torch.from_numpy(np.stack((knots_y, knots_z, slopes)))
    tails = torch.tensor([[lower.scale, lower.shape], [upper.scale, upper.shape]], dtype=torch.float64)
    return replace(start, knots=knots, tails=tails), (lower, upper), beyond


def _coordinates(line: np.ndarray, start: ColumnMap) -> np.ndarray:
    """Standardized coordinates of a base map."""
    from .bases import Bases

    if start.base == "affine":  # the same bits, for a tenth of the time
        straight: np.ndarray = (line - start.location) / start.scale
        return straight
    y: np.ndarray = Bases([start])(torch.from_numpy(line)[:, None])[0][:, 0].numpy()
    return y


def _knots(y: np.ndarray, beyond: float) -> tuple[np.ndarray, np.ndarray]:
    """Increasing quantiles of sorted values, and the normal coordinates of their probabilities."""
    count = min(MOST_KNOTS, max(_FEWEST_KNOTS, math.ceil(len(y) ** 0.4)))
    z, p = _probabilities(beyond, count)
    at = np.quantile(y, p, method="median_unbiased")
    keep = np.concatenate(([True], _apart(at)))
    if keep.sum() < 2:
        return np.array([at[0] - 1e-6, at[0] + 1e-6]), z[[0, -1]]
    return at[keep], z[keep]


@lru_cache(maxsize=64)
def _probabilities(beyond: float, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Evenly spaced normal coordinates, and their probabilities."""
    normal = NormalDist()
    z = np.linspace(normal.inv_cdf(beyond), normal.inv_cdf(1 - beyond), count)
    return z, np.array([normal.cdf(each) for each in z])


def _apart(y: np.ndarray) -> np.ndarray:
    """Whether neighbouring knots are far enough from each other to have a slope, `(K - 1,)`."""
    found: np.ndarray = np.diff(y) > 1e-9 * max(1.0, float(np.ptp(y)))
    return found


def _cells(line: np.ndarray, form: ColumnForm, beyond: float) -> tuple[np.ndarray, np.ndarray] | None:
    """Where cells meet, on the line, and the normal coordinates of the probabilities below; None if there are too few.

    Cells of few values are joined with their neighbours of few values.
    """
    place = np.floor((line - form.lattice[0] / form.lattice[2]) / form.step + 0.5)
    first, size = int(place.min()), int(np.ptp(place)) + 1
    if size > 100 * len(line):
        return None
    counts, least = np.bincount((place - first).astype(np.int64), minlength=size), _OWN
    while True:
        ends = _joined(counts, least)
        if len(ends) <= MOST_KNOTS:
            break
        least *= 2
    values = np.add.reduceat(counts, np.concatenate(([0], ends[:-1]))) + _UNSEEN
    below = values.cumsum() / values.sum()
    keep = (below > beyond) & (below < 1 - beyond)
    if keep.sum() < _FEWEST_KNOTS:
        return None
    normal = NormalDist()
    edges = form.lattice[0] / form.lattice[2] + (first + ends[keep] - 0.5) * form.step
    return edges, np.array([normal.inv_cdf(p) for p in below[keep]])


def _joined(counts: np.ndarray, least: int) -> np.ndarray:
    """Where bins of cells end: a cell of `least` values is one, and so are neighbours of fewer values together."""
    ends, held = list[int](), 0
    for k, count in enumerate(counts.tolist()):
        if count >= least and k and (not ends or ends[-1] < k):
            ends.append(k)
            held = 0
        held += count
        if held >= least:
            ends.append(k + 1)
            held = 0
    if not ends or ends[-1] < len(counts):
        ends.append(len(counts))
    return np.array(ends)


def _slopes(y: np.ndarray, z: np.ndarray, first: float, last: float) -> np.ndarray:
    """dz/dy at the knots: geometric means of the slopes to both sides, weighted by the other side's width."""
    width, mean = np.diff(y), np.diff(z) / np.diff(y)
    weight = width[1:] / (width[1:] + width[:-1])
    inner = np.exp(weight * np.log(mean[:-1]) + (1 - weight) * np.log(mean[1:]))
    return np.concatenate(([first], inner, [last]))
