"""Rows of which only some columns are known."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..calls import plain_value
from ..user_values import real_tensor
from ..warned import warn_outside
from . import frames
from .columns import Column
from .columns.base import Name
from .columns.infer import TEXT, hint
from .errors import DataError
from .foreign import native
from .schema import Schema

__all__ = ["beyond", "check_possible", "gaps_to_fill", "in_place_of", "known_values", "missing", "packed_with_gaps"]
__all__ += ["rows_with_gaps", "unknown_column", "warn_impossible"]

missing = float("nan")
"""Says that a value of a table is missing: `model.condition(age=missing)`."""


def known_values(schema: Schema, values: Mapping[Name, Any]) -> tuple[Tensor, Tensor]:
    """Rows with the values of some columns, and which these are.

    Arguments:
        schema: The form of the data, a table or vectors.
        values: For columns, by name (by position for arrays), one value or M of them, as they stand in the data; missing ones
            as `missing`, NaN, None or NA.

    Returns:
        The rows, `(M, C)` in float64, NaN where nothing is known or a value is missing; and true where a column is known.

    Raises:
        ValueError: If the data are not vectors, there is no such column, counts differ, or a column cannot hold a value.

    Example:
        >>> x, known = known_values(Schema.of(np.zeros((5, 3))), {1: [2.0, 3.0]})
        >>> x[:, 1].tolist(), known[0].tolist()
        ([2.0, 3.0], [False, True, False])
    """
    if schema.structure != "vector":
        raise ValueError(f"columns are those of tables and vectors, but these data are {schema.reason}: observe a Mask")
    names = list(schema.columns or range(schema.inner_shape[0]))
    unknown = [name for name in values if name not in names]
    if unknown:
        raise ValueError(unknown_column(schema, unknown[0]))
    lists = {name: _listed(value) for name, value in values.items()}
    count = max((len(found) for found in lists.values()), default=1)
    wrong = [f"{name} {len(found)}" for name, found in lists.items() if len(found) not in (1, count)]
    if wrong:
        raise ValueError(
            f"columns have one value, or all the same number: got {count} values and of {', '.join(wrong)}"
        )
    x = np.full((count, len(names)), np.nan)
    known = np.zeros((count, len(names)), dtype=bool)
    for name, found in lists.items():
        place = names.index(name)
        x[:, place] = _encoded(schema.table[place] if schema.table else None, name, found)
        known[:, place] = True
    return torch.from_numpy(x), torch.from_numpy(known)


def unknown_column(schema: Schema, name: Name) -> str:
    """Says that the model has no such column: that it was left out and why, or which one may be meant."""
    for left_out, reason in schema.left_out:
        if name == left_out:
            return f"column {name!r} was left out when the model was fitted: {reason}"
    return f"there is no column {name!r}: {hint(name, list(schema.columns or range(schema.inner_shape[0])))}"


def rows_with_gaps(schema: Schema, x: Any) -> tuple[Tensor, Tensor]:
    """Rows in the layout of networks, and which of their values a column cannot hold: which then tell nothing.

    Arguments:
        schema: The form of the data, a table or vectors.
        x: Data of this form, with missing values.

    Returns:
        The rows, `(N, C)` in float64, NaN where a value is missing; and true where it cannot be, as `Column.impossible` says.

    Raises:
        ValueError: If `x` has other columns, several of the same name, or values that are of another kind.
    """
    x = real_tensor(x, "data") if isinstance(x, np.ma.MaskedArray) else native(x)
    if not schema.table or not hasattr(x, "iloc") or x.ndim != 2:
        data = schema.unpack(x, torch.float64)
        return data, torch.zeros(data.shape, dtype=torch.bool)
    frames.check_distinct(x)
    frame = frames.select(x, schema.columns)
    values = [column.read(frame[column.name]) for column in schema.table]
    impossible = [column.impossible(numbers) for column, numbers in zip(schema.table, values)]
    return torch.from_numpy(np.stack(values, 1)), torch.from_numpy(np.stack(impossible, 1))


def gaps_to_fill(schema: Schema, gaps: Tensor, columns: Sequence[Name] | None) -> Tensor:
    """Those missing values that lie in some columns, `(N, C)`.

    Arguments:
        schema: The form of the data, a table or vectors.
        gaps: Which values are missing, `(N, C)`.
        columns: The columns, by name (by position for arrays); None for all.

    Raises:
        ValueError: If there is no such column.
    """
    if columns is None:
        return gaps
    names = list(schema.columns or range(schema.inner_shape[0]))
    for name in columns:
        if name not in names:
            raise ValueError(unknown_column(schema, name))
    return gaps & torch.tensor([name in columns for name in names])


def warn_impossible(schema: Schema, impossible: Tensor) -> None:
    """Warns of values that a column of a table cannot take, `(N, C)`, by column."""
    said = []
    for column, count in zip(schema.table, impossible.sum(0).tolist()):
        if count:
            said.append(f"{column.name!r} in {count} row{'s' * (count > 1)} (it takes {column.takes})")
    if said:
        what = f"values that their column cannot take: {', '.join(said)}"
        warn_outside(f"{what}; they stay, and gaps in these rows are filled without them")


def check_possible(schema: Schema, values: Mapping[Any, Any]) -> None:
    """Raises a ValueError, in one line, if a column cannot take a value that it is given, or never misses."""
    names = list(schema.columns or range(schema.inner_shape[0]))
    for name, value in values.items():
        place, found = names.index(name), _listed(value)
        column = schema.table[place] if schema.table else None
        numbers = _encoded(column, name, found, check=False)
        lost = np.isnan(numbers)
        if lost.any() and not (column is not None and column.missing and not schema.complete):
            where = "rows of this model" if schema.complete else "the data"
            what = f"column {name!r} never misses in {where}, got {found[int(lost.argmax())]!r}"
            raise ValueError(f"{what}: give a value, or leave the column out")
        bad = _whole(schema, place, numbers) if column is None else column.impossible(numbers)
        if bad.any():
            raise ValueError(_refusal(schema, place, name, found[int(bad.argmax())], numbers[int(bad.argmax())]))


def beyond(schema: Schema, x: Tensor, known: Tensor) -> list[str]:
    """Which known values lie outside of the data, as sentences; of columns whose range the schema knows.

    Arguments:
        schema: The form of the data.
        x: Rows, `(M, C)`, from `known_values`.
        known: Which values are known, `(M, C)`.
    """
    said = []
    for place, column in enumerate(schema.table):
        if column.range is None or column.size:
            continue
        numbers = x[:, place].numpy()
        with np.errstate(invalid="ignore"):
            off = known[:, place].numpy() & ((numbers < column.range[0]) | (numbers > column.range[1]))
        if off.any():
            value, low, high = (column.spelled(float(n)) for n in (numbers[off][0], *column.range))
            said.append(f"{column.name}={value} lies outside of the data ({low} to {high})")
    return said


def packed_with_gaps(schema: Schema, x: Tensor, gaps: Tensor) -> Any:
    """Rows in the form of samples; arrays keep these gaps, and are then of floating-point numbers.

    Arguments:
        schema: The form of the data, a table or vectors.
        x: The rows, `(N, C)`.
        gaps: Which of their values are missing, `(N, C)`; in tables any value stands for these.

    Raises:
        ValueError: If there are gaps, and the data have another form.
    """
    if not gaps.any():
        return schema.pack(x)
    packed = schema.pack(x.masked_fill(gaps, 0.0))
    if schema.table:
        return packed
    if schema.kind not in ("numpy", "torch"):
        raise ValueError(f"some columns are filled of tables and arrays, but these data are a {schema.kind}: fill all")
    if isinstance(packed, Tensor):
        return (packed if packed.is_floating_point() else packed.double()).masked_fill(
            gaps.to(packed.device), torch.nan
        )
    return np.where(gaps.numpy(), np.nan, packed).astype(np.result_type(packed.dtype, np.float16), copy=False)


def in_place_of(x: Any, filled: Any, gaps: Tensor, impossible: Tensor | None = None) -> Any:
    """A table with filled columns in the place of those with gaps; any other kind of data is `filled` itself.

    Arguments:
        x: What has gaps.
        filled: The same rows without gaps, in the form of samples.
        gaps: Which values were missing and are filled, `(N, C)`.
        impossible: Which values the form of samples cannot hold, `(N, C)`: they stay as they are.
    """
    if not hasattr(x, "columns") or not hasattr(filled, "columns") or not hasattr(x, "index"):
        return filled
    whole = x.copy()
    for place in gaps.any(0).nonzero()[:, 0].tolist():
        name = filled.columns[place]
        values = filled[name].set_axis(x.index)
        kept = torch.zeros(len(x), dtype=torch.bool) if impossible is None else impossible[:, place]
        if str(values.dtype) in TEXT and str(x[name].dtype) in TEXT:  # known texts stay as they are written
            kept = ~gaps[:, place]
        whole[name] = values.where(~kept.numpy(), x[name]) if kept.any() else values
    return whole


def _whole(schema: Schema, place: int, numbers: np.ndarray) -> np.ndarray:
    """Which numbers an array cannot hold: parts of whole ones, and what its samples are clipped from."""
    low, high, integer = (
        each[place] if isinstance(each, tuple) else each for each in (schema.low, schema.high, schema.integer)
    )
    found: np.ndarray = (numbers != np.rint(numbers)) if integer else np.zeros(len(numbers), dtype=bool)
    found |= numbers < (-np.inf if low is None else low)
    return found | (numbers > (np.inf if high is None else high))


def _refusal(schema: Schema, place: int, name: Name, value: Any, number: float) -> str:
    """Says that a column cannot take a value, what it takes, and what to give."""
    if not schema.table:
        low, high = (each[place] if isinstance(each, tuple) else each for each in (schema.low, schema.high))
        ends = f", {low:g} to {high:g}" if low is not None and high is not None else ""
        return (
            f"column {name!r} holds {'whole numbers' if schema.integer else 'numbers'}{ends}, got {value!r}: correct it"
        )
    column = schema.table[place]
    got = f"{column.takes}, got {value!r}"
    if np.isinf(number):
        return f"column {name!r} takes {got}: give a finite value, or leave the column out"
    if column.size:
        return f"column {name!r} has {got}: give one of them"
    low, high = (end if side is None else side for side, end in zip(column.sides, (-np.inf, np.inf)))
    outside = column.bounds == (None, None) != column.limits and not low <= number <= high
    wider = ", or fit with bounds=… that have room for it" if outside else ""
    (nearest,) = column.read(column.decode(np.array([float(np.clip(number, low, high))]))).tolist()
    return f"column {name!r} takes {got}: give such a value, as {column.spelled(nearest)}{wider}"


def _listed(value: Any) -> list[Any]:
    """One value, or several, as a list."""
    if isinstance(value, str | bytes) or not hasattr(value, "__len__"):
        return [value]
    if getattr(value, "ndim", 1) == 0:
        return [value.tolist() if hasattr(value, "tolist") else value.item()]  # None if it is masked
    return list(value.tolist() if isinstance(value, np.ndarray | Tensor) else value)


def _encoded(column: Column | None, name: Name, values: list[Any], check: bool = True) -> np.ndarray:
    """The numbers of values of a column; without a check also of those that it cannot hold."""
    if column is not None:
        import pandas

        series = pandas.Series([column.meant(value) for value in values], name=name)
        try:
            return column.encode(series) if check else column.read(series)
        except DataError as error:  # which says it of a row of data
            said = re.sub(r" in row \d+| \(row \d+\)", "", str(error))
            raise ValueError(re.sub("correct it, (or )?leave that row out.*$", "give another value", said)) from None
    found = np.full(len(values), np.nan)
    for i, value in enumerate(values):
        number = plain_value(value) if isinstance(value, str) else value
        if isinstance(number, str) or np.ndim(number):
            raise ValueError(f"column {name!r} holds numbers, got {value!r}")
        found[i] = np.nan if number is None else number
    return found
