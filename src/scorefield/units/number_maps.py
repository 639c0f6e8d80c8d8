"""The maps of several columns of numbers at once."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import torch
import torch.nn as nn
from torch import Tensor

from .atom_levels import AtomLevels
from .atoms import Atoms
from .bases import Bases
from .column_map import ColumnMap
from .cycles import Cycles
from .splines import Splines

__all__ = ["NumberMaps", "smooth_states"]


class _Continuous(NamedTuple):
    """Where values are on the line that precedes the bases, and what is known of their atoms; all `(B, C)`."""

    line: Tensor
    found: tuple[Tensor, Tensor]


class NumberMaps(nn.Module):
    """Columns of numbers, `(B, C)`, to one coordinate each, in float64.

    Cells of a lattice are filled by the place; then come cycles, the line from which the cells of atoms are cut out, bases,
    splines and the intervals of atoms, each for those columns that have them.

    Arguments:
        maps: The columns, all numbers.

    Example:
        >>> numbers = NumberMaps([ColumnMap(location=10.0, scale=2.0), ColumnMap(base="log", lower=0.0)])
        >>> numbers(torch.tensor([[12.0, 1.0]]).double())
        tensor([[1., 0.]], dtype=torch.float64)
    """

    step: Tensor
    origin: Tensor
    spacing: Tensor
    denominator: Tensor
    low: Tensor
    high: Tensor
    cyclic: Tensor
    splined: Tensor
    atomic: Tensor
    separate: Tensor

    def __init__(self, maps: Sequence[ColumnMap]) -> None:
        super().__init__()
        table = torch.tensor(
            [
                (*m.lattice, m.step, *(math.inf * s if b is None else b for s, b in ((-1, m.lower), (1, m.upper))))
                for m in maps
            ],
            dtype=torch.float64,
        ).reshape(len(maps), 6)
        names = ("origin", "spacing", "denominator", "step", "low", "high")
        for name, value in zip(names, table.unbind(1)):
            self.register_buffer(name, value.contiguous(), persistent=False)
        self.bases = Bases(maps)
        cyclic = [c for c, m in enumerate(maps) if m.cycle is not None]
        self.register_buffer("cyclic", torch.tensor(cyclic, dtype=torch.long), persistent=False)
        self.cycles = Cycles([maps[c] for c in cyclic]) if cyclic else None
        splined = [c for c, m in enumerate(maps) if m.knots is not None]
        atomic = [c for c, m in enumerate(maps) if m.atoms is not None and not m.separate]
        separate = [c for c, m in enumerate(maps) if m.separate]
        self.register_buffer("splined", torch.tensor(splined, dtype=torch.long), persistent=False)
        self.register_buffer("atomic", torch.tensor(atomic, dtype=torch.long), persistent=False)
        self.register_buffer("separate", torch.tensor(separate, dtype=torch.long), persistent=False)
        self.splines = Splines([maps[c] for c in splined]) if splined else None
        self.on_lattice = any(m.step > 0 for m in maps)
        self.rounded = any(m.lattice[1] > 0 for m in maps)
        self.atoms = Atoms([maps[c] for c in atomic], self._passing(maps, atomic)) if atomic else None
        self.atom_levels = AtomLevels([maps[c] for c in separate]) if separate else None

    def _passing(self, maps: Sequence[ColumnMap], atomic: Sequence[int]) -> list[Tensor]:
        """For each column with atoms, the states at which its continuous values pass them."""
        size = max(len(maps[c].values) for c in atomic)
        line = torch.zeros((size, len(maps)), dtype=torch.float64)
        for c in atomic:
            line[: len(maps[c].values), c] = maps[c].cuts
        states = self.smooth(line)[0]
        found = []
        for c in atomic:
            k, (low, high) = len(maps[c].values), maps[c].extent
            z, at = states[:k, c], line[:k, c]
            found.append(torch.where(at <= low, -math.inf, torch.where(at >= high, math.inf, z)))
        return found

    def smooth(self, line: Tensor) -> tuple[Tensor, Tensor]:
        """Bases and splines: states and their log-derivatives, as if there were no atoms."""
        z, log_slope = self.bases(line)
        if self.splines is not None:
            inner, log_inner = self.splines(z[:, self.splined])
            z[:, self.splined] = inner
            log_slope[:, self.splined] += log_inner
        return z, log_slope

    def states(self, x: Tensor, place: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """States and the logs of their derivatives, by x, or by the place in the interval of an atom; `(B, C)`."""
        line = x
        if self.on_lattice:
            line = x if place is None else x + (place - 0.5) * self.step
        found = stretched = None
        if self.cycles is not None:
            moved, stretched = self.cycles(line[:, self.cyclic])
            line = line.index_copy(1, self.cyclic, moved)
        if self.atoms is not None:
            found = self.atoms.find(x[:, self.atomic])
            if self.on_lattice:
                line = line.index_add(1, self.atomic, -self.atoms.lengths(found[1]))
        if self.atom_levels is not None:
            line = line.index_copy(1, self.separate, self.atom_levels.lowered(line[:, self.separate]))
        z, log_slope = self.smooth(line)
        if stretched is not None:
            log_slope = log_slope.index_add(1, self.cyclic, stretched)
        if self.atoms is not None and found is not None:
            inside = torch.full_like(x[:, self.atomic], 0.5) if place is None else place[:, self.atomic]
            parts = z[:, self.atomic], log_slope[:, self.atomic]
            z[:, self.atomic], log_slope[:, self.atomic] = self.atoms(*parts, found, inside)
        if self.atom_levels is not None:
            atom = self.levels(x) > 0
            z[:, self.separate] = z[:, self.separate].masked_fill(atom, math.nan)
            log_slope[:, self.separate] = log_slope[:, self.separate].masked_fill(atom, 0.0)
        return torch.where(x.isnan(), math.nan, z), torch.where(x.isnan(), 0.0, log_slope)

    def forward(self, x: Tensor, place: Tensor | None = None) -> Tensor:
        """States, `(B, C)`; NaN where x is, and at separate atoms."""
        return self.states(x, place)[0]

    def drawn(self, place: Tensor) -> Tensor:
        """The places in cells at which values are learned, `(B, C)`, from uniform ones."""
        if self.atoms is None:
            return place
        return place.index_copy(1, self.atomic, self.atoms.drawn(place[:, self.atomic]))

    def levels(self, x: Tensor) -> Tensor:
        """Which separate atom each value is, `(B, A)` for A columns with such atoms: 0 for none, NaN where it is missing."""
        return x[:, :0] if self.atom_levels is None else self.atom_levels.levels(x[:, self.separate])

    def inverse(self, state: Tensor, levels: Tensor | None = None) -> Tensor:
        """Values, `(B, C)`, on their lattices and within their bounds; NaN where the state is. Gradients pass by rounding.

        Arguments:
            state: The states.
            levels: Which separate atoms the values are, as `levels` gives it; none by default.
        """
        z, found = state, None
        if self.atoms is not None:
            part = state[:, self.atomic]
            found = self.atoms.values_at(part)
            z = state.index_copy(1, self.atomic, self.atoms.continuous(part, found[2]))
        if self.splines is not None:
            z = z.index_copy(1, self.splined, self.splines.inverse(z[:, self.splined]))
        x = self.bases.inverse(z)
        if self.on_lattice and self.atoms is not None and found is not None:
            x = x.index_add(1, self.atomic, self.atoms.lengths(found[2]))
        if self.atom_levels is not None:
            x = x.index_copy(1, self.separate, self.atom_levels.raised(x[:, self.separate]))
        if self.cycles is not None:
            x = x.index_copy(1, self.cyclic, self.cycles.inverse(x[:, self.cyclic]))
        line = x.detach()
        if self.rounded:
            free, spacing = line, torch.where(self.spacing > 0, self.spacing, 1.0)
            index = ((free * self.denominator - self.origin) / spacing).round()
            x = torch.where(self.spacing > 0, (self.origin + index * spacing) / self.denominator, free) + (x - free)
        x = x.clamp(self.low, self.high)
        if found is not None:
            value, atom, _ = found
            x = x.index_copy(1, self.atomic, torch.where(atom >= 0, value, x[:, self.atomic]))
        x = torch.where(state.isnan(), math.nan, x)
        if self.atom_levels is not None:
            drawn = self.atom_levels.moved_off(x[:, self.separate], line[:, self.separate])
            drawn = drawn if levels is None else self.atom_levels.with_atoms(drawn, levels)
            x = x.index_copy(1, self.separate, drawn)
        return x


def smooth_states(maps: Sequence[ColumnMap], line: Tensor) -> tuple[Tensor, Tensor]:
    """States `(B, C)` of values by the maps of C columns and their log-derivatives, as if there were no atoms.

    Example:
        >>> smooth_states([ColumnMap(location=10.0, scale=2.0)], torch.tensor([[12.0]]).double())[0]
        tensor([[1.]], dtype=torch.float64)
    """
    z, log_slope = Bases(maps)(line)
    splined = [c for c, m in enumerate(maps) if m.knots is not None]
    if splined:
        inner, log_inner = Splines([maps[c] for c in splined])(z[:, splined])
        z[:, splined], log_slope[:, splined] = inner, log_slope[:, splined] + log_inner
    return z, log_slope
