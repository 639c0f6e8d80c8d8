"""Rows of different length: sets, series with time stamps and gaps, channels that come and go, as readings.

A reading is a value, its time and its channel. A row holds up to L readings, as 3 L numbers: values, then times, then channels
counted from 1, with NaN where there is no reading. In sets the number of a member stands in place of the time: it says which
values belong together, and nothing else.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from ..settings import Data
from .columns.base import Name
from .columns.infer import hint
from .errors import DataError
from .frames import check_distinct
from .ragged import Ragged
from .times import TimeForm

if TYPE_CHECKING:
    from pandas import DataFrame

__all__ = ["Encoded", "Readings", "has_readings"]


@dataclass(frozen=True)
class Encoded:
    """Rows of readings as numbers.

    Arguments:
        x: The readings, `(N, 3 L)`, NaN where there is none; and where a value is asked for, with its time and its channel.
        row: The row of each value of the data, `(n, P)`; -1 where it is not a reading.
        slot: Its place in the row, `(n, P)`.
    """

    x: np.ndarray
    row: np.ndarray
    slot: np.ndarray


@dataclass(frozen=True)
class Readings:
    """How rows of readings stand in the data of the user: a frame in long format, or `Ragged` arrays.

    Arguments:
        longest: The largest number of readings of a row.
        values: The columns of values; for arrays their numbers.
        whole: Which of them are whole numbers.
        rows: The column that names the row; None for arrays.
        time: The column of times; None for sets.
        channel: The column of channels; None where each column of values is one.
        levels: The channels of that column.
        order: All columns, in the order of the frame.
        times: How times become numbers; None for sets.
        flat: Whether each reading of an array is one number, and not a list of them.
        ranges: The least and the largest value of each channel; empty where they are not known.
    """

    longest: int
    values: tuple[Name, ...]
    whole: tuple[bool, ...]
    rows: Name | None = None
    time: Name | None = None
    channel: Name | None = None
    levels: tuple[Any, ...] = ()
    order: tuple[Name, ...] = ()
    times: TimeForm | None = None
    flat: bool = False
    ranges: tuple[tuple[float, float], ...] = ()

    @classmethod
    def of(cls, x: Any, data: Data) -> Readings:
        """How the readings of data are arranged.

        Raises:
            ValueError: If there is no such column, a value or a time is not a number, a reading occurs twice, or a row or
                a channel has no readings.
        """
        found = cls._of_arrays(x) if isinstance(x, Ragged) else cls._of_frame(_checked(x, data), data)
        return found._measured(x)

    @classmethod
    def _of_arrays(cls, x: Ragged) -> Readings:
        width = x.width
        times = None if x.times is None else TimeForm.of(np.concatenate(x.times), "the times")
        whole = all(np.asarray(each).dtype.kind in "iu" for each in x.values)
        return cls(0, tuple(range(width)), (whole,) * width, times=times, flat=x.values[0].ndim == 1)

    @classmethod
    def _of_frame(cls, x: DataFrame, data: Data) -> Readings:
        names, keys = list(x.columns), [data.rows, data.time, data.channel]
        out = [name for name, kind in (data.columns or {}).items() if kind == "leave out"]
        values = tuple(name for name in names if name not in keys and name not in out)
        if not values:
            raise DataError(
                f"there are no readings: besides {', '.join(map(repr, names))} a column of values is needed"
            )
        if data.channel is not None and len(values) > 1:
            what = (
                f"with a column of channels there is one column of values, and {', '.join(map(repr, values))} are left"
            )
            raise DataError(f'{what}: leave out all others, Data(columns={{{values[1]!r}: "leave out"}})')
        for name in values:
            _check_numbers(x, name)
        whole = tuple(x[name].dtype.kind in "iu" for name in values)
        times = None if data.time is None else TimeForm.of(x[data.time], f"column {data.time!r}")
        levels: tuple[Any, ...] = ()
        if data.channel is not None:
            if x[data.channel].isna().any():
                raise DataError(f"column {data.channel!r} misses a channel: name it, or leave that reading out")
            levels = tuple(sorted(x[data.channel].unique().tolist(), key=lambda each: (str(type(each)), each)))
        order = tuple(name for name in names if name not in out)
        return cls(0, values, whole, data.rows, data.time, data.channel, levels, order, times)

    def _measured(self, x: Any) -> Readings:
        """With the length of the longest row; a ValueError if a row or a channel has no readings."""
        row, _, channel, values, labels = self._flat(x)
        there = ~np.isnan(values)
        counts = np.bincount(row[there], minlength=len(labels))
        if not counts.any():
            raise DataError("there are no readings at all: every value is missing")
        if not counts.all():
            raise DataError(f"{self._row_name(labels[int(counts.argmin())])} has no readings: leave it out")
        of_channels = np.bincount(channel[there], minlength=self.channels + 1)[1:]
        if not of_channels.all():
            raise DataError(f"{self.name_of(int(of_channels.argmin()))} has no readings: leave it out")
        if len(labels) < 2:
            raise DataError(f"a distribution cannot be learned from {len(labels)} row: give the readings of 2 or more")
        of_each = [values[there & (channel == c + 1)] for c in range(self.channels)]
        ranges = tuple((float(each.min()), float(each.max())) for each in of_each)
        return replace(self, longest=int(counts.max()), ranges=ranges)

    @property
    def channels(self) -> int:
        """The number of channels."""
        return len(self.levels) or len(self.values)

    @property
    def reason(self) -> str:
        """What the data are, in words."""
        kind = "a set" if self.times is None else "a series"
        found = f"each row is {kind} of up to {self.longest:,} readings of {self.channels} channel{'s' * (self.channels > 1)}"
        return found if self.times is None or not self.times.reason else f"{found}; {self.times.reason}"

    def name_of(self, channel: int) -> str:
        """A channel, counted from 0, in words."""
        return f"channel {self.levels[channel]!r}" if self.levels else f"column {self.values[channel]!r}"

    @property
    def _when(self) -> str:
        return "the times" if self.time is None else f"column {self.time!r}"

    def _row_name(self, label: Any) -> str:
        return f"{self.rows or 'row'} {label!r}"

    def is_whole(self, channel: int) -> bool:
        """Whether a channel, counted from 0, holds whole numbers."""
        return self.whole[0 if self.levels else channel]

    def _possible(self, values: np.ndarray, channel: np.ndarray) -> np.ndarray:
        """Drawn values; those of whole numbers rounded, and clipped to the range of data that are nowhere negative."""
        found = values.copy()
        for c in filter(self.is_whole, range(self.channels)):
            low, high = self.ranges[c] if self.ranges and self.ranges[c][0] >= 0 else (-np.inf, np.inf)
            found[channel == c] = np.rint(values[channel == c]).clip(low, high)
        return found

    def encoded(self, x: Any, asked: bool = False) -> Encoded:
        """Readings as numbers.

        Arguments:
            x: Data in this form.
            asked: Whether readings without value are kept, to be drawn; they are left out otherwise.

        Raises:
            ValueError: If a column is missing, a time is not a number, a reading occurs twice, a channel is unknown, or a
                row has more readings than any that was learned.
        """
        row, time, channel, values, labels = self._flat(x)
        if not len(labels):
            raise DataError("there are no readings in the data: give one row of a table for each reading")
        keep = np.ones(len(row), bool) if asked else ~np.isnan(values)
        place = np.flatnonzero(keep)
        order = place[np.lexsort((channel[place], time[place], row[place]))]
        counts = np.bincount(row[order], minlength=len(labels))
        if len(counts) and counts.max() > self.longest:
            what = f"{self._row_name(labels[int(counts.argmax())])} has {counts.max():,} readings"
            raise DataError(f"{what}, and the model has learned up to {self.longest:,}: leave some out")
        slot = np.full(len(row), -1)
        slot[order] = np.arange(len(order)) - np.repeat(np.cumsum(counts) - counts, counts)
        self._check_twice(row[order], time[order], channel[order], labels)
        found = np.full((len(labels), 3, self.longest), np.nan)
        for i, each in enumerate((values, time, channel)):
            found[row[order], i, slot[order]] = each[order]
        shape = (-1, len(self.values))
        return Encoded(found.reshape(len(labels), -1), np.where(keep, row, -1).reshape(shape), slot.reshape(shape))

    def _check_twice(self, row: np.ndarray, time: np.ndarray, channel: np.ndarray, labels: Sequence[Any]) -> None:
        """Raises if a channel of a row has two readings at a time; `row` and `time` are in order."""
        if self.times is None:
            return
        same = (np.diff(row) == 0) & (np.diff(time) == 0) & (np.diff(channel) == 0)
        if same.any():
            i = int(same.argmax())
            what = f"{self._row_name(labels[row[i]])} has two readings of {self.name_of(int(channel[i]) - 1)}"
            raise DataError(f"{what} at the time {self.times.written(time[i])}: keep one of them")

    def _flat(self, x: Any) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, Sequence[Any]]:
        """Rows, times, channels and values of all cells, `(n P,)`, and the names of the rows."""
        width = len(self.values)
        labels: Sequence[Any]
        if isinstance(x, Ragged):
            if self.rows is not None:
                raise DataError("the model was fitted to a frame: give a frame with the same columns")
            if x.width != width or (x.times is None) != (self.times is None):
                said = "no times" if self.times is None else "times"
                raise DataError(f"the model was fitted to readings of {width} numbers with {said}: give the like")
            row = np.repeat(np.arange(len(x)), [len(each) for each in x.values])
            stamps = None if x.times is None else np.concatenate(x.times)
            values = np.concatenate([np.asarray(each, float).reshape(-1, width) for each in x.values])
            channel, labels = np.zeros(len(row), int), list(range(len(x)))
        else:
            row, stamps, channel, values, labels = self._flat_frame(x)
        times = _members(row) if self.times is None else self.times.numbers(stamps, self._when)
        numbers = channel[:, None] + 1 + np.arange(width)
        return row.repeat(width), times.repeat(width), numbers.reshape(-1), values.reshape(-1), labels

    def _flat_frame(self, x: Any) -> tuple[np.ndarray, Any, np.ndarray, np.ndarray, Sequence[Any]]:
        """Rows, times, channels `(n,)` and values `(n, P)` of a frame."""
        import pandas

        if not hasattr(x, "columns") or self.rows is None:
            need = "Ragged arrays" if self.rows is None else f"a frame with {', '.join(map(repr, self.order))}"
            raise DataError(f"the model was fitted to {need}, got a {type(x).__name__}: give the like")
        check_distinct(x)
        absent = [name for name in self.order if name not in x.columns]
        if absent:
            raise DataError(f"columns missing: {', '.join(map(repr, absent))}; the table has {list(x.columns)[:10]}")
        if x[self.rows].isna().any():
            raise DataError(f"column {self.rows!r} misses the name of a row: fill it, or leave that reading out")
        row, labels = pandas.factorize(x[self.rows])
        channel = np.zeros(len(x), int)
        if self.channel is not None:
            places = {level: i for i, level in enumerate(self.levels)}
            channel = x[self.channel].map(places).fillna(-1).to_numpy(dtype=int)
            if (channel < 0).any():
                got, known = x[self.channel].iloc[int(channel.argmin())], list(self.levels)
                raise DataError(f"there is no channel {got!r}: {hint(got, known)}")
        values = np.stack([_numbers(x, name) for name in self.values], 1)
        return row, None if self.time is None else x[self.time], channel, values, list(labels)

    def decoded(self, x: np.ndarray) -> Any:
        """Rows of numbers `(M, 3 L)` in the form of the data; rows of a frame are numbered from 0."""
        values, times, channel = x.reshape(len(x), 3, -1).transpose(1, 0, 2)
        row, slot = np.nonzero(~np.isnan(channel) & ~np.isnan(values))
        time, code = times[row, slot], channel[row, slot].astype(int) - 1
        value = self._possible(values[row, slot], code)
        width = len(self.values)
        if self.levels:
            index, column, level = np.arange(len(row)), np.zeros(len(row), int), code
        else:
            index, column, level = _lines(row, time), code, None
        first = np.unique(index, return_index=True)[1]
        table = np.full((len(first), width), np.nan)
        table[index, column] = value
        stamps = None if self.times is None else self.times.restored(time[first])
        if self.rows is None:
            return self._arrays(table, stamps, row[first], len(x))
        return self._frame(table, stamps, row[first], None if level is None else level[first])

    def _arrays(self, table: np.ndarray, stamps: Any, row: np.ndarray, count: int) -> Ragged:
        borders = np.searchsorted(row, np.arange(1, count))
        whole = all(self.whole) and not np.isnan(table).any()
        table = (table[:, 0] if self.flat else table).astype(int if whole else float)
        return Ragged(np.split(table, borders), None if stamps is None else np.split(np.asarray(stamps), borders))

    def _frame(self, table: np.ndarray, stamps: Any, row: np.ndarray, level: np.ndarray | None) -> DataFrame:
        import pandas

        found: dict[Name, Any] = {self.rows: row}
        if self.time is not None:
            found[self.time] = stamps
        if level is not None:
            found[self.channel] = np.array(self.levels, dtype=object)[level]
        for i, name in enumerate(self.values):
            whole = self.whole[i] and not np.isnan(table[:, i]).any()
            found[name] = table[:, i].astype(np.int64) if whole else table[:, i]
        return pandas.DataFrame({name: found[name] for name in self.order}).infer_objects()

    def filled(self, x: Any, encoded: Encoded, drawn: np.ndarray) -> Any:
        """Data with their missing values drawn: rows of numbers `(N, 3 L)` in the places of `encoded`."""
        place = np.maximum(encoded.row, 0), np.maximum(encoded.slot, 0)
        channel = encoded.x.reshape(len(encoded.x), 3, -1)[place[0], 2, place[1]]
        values = self._possible(drawn[place], np.nan_to_num(channel) - 1)
        if isinstance(x, Ragged):
            ends = np.cumsum([len(each) for each in x.values])[:-1]
            parts = np.split(values[:, 0] if self.flat else values, ends)
            gaps = [np.isnan(np.asarray(each, float)) for each in x.values]
            new = [np.where(gap, part.reshape(gap.shape), each) for gap, part, each in zip(gaps, parts, x.values)]
            return Ragged(new, x.times)
        whole = x.copy()
        for i, name in enumerate(self.values):
            gap = x[name].isna().to_numpy()
            if gap.any():
                whole[name] = np.where(gap, values[:, i], _numbers(x, name))
        return whole


def has_readings(x: Any, data: Data | None) -> bool:
    """Whether data are rows of different length: `Ragged` arrays, or a frame with a column that names the row.

    Raises:
        ValueError: If times or channels are named without rows.
    """
    if isinstance(x, Ragged):
        return True
    named = None if data is None else data.rows
    if data is not None and named is None and (data.time is not None or data.channel is not None):
        name = "time" if data.time is not None else "channel"
        raise DataError(f"{name} names a column of readings: name the rows that they belong to, Data(rows=…)")
    return named is not None


def _checked(x: Any, data: Data) -> DataFrame:
    """A frame that has the columns that the user names."""
    if not hasattr(x, "iloc") or getattr(x, "ndim", 0) != 2:
        raise DataError(f"rows={data.rows!r} names a column of a frame, got a {type(x).__name__}: pass a DataFrame")
    check_distinct(x)
    keys = [name for name in (data.rows, data.time, data.channel) if name is not None]
    for name in [*keys, *(data.columns or {})]:
        if name not in x.columns:
            raise DataError(f"there is no column {name!r}: {hint(name, list(x.columns))}")
    if len(set(keys)) < len(keys):
        raise DataError(f"rows, time and channel name columns of their own, got {', '.join(map(repr, keys))}")
    if not len(x):
        raise DataError("there are no readings at all: the frame has no rows")
    return x


def _check_numbers(x: DataFrame, name: Name) -> None:
    """Raises if a column of values does not hold numbers."""
    if x[name].dtype.kind not in "iufb" and not x[name].isna().all():
        try:
            _numbers(x, name)
        except DataError:
            what = f"values are numbers, and column {name!r} holds {x[name].dropna().iloc[0]!r}"
            raise DataError(f'{what}: name it as channel=…, or Data(columns={{{name!r}: "leave out"}})') from None


def _numbers(x: DataFrame, name: Name) -> np.ndarray:
    """A column of values as numbers, NaN where one is missing."""
    try:
        if x[name].dtype.kind in "mM":
            raise TypeError("times are not numbers")
        found: np.ndarray = x[name].to_numpy(dtype=float, na_value=np.nan)
    except (TypeError, ValueError):
        raise DataError(f"column {name!r} holds numbers, got {x[name].dropna().iloc[0]!r}: correct it") from None
    if np.isinf(found).any():
        raise DataError(f"column {name!r} holds inf: values are finite numbers, or NaN where one is missing")
    return found


def _members(row: np.ndarray) -> np.ndarray:
    """The number of each member of a set among those of its row, in place of a time, `(n,)`."""
    order = np.argsort(row, kind="stable")
    counts = np.bincount(row)
    found = np.empty(len(row))
    found[order] = np.arange(len(row)) - np.repeat(np.cumsum(counts) - counts, counts)
    return found


def _lines(row: np.ndarray, time: np.ndarray) -> np.ndarray:
    """Which line of a frame each reading stands in: those of one row and one time share one, in order of both."""
    return np.unique(np.stack((row, time), 1), axis=0, return_inverse=True)[1].reshape(-1)
