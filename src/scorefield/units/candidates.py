"""Kinds of maps for what is not an atom, among which a column's is chosen."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch

from .column_map import Base, ColumnMap
from .fit_map import ColumnForm, fit_base, fit_quantile
from .number_maps import smooth_states
from .wishes import Wish

__all__ = ["BALANCED", "Candidate", "shape_of"]

BALANCED = "several modes or edges"

_NORMAL_WIDTH = 4.581  # of the range from the 0.1 % to the 99.9 % quantile in interquartile ranges


@dataclass(frozen=True)
class Candidate:
    """A kind of map for what is not an atom.

    Arguments:
        form: What is known of the column; with a bound at 0 that only the logarithm needs.
        base: The coordinates.
        spline: Whether a quantile map follows.
        by_cells: Whether its knots are between the cells of the lattice.

    Example:
        >>> x = np.exp(np.linspace(-5.0, 5.0, 400))
        >>> Candidate(ColumnForm(lower=0.0), "log", False).words(x, "")
        'log: positive, spans 4 decades'
    """

    form: ColumnForm
    base: Base
    spline: bool
    by_cells: bool = False

    @property
    def is_affine(self) -> bool:
        """Whether it is location and scale alone."""
        return self.base == "affine" and not self.spline

    def fit(self, line: np.ndarray) -> ColumnMap:
        """The map, fitted to values as `spread_over_cells` gives them."""
        if not self.spline:
            return fit_base(line, self.form, self.base)
        return fit_quantile(line, self.form, self.base, self.by_cells)[0]

    def states(self, line: np.ndarray) -> np.ndarray:
        """The states of the values that it is fitted to, as if there were no atoms."""
        states, _ = smooth_states([self.fit(line)], torch.from_numpy(line)[:, None])
        found: np.ndarray = states[:, 0].numpy()
        return found

    def words(self, line: np.ndarray, why: str, wish: Wish | None = None) -> str:
        """What it is and why: as asked, or by how much it is better than the simplest one; bounds as the column writes them."""
        if self.is_affine:
            return f"affine: {why}" if why else "affine"
        if not self.spline:
            return f"{self.base}: {why if why == 'as asked' else self._range(line, wish or Wish())}"
        start = "quantile" if self.base == "affine" else f"quantile of {self.base}"
        start += " by cells of the lattice" if self.by_cells else ""
        reason = why if why == "as asked" else f"{shape_of(line)}, {why}"
        return f"{start}: {reason}; {self._tails(line)}"

    def _tails(self, line: np.ndarray) -> str:
        _, tails, beyond = fit_quantile(line, self.form, self.base, self.by_cells)
        names = [tail.name for tail in tails]
        both = names[0] if names[0] == names[1] else f"{names[0]} below, {names[1]} above"
        return f"tails of {100 * beyond:.2g} %: {both}"

    def _range(self, line: np.ndarray, wish: Wish) -> str:
        low, high = self.form.plain.extent
        ends = ["" if end is None else wish.spelled(end) for end in (self.form.lower, self.form.upper)]
        if self.base == "logit":
            return f"between {ends[0]} and {ends[1]}"
        distance = line - low if math.isfinite(low) else high - line
        first, last = np.quantile(distance, (0.001, 0.999))
        decades = math.log10(last / max(first, 1e-300))
        side = f"above {ends[0]}" if math.isfinite(low) else f"below {ends[1]}"
        spans = f"spans {decades:.0f} decades" if decades >= 1.5 else "one-sided"
        return f"{'positive' if self.form.lower == 0 and wish.positive else side}, {spans}"


def shape_of(line: np.ndarray) -> str:
    """What is not normal about values, in words.

    Example:
        >>> shape_of(np.linspace(0.0, 1.0, 100)), shape_of(np.linspace(0.0, 1.0, 100) ** 9)
        ('several modes or edges', 'heavy tails and skewed')
    """
    quantiles = np.quantile(line, (0.001, 0.05, 0.25, 0.5, 0.75, 0.95, 0.999))
    least, low, lower, middle, upper, high, most = quantiles
    found = []
    if most - least > 1.5 * _NORMAL_WIDTH * (upper - lower):
        found.append("heavy tails")
    if not 2 / 3 < (high - middle) / max(middle - low, 1e-300) < 1.5:
        found.append("skewed")
    return " and ".join(found) or BALANCED
