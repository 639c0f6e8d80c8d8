"""The variables of a mixed state: numbers first, then categories, each a block with one coordinate for each level."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

__all__ = ["ABSENT", "FREE", "GIVEN", "Variables"]

FREE, GIVEN, ABSENT = 0, 1, 2
"""What a variable is in a conditional: to be drawn, known, or left out (integrated over)."""


@dataclass(frozen=True)
class Variables:
    """How the coordinates of a state vector belong to variables.

    A category of K levels is a corner of a simplex: K coordinates, of which one is 1 and the others are 0. Variables are
    counted in the order of their coordinates, numbers first. A variable that may be missing has an indicator, a category of
    the two levels present and missing; it is NaN in a state where it is missing.

    Arguments:
        numbers: The number of variables that are numbers, one coordinate each.
        levels: The number of levels of each category.
        indicators: For each variable, the variable that says whether it is missing; -1 where nothing is drawn for it.
        readings: How many readings a row has at most, in data of rows of different length: the variables are then their
            values, their times and their channels, counted from 1, one after another. Times and channels are never drawn.
        atoms: For each variable that is a number, the category that says which atom it is; -1 where it has none. At its first
            level the value is continuous; at all others it is an atom, and the number is NaN in a state.

    Raises:
        ValueError: If a category has fewer than two levels, there is not one indicator for each variable or one category of
            atoms for each number, or readings have not three numbers each.

    Example:
        >>> mixed = Variables(2, (3, 2))
        >>> mixed.size, mixed.count, mixed.blocks
        (7, 4, ((2, 5), (5, 7)))
        >>> mixed.owners
        (0, 1, 2, 2, 2, 3, 3)
    """

    numbers: int
    levels: tuple[int, ...] = ()
    indicators: tuple[int, ...] = ()
    readings: int = 0
    atoms: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        object.__setattr__(self, "atoms", tuple(self.atoms) or (-1,) * self.numbers)
        object.__setattr__(self, "levels", tuple(self.levels))
        object.__setattr__(self, "indicators", tuple(self.indicators) or (-1,) * self.count)
        if any(k < 2 for k in self.levels):
            raise ValueError(f"a category has two levels or more, got {self.levels}")
        if len(self.indicators) != self.count:
            raise ValueError(f"{self.count} variables need as many indicators, got {len(self.indicators)}")
        if len(self.atoms) != self.numbers or any(v >= 0 and not self.numbers <= v < self.count for v in self.atoms):
            raise ValueError(f"{self.numbers} numbers need as many categories of atoms, or -1, got {self.atoms}")
        if self.readings and (self.numbers != 3 * self.readings or self.levels):
            raise ValueError(f"{self.readings} readings are {3 * self.readings} numbers, got {self.numbers}")

    @property
    def count(self) -> int:
        """The number of variables."""
        return self.numbers + len(self.levels)

    @property
    def size(self) -> int:
        """The number of coordinates."""
        return self.numbers + sum(self.levels)

    @property
    def blocks(self) -> tuple[tuple[int, int], ...]:
        """Where the coordinates of each category begin and end."""
        ends = [self.numbers]
        for k in self.levels:
            ends.append(ends[-1] + k)
        return tuple(pairwise(ends))

    @property
    def owners(self) -> tuple[int, ...]:
        """The variable of each coordinate."""
        blocks = (self.numbers + i for i, k in enumerate(self.levels) for _ in range(k))
        return (*range(self.numbers), *blocks)
