"""The context of data, such as their class or the parameters of a simulation, as numbers for a network."""

from __future__ import annotations

import datetime
import difflib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import torch.nn as nn
from torch import Tensor

from .data.columns.text import format_of_dates, read_dates
from .display import listed
from .rng import Rng
from .tensors import expand
from .user_values import real_array, real_tensor

__all__ = ["Context", "ContextColumn", "drop_context", "linear_regression", "shuffle_sets"]

_FAR = 1_000_000  # numbers farther away, in standard deviations, are in other units or wrong
_INFINITE = "give a finite number, or NaN where there is no context"
_CLASSES = 200  # up to this many different whole numbers are classes


@dataclass(frozen=True)
class ContextColumn:
    """One column of a context.

    Arguments:
        name: Its name.
        categories: Its classes; None for a number.
        dates: Whether its numbers are dates, in days since 1970.
        form: The format of dates in text, in the words of strftime; None for other types.
    """

    name: str
    categories: tuple[str | int, ...] | None = None
    dates: bool = False
    form: str | None = None

    @property
    def size(self) -> int:
        """How many numbers encode it."""
        return 1 if self.categories is None else len(self.categories)


class Context(nn.Module):
    """The encoding of contexts: numbers standardized, classes one-hot, and a flag that is 1 where there is no context.

    Arguments:
        columns: The columns, or those of one row of a set; empty for fields.
        shape: The shape `(C, *S)` of a field on the grid of the data; empty for columns.
        mean: The means of the numbers, `(P,)`, or of the channels.
        std: Their standard deviations.
        sets: The number of rows of a set, whose order does not matter.
    """

    mean: Tensor
    std: Tensor

    def __init__(
        self, columns: Sequence[ContextColumn], shape: Sequence[int], mean: Tensor, std: Tensor, sets: int = 1
    ) -> None:
        super().__init__()
        self.columns = tuple(columns)
        self.shape = tuple(shape)
        self.sets = sets
        self.register_buffer("mean", mean)
        self.register_buffer("std", std)

    @classmethod
    def of(cls, given: Any, inner_shape: Sequence[int]) -> Context:
        """The encoding that contexts need.

        Arguments:
            given: One context for each data point: labels `(N,)`, numbers `(N, P)`, a DataFrame, sets of n rows `(N, n, P)`
                in no order (vectors), or fields on the grid of the data. Dates, also as text of one format, and durations are
                in days. Rows of NaN or None have no context.
            inner_shape: The shape of a data point, in the layout of networks.

        Raises:
            ValueError: If a column is constant or has infinite numbers, or only a part of a row is missing.
        """
        if not _is_table(given) and np.ndim(given) == 3 and len(inner_shape) == 1:
            rows = _array(given)
            return cls._of_columns(_columns(rows.reshape(-1, rows.shape[2])), rows.shape[1])
        if not _is_table(given) and np.ndim(given) > 2:
            x = _planes(given, inner_shape)
            axes = (0, *range(2, x.ndim))
            mean, std = x.mean(axes), x.std(axes)
            if not bool((std > 0).all()):
                raise ValueError(f"channel {int((std == 0).nonzero()[0])} of the context is constant: leave it out")
            return cls((), x.shape[1:], mean, std)
        return cls._of_columns(_columns(given))

    @classmethod
    def _of_columns(cls, table: Mapping[str, np.ndarray], sets: int = 1) -> Context:
        """The encoding of columns; those of sets hold so many rows of each set, one set after another."""
        columns, means, stds = [], [], []
        for name, values in table.items():
            known = _plain_array(values[~_missing(values)])
            form = format_of_dates(known)
            known = known if form is None else read_dates(known, form)
            categories = _classes(known) if _has_classes(known) else None
            columns.append(ContextColumn(name, categories, known.dtype.kind == "M", form))
            if categories is None:
                numbers = _days(known) if columns[-1].dates else known.astype(float)
                if (infinite := np.isinf(numbers)).any():
                    row = int(np.flatnonzero(~_missing(values))[infinite][0])
                    where = f"{numbers[infinite][0]:g} in {_place(row, sets)}"
                    raise ValueError(f"column {name!r} of the context is {where}: {_INFINITE}")
                if len(numbers) == 0 or not np.ptp(numbers) > 0:
                    raise ValueError(f"column {name!r} of the context is constant: leave it out")
                means.append(numbers.mean())
                stds.append(numbers.std())
        mean, std = (torch.tensor(values, dtype=torch.float64) for values in (means, stds))
        return cls(columns, (), mean, std, sets)

    def __repr__(self) -> str:
        """The shape of fields, or the names of columns and how many classes they have."""
        if self.shape:
            return f"Context(fields of shape {self.shape})"
        columns = [c.name + (f" of {len(c.categories)} classes" if c.categories else "") for c in self.columns]
        return f"Context({listed(columns)}{f', sets of {self.sets} rows' if self.sets > 1 else ''})"

    @property
    def size(self) -> int:
        """How many numbers, or channels, a network takes: with the flag."""
        return 1 + (self.shape[0] if self.shape else self.sets * sum(column.size for column in self.columns))

    @property
    def row_shape(self) -> tuple[int, ...]:
        """The shape of one encoded context, `(size,)` or `(size, *S)`."""
        return self.size, *self.shape[1:]

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the columns."""
        return tuple(column.name for column in self.columns) or ("context",)

    def forward(self, given: Any) -> Tensor:
        """Contexts for a network: `(N, size)`, or `(N, size, *S)` for fields, in float32.

        Arguments:
            given: Contexts in the form that `Context.of` was made from, N of them or one.

        Raises:
            ValueError: If a column is unknown or not given, or a class is unknown, or the shape differs.
        """
        rows, missing = self.partial(given)
        if missing:
            raise ValueError(f"the context is {_listed(self.names)}, and {_listed(missing)} is not given")
        return rows

    def partial(self, given: Any) -> tuple[Tensor, tuple[str, ...]]:
        """Contexts of which named columns may be missing.

        Returns:
            The encoded contexts, 0 in missing columns, and the names of these.

        Raises:
            ValueError: If a column or a class is unknown, a number is not finite or far from the data, or the shape differs.
        """
        if self.shape or self.sets > 1:
            if _is_table(given):
                kind = f"fields of shape {self.shape}" if self.shape else f"sets of {self.sets} rows"
                raise ValueError(f"the context of this model is {kind}, without names: pass an array")
            return (self._fields(given) if self.shape else self._sets(given)), ()
        table = _columns(given, self.names)
        unknown = [str(name) for name in table if name not in self.names]
        if unknown:
            raise ValueError(f"the context of this model is {_listed(self.names)}; got {_listed(list(table))}")
        return self._rows(table), tuple(name for name in self.names if name not in table)

    def completed(
        self, rows: Tensor, missing: Sequence[str], before: Tensor, missing_before: Sequence[str]
    ) -> tuple[Tensor, tuple[str, ...]]:
        """New contexts, `(M, size)`, with the columns that they miss taken from earlier ones, as many or one.

        Returns:
            The contexts, and the columns that both miss.

        Raises:
            ValueError: If there are other numbers of contexts, or an earlier one is empty.
        """
        if not missing:
            return rows, ()
        count = max(len(rows), len(before))
        if len(rows) not in (1, count) or len(before) not in (1, count):
            raise ValueError(f"{len(rows)} contexts do not complete {len(before)}: give one, or as many")
        if bool(before[:, -1].any()):
            raise ValueError(f"some data have no context at all, and {_listed(missing)} is not given: give all columns")
        whole, start = rows.repeat(count // len(rows), 1), 0
        before = before.to(rows).expand(count, -1)
        for column in self.columns:
            if column.name in missing:
                whole[:, start : start + column.size] = before[:, start : start + column.size]
            start += column.size
        return whole, tuple(name for name in missing if name in missing_before)

    def _fields(self, given: Any) -> Tensor:
        x = _planes(given, self.shape, like=self.shape)
        wide = (-1, *(1,) * (len(self.shape) - 1))
        numbers = (x - self.mean.cpu().reshape(wide)) / self.std.cpu().reshape(wide)
        if not bool((numbers.abs() <= _FAR).all()):
            raise ValueError(f"a field of the context is more than {_FAR:,} standard deviations off: check its units")
        return torch.cat((numbers, torch.zeros_like(numbers[:, :1])), 1).float()

    def _sets(self, given: Any) -> Tensor:
        """The rows of each set in one row with one flag, `(N, size)`."""
        x = _array(given)
        need = self.sets, len(self.columns)
        if x.ndim not in (2, 3) or x.shape[-2:] != need:
            what = f"sets of {need[0]} rows of {need[1]}, `(M, {need[0]}, {need[1]})`"
            raise ValueError(f"the context of this model is {what}; got shape {x.shape}")
        parts = self._rows(_columns(x.reshape(-1, need[1]), self.names)).unflatten(0, (-1, self.sets))  # type: ignore[no-untyped-call]
        empty = parts[..., -1]
        if not bool((empty == empty[:, :1]).all()):
            row = int((empty != empty[:, :1]).any(1).nonzero()[0])
            raise ValueError(f"set {row} of the context is missing in part: give all of its rows, or none")
        return torch.cat((parts[..., :-1].flatten(1), empty[:, :1]), 1)

    def _rows(self, table: Mapping[str, np.ndarray]) -> Tensor:
        """The rows of a table with some of the columns; 0 in the others."""
        empty = np.stack([_missing(values) for values in table.values()])
        missing = np.asarray(empty.all(0))
        if (empty.any(0) != missing).any() or (missing.any() and len(table) < len(self.columns)):
            row = int(np.flatnonzero(empty.any(0))[0])
            raise ValueError(f"{_place(row, self.sets)} of the context is missing in part: give all of it, or nothing")
        parts, numbers = [], 0
        for column in self.columns:
            values = table.get(column.name)
            if values is None:
                parts.append(torch.zeros(len(missing), column.size))
            elif column.categories is None:
                mean, std = float(self.mean[numbers]), float(self.std[numbers])
                _check_near(column.name, _numbers(column, values, missing, mean), mean, std)
                parts.append(torch.from_numpy((_numbers(column, values, missing, mean) - mean) / std)[:, None])
            else:
                parts.append(_one_hot(column, values, missing))
            numbers += column.categories is None
        parts.append(torch.from_numpy(missing)[:, None])
        return torch.cat([part.float() for part in parts], 1)

    def empty(self) -> Tensor:
        """The row of a network without context, `(1, *row_shape)`."""
        return _empty_like(torch.zeros(1, *self.row_shape))


def drop_context(context: Tensor, dropped: Tensor) -> Tensor:
    """Contexts of shape `(B, size, …)` without those where `dropped`, of shape `(B,)`, is true."""
    return torch.where(expand(dropped, context), _empty_like(context), context)


def _empty_like(rows: Tensor) -> Tensor:
    empty = torch.zeros_like(rows)
    empty[:, -1] = 1
    return empty


def shuffle_sets(context: Tensor, sets: int, rng: Rng) -> Tensor:
    """Sets of rows, encoded with shape `(B, sets · n + 1)`, each in a random order."""
    rows = context[:, :-1].unflatten(1, (sets, -1))  # type: ignore[no-untyped-call]
    order = rng.uniform((len(rows), sets), torch.float32, rows.device).argsort(1)
    shuffled = rows.gather(1, order[..., None].expand_as(rows))
    return torch.cat((shuffled.flatten(1), context[:, -1:]), 1)


def linear_regression(context: Tensor, x: Tensor) -> Tensor:
    """The best linear prediction of vectors `(N, n)` of mean 0 from contexts `(N, size)`: A of shape `(size, n)`.

    A ridge of 1 counts as one more data point at 0 for each column, so that few data do not overfit it.
    """
    c, x = context.double(), x.double()
    gram = c.T @ c + torch.eye(c.shape[1], dtype=c.dtype)
    return torch.linalg.solve(gram, c.T @ x).float()  # type: ignore[no-any-return]


def _is_table(given: Any) -> bool:
    return isinstance(given, Mapping) or hasattr(given, "columns")


def _columns(given: Any, names: Sequence[str] | None = None) -> dict[str, np.ndarray]:
    """Columns by name; the only column of an array is `label` or `context`."""
    if isinstance(given, Mapping):
        table = {str(name): np.atleast_1d(_array(values)) for name, values in given.items()}
    elif hasattr(given, "columns"):
        table = {str(name): _array(given[name]) for name in given.columns}
    else:
        x = np.atleast_1d(_array(_typed(given)))
        if x.ndim == 1 and names is not None and len(names) > 1:
            x = x[None]
        if x.ndim > 2 or (names is not None and x.ndim == 2 and x.shape[1] != len(names)):
            need = "" if names is None else f": the context of this model is {_listed(names)}"
            raise ValueError(f"a context of shape {x.shape} does not fit{need}")
        x = x[:, 0] if x.ndim == 2 and x.shape[1] == 1 else x
        if x.ndim == 2:
            table = {names[i] if names else f"c{i}": x[:, i] for i in range(x.shape[1])}
        else:
            table = {names[0] if names else "label" if _are_labels(x) else "context": x}
    lengths = {len(values) for values in table.values()}
    if names is not None and len(lengths) == 2 and 1 in lengths:  # a single value is that of all rows
        table = {
            name: np.repeat(values, max(lengths), 0) if len(values) == 1 else values for name, values in table.items()
        }
        lengths = {max(lengths)}
    if len(lengths) != 1 or 0 in lengths:
        raise ValueError(f"a context needs columns of one length, with rows; got lengths {sorted(lengths)}")
    return table


def _typed(given: Any) -> Any:
    """Lists of numbers and strings as objects: numpy would make them all strings."""
    if not isinstance(given, (list, tuple)):
        return given
    flat = [value for row in given for value in (row if isinstance(row, (list, tuple)) else (row,))]
    mixed = any(isinstance(value, str) for value in flat) and not all(isinstance(value, str) for value in flat)
    return np.array(given, dtype=object) if mixed else given


def _place(row: int, sets: int) -> str:
    """Which row of a context it is, or of which set."""
    return f"row {row}" if sets == 1 else f"row {row % sets} of set {row // sets}"


def _listed(names: Sequence[str]) -> str:
    return ", ".join(map(str, names))


def _array(given: Any) -> np.ndarray:
    found = real_array(given, "contexts", "as two columns, or as two channels of a field")
    if found.dtype == object:
        known = [value for value in found.flat if value is not None]
        if known and all(isinstance(value, datetime.timedelta) for value in known):
            found = np.array(found.tolist(), "timedelta64[us]")
    return found / np.timedelta64(1, "D") if found.dtype.kind == "m" else found


def _missing(values: np.ndarray) -> np.ndarray:
    if values.dtype.kind in "fM":
        return np.isnan(values) if values.dtype.kind == "f" else np.isnat(values)  # type: ignore[no-any-return]
    if values.dtype.kind == "O":
        return np.array([value is None or value != value for value in values], dtype=bool)
    return np.zeros(len(values), dtype=bool)


def _plain_array(known: np.ndarray) -> np.ndarray:
    """Values without gaps in the type that they have, where gaps made them objects."""
    if known.dtype.kind != "O" or any(isinstance(value, str) for value in known):
        return known
    dates = len(known) > 0 and all(isinstance(value, datetime.date) for value in known)
    plain = _dates(known) if dates else np.array(known.tolist())
    return plain if plain.dtype.kind in "fiubM" else known


def _dates(values: np.ndarray) -> np.ndarray:
    """Dates and times, with None where there is none; those of a time zone as UTC."""
    values = values.astype(object)
    zones = (getattr(value, "tzinfo", None) for value in values)
    plain = [v if z is None else v.astimezone(datetime.UTC).replace(tzinfo=None) for v, z in zip(values, zones)]
    return np.array(plain, dtype="datetime64[us]")


def _text_dates(values: np.ndarray, form: str) -> np.ndarray:
    """Dates, in text of a format or in the ISO format, or as objects; NaT where one is missing."""
    found = read_dates(values, form)
    others = np.isnat(found) & ~_missing(values)
    found[others] = _dates(values[others])
    return found


def _days(dates: np.ndarray) -> np.ndarray:
    """Days since 1970, NaN where there is no date."""
    return (dates.astype("datetime64[us]") - np.datetime64("1970-01-01", "us")) / np.timedelta64(1, "D")


def _are_labels(values: np.ndarray) -> bool:
    """Whether the only column of a context holds classes."""
    known = _plain_array(values[~_missing(values)])
    return _has_classes(known) and format_of_dates(known) is None


def _has_classes(values: np.ndarray) -> bool:
    """Whether values are strings, truth values, or few different whole numbers."""
    if values.dtype.kind in "OUSb":
        return True
    return values.dtype.kind in "iu" and len(np.unique(values)) <= min(_CLASSES, max(2, len(values) // 2))


def _classes(values: np.ndarray) -> tuple[str | int, ...]:
    found = sorted({_plain(value) for value in values.tolist()}, key=lambda v: (isinstance(v, str), v))
    if len(found) < 2:
        raise ValueError(f"a context with only one class, {found}, has no information: leave it out")
    return tuple(found)


def _plain(value: Any) -> str | int:
    whole = isinstance(value, int) or (isinstance(value, float) and value.is_integer())
    return int(value) if whole else str(value)


def _numbers(column: ContextColumn, values: np.ndarray, missing: np.ndarray, mean: float) -> np.ndarray:
    """The values of a column of numbers, with its mean where they are missing."""
    if missing.all():
        return np.full(len(values), mean)
    try:
        if column.dates and values.dtype.kind in "OUM":
            plain = values.dtype.kind == "M"
            values = _days(values if plain else _text_dates(values, column.form) if column.form else _dates(values))
        elif column.dates != (values.dtype.kind == "M"):
            raise TypeError
        return np.where(missing, mean, values).astype(float)
    except (TypeError, ValueError):
        kind, such = ("date", "such as '2024-03-01'") if column.dates else ("number", "such as 1.5")
        raise ValueError(
            f"{column.name} of the context is a {kind}, {such}, got {str(values[~missing][0])!r}"
        ) from None


def _check_near(name: str, values: np.ndarray, mean: float, std: float) -> None:
    far = ~(np.abs(values - mean) <= _FAR * std)
    if far.any():
        need = f"within {_FAR:,} standard deviations ({std:g}) of the mean of the data ({mean:g})"
        raise ValueError(f"{name} of the context is {values[far][0]:g}: it must be finite, and {need}")


def _one_hot(column: ContextColumn, values: np.ndarray, missing: np.ndarray) -> Tensor:
    place = {value: i for i, value in enumerate(column.categories or ())}
    hot = torch.zeros(len(values), len(place))
    for row, value in enumerate(values.tolist()):
        if missing[row]:
            continue
        if _plain(value) not in place:
            near = (
                difflib.get_close_matches(value, [each for each in place if isinstance(each, str)], 1)
                if isinstance(value, str)
                else []
            )
            hint = f"did you mean {near[0]}?" if near else f"known are {', '.join(map(str, list(place)[:10]))}"
            same = next((each for each in place if str(each) == str(value)), None)
            hint = hint if same is None else f"pass it as {type(same).__name__}, {same!r}"
            raise ValueError(f"{column.name} has no class {value!r}: {hint}")
        hot[row, place[_plain(value)]] = 1
    return hot


def _planes(given: Any, inner_shape: Sequence[int], like: Sequence[int] | None = None) -> Tensor:
    """Fields as `(N, C, *S)` on the grid of the data."""
    grid = tuple(inner_shape[1:])
    x = real_tensor(_array(given), "fields of a context")
    if like is not None and tuple(x.shape) in (tuple(like), grid, (*grid, like[0])):
        x = x[None]
    if tuple(x.shape[1:]) == grid:
        x = x[:, None]
    elif grid and tuple(x.shape[1:-1]) == grid:
        x = x.movedim(-1, 1)
    if not grid or tuple(x.shape[2:]) != grid or (like is not None and x.shape[1] != like[0]):
        need = f"fields on the grid {grid}" if grid else "numbers (N, P), as the data are vectors"
        raise ValueError(f"a context of shape {tuple(x.shape)} does not fit: it needs {need}")
    if not bool(torch.isfinite(x).all()):
        raise ValueError("fields of a context must be finite: fill the gaps, and mark them in a channel")
    return x
