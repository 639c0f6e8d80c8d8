"""The units of tables: one invertible map for each column."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
import torch.nn as nn
from torch import Tensor

from ..data.variables import ABSENT, FREE, GIVEN, Variables
from .atoms import find_atoms_in, tolerances
from .base import Units
from .column_map import ColumnMap
from .number_maps import NumberMaps

__all__ = ["ColumnUnits"]


class ColumnUnits(Units):
    """One invertible map for each column of a table: numbers, categories and whether values are missing.

    A state holds the numbers first, then for each category, also of few values that are numbers, a block with 1 at its level
    and 0 elsewhere, then for each column
    with separate atoms a block of the levels none, first atom, second atom, …, then for each column that may be missing a
    block of the levels present and missing, all in the order of the columns. A missing number is NaN, that of a separate atom
    too, and so are all coordinates of a missing category. Constants have no state.

    Numbers are computed in float64: `inverse` returns float64, `forward` the type of the data. A value that is not an atom
    is drawn beyond the range of the data by the tails of its map (`ColumnMap`); atoms, lattices and bounds are exact.

    Arguments:
        columns: The maps.
        complete: Whether missing values are never drawn: there are no indicators, and what is missing is only NaN. Models
            that were fitted with `missing="complete"` before version 0.2.0 have such units.
        conditionals: Whether states are mixed, of variables any of which may be given, where all are smooth numbers too.

    Raises:
        ValueError: If there is no column, or none that varies.

    Example:
        >>> depth = ColumnMap(base="log", lower=0.0)
        >>> rock = ColumnMap(levels=3)
        >>> units = ColumnUnits((depth, rock))
        >>> units(torch.tensor([[1.0, 2.0]]).double())
        tensor([[0., 0., 0., 1.]], dtype=torch.float64)
        >>> units.inverse(torch.tensor([[0.0, 0.3, 0.9, 0.1]]))
        tensor([[1., 1.]], dtype=torch.float64)
        >>> yes_or_no = ColumnMap(levels=2, atoms=torch.tensor([[0.0, 5.0], [0.9, 0.1]]))
        >>> ColumnUnits((depth, yes_or_no))(torch.tensor([[1.0, 5.0]]).double())
        tensor([[0., 0., 1.]], dtype=torch.float64)
    """

    number: Tensor
    owner: Tensor
    code: Tensor
    gaps: Tensor
    separate: Tensor
    atom_owner: Tensor
    atom_code: Tensor
    filling: Tensor
    place_of: Tensor

    def __init__(self, columns: Sequence[ColumnMap], complete: bool = False, conditionals: bool = False) -> None:
        super().__init__((len(columns),))
        self.columns, self.complete, self.conditionals = tuple(columns), complete, conditionals
        numbers = [c for c, m in enumerate(self.columns) if m.is_number]
        self.categories = [c for c, m in enumerate(self.columns) if m.levels > 1]
        separate = [c for c in numbers if self.columns[c].separate]
        gaps = [c for c, m in enumerate(self.columns) if m.missing and not complete]
        if not numbers and not self.categories and not gaps:
            raise ValueError(f"none of {len(columns)} columns varies: there is nothing to learn")
        coded = [(c, k) for c in self.categories for k in range(self.columns[c].levels)]
        filling = [m.constant if m.constant is not None else 0.0 for m in self.columns]
        atoms = [(i, k) for i, c in enumerate(separate) for k in range(len(self.columns[c].values) + 1)]
        buffers = {"atom_owner": [i for i, _ in atoms], "atom_code": [k for _, k in atoms], "separate": separate}
        buffers |= {"number": numbers, "owner": [c for c, _ in coded], "gaps": gaps}
        for name, value in buffers.items():
            self.register_buffer(name, torch.tensor(value, dtype=torch.long), persistent=False)
        self.register_buffer("code", torch.tensor([k for _, k in coded], dtype=torch.float64), persistent=False)
        self.register_buffer("filling", torch.tensor(filling, dtype=torch.float64), persistent=False)
        self.numbers = NumberMaps([self.columns[c] for c in numbers])
        self.has_cells = any(m.has_cells for m in self.columns)
        self.coded = _Coded(self.columns) if any(m.levels and m.atoms is not None for m in self.columns) else None
        self._arrange(numbers, separate, gaps)

    def _arrange(self, numbers: list[int], separate: list[int], gaps: list[int]) -> None:
        """Counts variables: which belong to each column, which say what atom it is, and which whether it is missing."""
        own = {c: v for v, c in enumerate([*numbers, *self.categories])}
        atom = {c: len(own) + i for i, c in enumerate(separate)}
        flag = {c: len(own) + len(atom) + i for i, c in enumerate(gaps)}
        levels = [self.columns[c].levels for c in self.categories]
        levels += [1 + len(self.columns[c].values) for c in separate] + [2 for _ in gaps]
        indicators = (*(flag.get(c, -1) for c in (*own, *atom)), *(-1 for _ in gaps))
        variables = Variables(len(numbers), tuple(levels), indicators, atoms=tuple(atom.get(c, -1) for c in numbers))
        may_miss = any(m.missing for m in self.columns)
        atoms = any(m.atoms is not None for m in self.columns)
        self.variables = variables if self.categories or may_miss or atoms or self.conditionals else None
        self._size = variables.size
        places = [(own.get(c, -1), atom.get(c, -1), flag.get(c, -1)) for c in range(len(self.columns))]
        self.register_buffer("place_of", torch.tensor(places, dtype=torch.long), persistent=False)

    @property
    def state_shape(self) -> tuple[int, ...]:
        """One coordinate for each number and each level."""
        return (self._size,)

    @property
    def bounds(self) -> tuple[tuple[float | None, float | None], ...]:
        """Those of the maps."""
        return tuple(m.bounds for m in self.columns)

    @property
    def atoms(self) -> tuple[tuple[float, ...], ...]:
        """Those of the maps."""
        return tuple(tuple(m.values.tolist()) for m in self.columns)

    @property
    def smooth(self) -> Tensor:
        """Of each column, whether it holds numbers without atoms."""
        return torch.tensor([m.is_number and m.atoms is None for m in self.columns])

    def forward(self, x: Tensor, place: Tensor | None = None) -> Tensor:
        """Maps data, `(B, C)`, to states, `(B, F)`; places in cells and atoms are uniform on [0, 1), or 1/2."""
        wide = x.double()
        inside = None if place is None else place.double()[:, self.number]
        parts = [self.numbers(wide[:, self.number], inside)]
        if self.categories:
            level = (wide if self.coded is None else self.coded(wide))[:, self.owner]
            parts.append(torch.where(level.isnan(), math.nan, (level == self.code).double()))
        if len(self.separate):
            level = self.numbers.levels(wide[:, self.number])[:, self.atom_owner]
            parts.append(torch.where(level.isnan(), math.nan, (level == self.atom_code).double()))
        if len(self.gaps):
            missing = wide[:, self.gaps].isnan()
            parts.append(torch.stack((~missing, missing), -1).flatten(1).double())
        return torch.cat(parts, 1).to(x.dtype)

    def drawn(self, place: Tensor) -> Tensor:
        """Places nearer to the middle, of atoms that keep away from the ends of their intervals (`Atoms`)."""
        found = self.numbers.drawn(place.double()[:, self.number]).to(place.dtype)
        return place.index_copy(1, self.number, found)

    def inverse(self, x: Tensor) -> Tensor:
        """Maps states, `(B, F)`, to data, `(B, C)`, in float64: the largest coordinate of a block is its level."""
        data = self.filling.expand(len(x), -1).clone()
        state, count = x.double(), len(self.number)
        blocks = [state[:, start:end] for start, end in (() if self.variables is None else self.variables.blocks)]
        first, last = len(self.categories), len(self.categories) + len(self.separate)
        atoms = [block.argmax(1) for block in blocks[first:last]]
        data[:, self.number] = self.numbers.inverse(state[:, :count], torch.stack(atoms, 1).double() if atoms else None)
        for c, block in zip(self.categories, blocks):
            data[:, c] = torch.where(block.isnan().any(1), math.nan, block.argmax(1).double())
        if self.coded is not None:
            data = self.coded.inverse(data)
        for c, block in zip(self.gaps.tolist(), blocks[last:]):
            data[:, c] = torch.where(block[:, 1] > block[:, 0], math.nan, data[:, c])
        return data

    def log_volume(self, x: Tensor, place: Tensor | None = None, counted: Tensor | None = None) -> Tensor:
        """log |det ∂ state / ∂ x| over present numbers, of shape `(B,)`; by the place for atoms, 0 for separate ones."""
        inside = None if place is None else place.double()[:, self.number]
        slope = self.numbers.states(x.double()[:, self.number], inside)[1]
        return (slope if counted is None else torch.where(counted[:, self.number], slope, 0.0)).sum(1)

    def status(self, known: Tensor, x: Tensor, complete: bool = False) -> Tensor:
        """What each variable is in the conditional distribution of the other values given some, `(M, V)`.

        A known value that is present is GIVEN, and so is its indicator. Of a known missing value the indicator is GIVEN and
        the value ABSENT; without an indicator it is ABSENT only, as if it were not known. Of a known separate atom the
        category is GIVEN and the number ABSENT. All others are FREE.

        Arguments:
            known: Which values are given, `(M, C)`, true or false.
            x: The data, NaN where a value is missing.
            complete: Whether missingness is left out: then all indicators are ABSENT.
        """
        known = known.bool()
        value = torch.where(known, torch.where(x.isnan(), ABSENT, GIVEN), FREE)
        number = value.clone()
        if len(self.separate):
            atom = known[:, self.separate] & (self.numbers.levels(x.double()[:, self.number]) > 0)
            number[:, self.separate] = torch.where(atom, ABSENT, value[:, self.separate])
        flag = torch.full_like(value, ABSENT) if complete else torch.where(known, GIVEN, FREE)
        count = self._size if self.variables is None else self.variables.count
        found = torch.full((len(x), count), FREE, device=x.device)
        for part, variable in zip((number, value, flag), self.place_of.unbind(1)):
            has = variable >= 0
            found[:, variable[has]] = part[:, has]
        return found

    def variables_of(self, columns: Tensor) -> Tensor:
        """Those of the columns, and those that say what atoms they are, and whether they are missing."""
        count = self._size if self.variables is None else self.variables.count
        found = torch.zeros(count, dtype=torch.bool, device=columns.device)
        places = self.place_of.to(columns.device)[columns.bool()].flatten()
        found[places[places >= 0]] = True
        return found

    def __repr__(self) -> str:
        """How many columns there are of each kind."""
        numbers, categories = len(self.number), len(self.categories)
        return f"ColumnUnits({len(self.columns)} columns: {numbers} numbers, {categories} categories, {self._size} coordinates)"


class _Coded(nn.Module):
    """Which level stands for each value, in columns of few values that are categories.

    Arguments:
        columns: All columns of a table.
    """

    places: Tensor
    values: Tensor
    tolerance: Tensor
    count: Tensor

    def __init__(self, columns: Sequence[ColumnMap]) -> None:
        super().__init__()
        places = [c for c, m in enumerate(columns) if m.levels and m.atoms is not None]
        maps = [columns[c] for c in places]
        size = max(m.levels for m in maps)
        padded = [torch.cat((m.values, m.values.new_full((size - m.levels,), math.inf))) for m in maps]
        self.register_buffer("places", torch.tensor(places), persistent=False)
        self.register_buffer("values", torch.stack(padded), persistent=False)
        self.register_buffer("tolerance", tolerances(maps), persistent=False)
        self.register_buffer("count", torch.tensor([[m.levels] for m in maps]), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """Rows `(B, C)` with the number of the nearest value in place of each; NaN where it is missing."""
        own, always = x[:, self.places], torch.ones_like(self.count, dtype=torch.bool)
        level = find_atoms_in(self.values, self.tolerance, self.count, own, always)[0]
        return x.index_copy(1, self.places, torch.where(own.isnan(), math.nan, level.to(x)))

    def inverse(self, x: Tensor) -> Tensor:
        """Rows `(B, C)` with the value of each level."""
        level = x[:, self.places]
        value = self.values.gather(1, level.nan_to_num().long().T).T
        return x.index_copy(1, self.places, torch.where(level.isnan(), math.nan, value))
