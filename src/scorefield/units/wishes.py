"""What a user asks of the maps of columns, as plain values."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from ..data.columns import Column
from ..data.columns.base import Name, Transform

__all__ = ["Wish", "Wishes"]


@dataclass(frozen=True)
class Wish:
    """What is known and asked of one column before its values are read.

    Arguments:
        name: Its name, for messages.
        transform: The map that was asked for.
        bounds: The bounds that were declared.
        levels: The number of levels of a category; 0 for a number.
        missing: Whether values may be missing.
        week: Of dates, at which number a week begins, and how many make one.
        clock: Of dates whose clock is put forward and back, encoded numbers and what it shows there, as `ColumnMap` has it.
        column: The column of a table, which knows how its values are written; None for arrays.
    """

    name: Name = None
    transform: Transform = "auto"
    bounds: tuple[float | None, float | None] = (None, None)
    levels: int = 0
    missing: bool = False
    week: tuple[float, float] | None = None
    clock: tuple[tuple[float, ...], ...] | None = None
    column: Column | None = None

    def spelled(self, number: float) -> str:
        """A value as the column writes it, for reasons and messages."""
        return f"{number:.6g}" if self.column is None else self.column.spelled(number)

    def spacing(self, step: float) -> str:
        """The spacing of values in words."""
        return f"steps of {step:.6g}" if self.column is None else self.column.spacing(step)

    @property
    def positive(self) -> bool:
        """Whether 0 is where positive values begin, and not a date, say."""
        return self.column is None or self.column.readable

    @property
    def free(self) -> bool:
        """Whether nothing was asked, of a number that never misses."""
        return self.transform == "auto" and self.bounds == (None, None) and not self.levels and not self.missing


@dataclass(frozen=True)
class Wishes:
    """What a user asks of the units of a data set.

    Arguments:
        log: The columns, or channels of a grid, whose logarithm is to be learned: names or indices.
        bounds: What the values of a column or channel cannot lie below and above, by name or index; None for no bound.
        transform: The map of numbers for which nothing else is asked.
        seed: The seed of the rows that are read and of what is held out.
        gain: What a quantile map must gain over an affine one, in nats of held-out log-density a value.
        cautious: Whether every other map must gain that much, that of skewed values too.
        conditionals: Whether every conditional is learned, of numbers alone too.
        names: What the columns or channels are called where no table says it; empty where they are numbered.

    Example:
        >>> wishes = Wishes(log=(1,), bounds={0: (0.0, 1.0)})
        >>> [wish.transform for wish in wishes.columns(3)], wishes.columns(3)[0].bounds
        (['auto', 'log', 'auto'], (0.0, 1.0))
    """

    log: tuple[Name, ...] = ()
    bounds: Mapping[Name, tuple[float | None, float | None]] = field(default_factory=dict)
    transform: Transform = "auto"
    seed: int = 0
    gain: float = 0.1
    cautious: bool = False
    conditionals: bool = False
    names: tuple[Name, ...] = ()

    def columns(self, count: int, table: Sequence[Column] | None = None) -> tuple[Wish, ...]:
        """One wish for each column: that of the table, changed by what is asked here.

        Raises:
            ValueError: If a name or an index is not that of a column, or bounds are not increasing.
        """
        columns = [Wish(name) for name in self.names or range(count)]
        if table:
            columns = [Wish(c.name, c.transform, c.bounds, c.size, c.missing, c.week, c.clock, c) for c in table]
        places = {i: i for i in range(len(columns))} | {c.name: i for i, c in enumerate(columns)}
        for name in (*self.log, *self.bounds):
            if name not in places:
                names = ", ".join(repr(c.name) for c in columns[:5])
                raise ValueError(f"there is no column {name!r} to transform: columns are {names}{', …' * (count > 5)}")
        for name in self.log:
            columns[places[name]] = _with(columns[places[name]], "log", columns[places[name]].bounds)
        for name, (low, high) in self.bounds.items():
            if low is not None and high is not None and not low < high:
                raise ValueError(f"bounds of column {name!r} must be increasing, got {low:g} and {high:g}")
            columns[places[name]] = _with(columns[places[name]], columns[places[name]].transform, (low, high))
        return tuple(
            replace(c, transform=self.transform) if c.transform == "auto" and not c.levels else c for c in columns
        )


def _with(wish: Wish, transform: Transform, bounds: tuple[float | None, float | None]) -> Wish:
    return replace(wish, transform=transform, bounds=bounds)
