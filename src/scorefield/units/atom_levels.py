"""Atoms among continuous values as levels of a category of their own, of many columns at once."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
import torch.nn as nn
from torch import Tensor

from .atoms import cut_out, find_atoms_in, tolerances
from .column_map import ColumnMap

__all__ = ["AtomLevels"]


class AtomLevels(nn.Module):
    """Which atom a value is, if any, of some columns with padded tables, and the line of the values that are none.

    The level of a value is 0 where it is none, and 1 + j where it is the j-th atom. The cells of atoms are cut out of the line
    of continuous values, so that no point of it comes back as an atom; what passes a bound at which there is an atom is
    reflected there.

    Arguments:
        maps: The columns, all with atoms that are separate.

    Example:
        >>> cut = ColumnMap(atoms=torch.tensor([[2.0], [0.5]]), lattice=(0.0, 1.0, 1.0), separate=True)
        >>> levels = AtomLevels([cut])
        >>> levels.lowered(torch.tensor([[1.0], [3.0]]).double()).T, levels.raised(torch.tensor([[1.0], [2.0]]).double()).T
        (tensor([[1., 2.]], dtype=torch.float64), tensor([[1., 3.]], dtype=torch.float64))
    """

    values: Tensor
    tolerance: Tensor
    count: Tensor
    cuts: Tensor
    on_line: Tensor
    cut_out: Tensor
    spacing: Tensor
    low: Tensor
    high: Tensor
    least: Tensor
    most: Tensor

    def __init__(self, maps: Sequence[ColumnMap]) -> None:
        super().__init__()
        size = max(len(m.values) for m in maps)
        values = torch.full((len(maps), size), math.inf, dtype=torch.float64)
        cuts, on_line = values.clone(), values.clone()
        for c, m in enumerate(maps):
            k = len(m.values)
            values[c, :k], cuts[c, :k], on_line[c, :k] = m.values, m.cuts, m.on_line(m.values)
        ends = [_ends(m) for m in maps]
        numbers = {"spacing": [m.lattice[1] / m.lattice[2] for m in maps]}
        numbers |= {"low": [low for low, _ in ends], "high": [high for _, high in ends]}
        numbers["least"] = [-math.inf if m.lower is None else m.lower for m in maps]
        numbers["most"] = [math.inf if m.upper is None else m.upper for m in maps]
        for name, value in numbers.items():
            self.register_buffer(name, torch.tensor(value, dtype=torch.float64), persistent=False)
        self.register_buffer("values", values, persistent=False)
        self.register_buffer("cuts", cuts, persistent=False)
        self.register_buffer("on_line", on_line, persistent=False)
        self.register_buffer("cut_out", cut_out(maps), persistent=False)
        self.register_buffer("tolerance", tolerances(maps), persistent=False)
        self.register_buffer("count", torch.tensor([len(m.values) for m in maps])[:, None], persistent=False)

    def levels(self, x: Tensor) -> Tensor:
        """The level of each value, `(B, C)` in float64; NaN where it is missing."""
        atom = find_atoms_in(self.values, self.tolerance, self.count, x)[0]
        return torch.where(x.isnan(), math.nan, (atom + 1).double())

    def with_atoms(self, x: Tensor, levels: Tensor) -> Tensor:
        """Values, with the atoms of all levels above 0, all `(B, C)`."""
        atom = (levels.nan_to_num() - 1).long().clamp_min(0)
        return torch.where(levels > 0, self.values.gather(1, atom.T).T, x)

    def lowered(self, x: Tensor) -> Tensor:
        """Places on the line of the cycle, or values where there is none, once the cells of atoms are cut out, `(B, C)`."""
        return x - self.cut_out.gather(1, torch.searchsorted(self.on_line, x.T.contiguous())).T

    def raised(self, line: Tensor) -> Tensor:
        """The inverse of `lowered`, `(B, C)`."""
        line = torch.where(line < self.low, 2 * self.low - line, line)
        line = torch.where(line > self.high, 2 * self.high - line, line)
        return line + self.cut_out.gather(1, torch.searchsorted(self.cuts, line.T.contiguous())).T

    def moved_off(self, rounded: Tensor, x: Tensor) -> Tensor:
        """Values that were rounded, `(B, C)`; those that became an atom move by a step to the side from which they came."""
        atom = find_atoms_in(self.values, self.tolerance, self.count, rounded)[0]
        up = (x > rounded) & (rounded + self.spacing <= self.most) | (rounded - self.spacing < self.least)
        return torch.where(atom >= 0, rounded + torch.where(up, self.spacing, -self.spacing), rounded)


def _ends(column: ColumnMap) -> tuple[float, float]:
    """Where the line ends at atoms; infinite where there is no bound, or no atom at it."""
    low, high = column.extent
    first, last = float(column.values[0]), float(column.values[-1])
    return low if column.lower == first else -math.inf, high if column.upper == last else math.inf
