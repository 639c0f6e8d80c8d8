"""What the columns of a table hold: found from their types and values, or as the user says, each with its reason."""

from __future__ import annotations

import datetime
import difflib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from ...settings import Data
from ..errors import DataError, DataTypeError
from ..text_form import TextForm
from .affixed import Affixed, NumberFormat
from .base import Column, Name, shown
from .category import Category
from .clock_time import ClockTime
from .constant import Constant
from .date import Date
from .number import Number
from .number_marks import decimal_marks, is_missing, parts_of, possible_marks
from .one_clock import on_one_clock
from .remarks import inexact_share, remark
from .text import (
    begins_with_zero,
    date_format,
    date_formats,
    formatted_numbers,
    how_missing,
    number_text,
    swapped_dates,
)

if TYPE_CHECKING:
    from pandas import DataFrame, Series

__all__ = ["TEXT", "ColumnWishes", "LeftOut", "column_of", "describe_columns", "hint", "infer"]

LeftOut = tuple[tuple[Name, str], ...]

MOST_LEVELS = 256  # of a category that nobody asked for: one coordinate each
_FEW_LEVELS = 10  # with so few, text is a category in however few rows
_MANY_ROWS = 32  # from which integers that count the rows are not taken for measured
TEXT = ("object", "str", "string", "string[pyarrow]", "large_string[pyarrow]")
_INEXACT = 0.1  # of whole numbers that are not exact in float64: with more, they are not taken for numbers
_NAMES_OF_KEYS = re.compile(r"(.*[_\W])?(id|ids|uuid|guid|key|index|rownames?|row_?(id|names?|numbers?))", re.I)


@dataclass(frozen=True)
class ColumnWishes:
    """What a user says of a column.

    Arguments:
        kind: "number", "category", "date" or "leave out"; None leaves it to the values.
        keep: Whether it is kept even if it seems to be an identifier or free text.
        more: The bounds and the transform of a column of numbers.
        decimal_mark: The decimal mark of the table; None where it is not known.
        typed: Whether columns have types that somebody chose, as in a DataFrame: numbers in text then stay text.
    """

    kind: str | None = None
    keep: bool = False
    more: tuple[tuple[str, Any], ...] = ()
    decimal_mark: str | None = None
    typed: bool = False

    @classmethod
    def of(cls, data: Data, name: Name, decimal_mark: str | None = None, typed: bool = False) -> ColumnWishes:
        """What is said of one column, and what is known of its table."""
        kinds = {"category": data.categorical, "number": data.numeric}
        kind = next((kind for kind, names in kinds.items() if name in (names or ())), None)
        kind = (data.columns or {}).get(name, kind)
        more = {"bounds": (data.bounds or {}).get(name), "transform": "log" if name in (data.log or ()) else None}
        given = tuple((key, value) for key, value in more.items() if value is not None)
        if given and kind not in (None, "number"):
            raise DataError(f"bounds and log are for numbers, and column {name!r} is to be a {kind}: choose one")
        return cls(kind, name in (data.keep or ()) or kind is not None, given, decimal_mark, typed)


def infer(frame: DataFrame, data: Data | None = None) -> tuple[tuple[Column, ...], LeftOut]:
    """What each column of a table holds, and which columns are left out.

    Text of nearly as many values as rows, and integers that number the rows, say which row it is, and nothing that could
    be learned: such columns are left out unless `data.keep` names them. So are categories of more than 256 levels.

    Arguments:
        frame: The table.
        data: What the user says of its columns.

    Returns:
        The columns that are modelled, and the names of the others, each with the reason.

    Raises:
        ValueError: If a setting names a column that is not there, a column holds what it should not, or none is left.
        TypeError: If a column holds complex numbers.

    Example:
        >>> import pandas
        >>> table = pandas.DataFrame({"a": [1, 2, 4], "b": ["x", "y", "x"], "c": [7, 7, 7]})
        >>> columns, left_out = infer(table)
        >>> [(column.name, column.reason) for column in columns]
        [('a', 'number: whole, 1 to 4'), ('b', 'category of 2 levels'), ('c', 'always 7')]
    """
    names = frame.columns.tolist()
    data = resolved(data or Data(), names)
    columns, left_out = [], []
    apart, mark, typed = _for_the_split(data), _decimal_mark(frame), TextForm.of(frame) is None
    for i, name in enumerate(names):
        wishes = ColumnWishes.of(data, name, mark, typed)
        if str(name) in apart and not wishes.keep:
            left_out.append((name, f"{apart[str(name)]}; keep={[name]!r} keeps it"))
            continue
        found = column_of(frame.iloc[:, i], name, wishes)
        if isinstance(found, Column):
            columns.append(found)
        else:
            left_out.append((name, found))
    if not columns:
        named = ", ".join(f"{name!r} ({reason})" for name, reason in left_out[:5])
        raise DataError(f"every column of the table is left out: {named}")
    return tuple(on_one_clock(columns, data.constraints)), tuple(left_out)


def _decimal_mark(frame: DataFrame) -> str | None:
    """The decimal mark of a table: that of the file it comes from, or of its columns of text."""
    if "decimal_mark" in frame.attrs:
        mark: str | None = frame.attrs["decimal_mark"]
        return mark
    texts = (frame.iloc[:, i].drop_duplicates() for i, dtype in enumerate(frame.dtypes) if str(dtype) in TEXT)
    whole, others = decimal_marks([text for text in column if isinstance(text, str)] for column in texts)
    marks = whole or others
    return marks.pop() if len(marks) == 1 else None


def _for_the_split(data: Data) -> dict[str, str]:
    """The columns that say which rows are held out, which are not modelled: by name, with the reason."""
    given = ((data.groups, "says which rows belong together"), (data.time_column, "says when rows were recorded"))
    return {str(name): reason for name, reason in given if name is not None}


def resolved(data: Data, names: Sequence[Name]) -> Data:
    """What a user says, by the names that the table has: "0" may stand for a column named 0.

    Raises:
        ValueError: If a setting names a column that is not there.
    """
    by_text = {str(name): name for name in names}
    changes: dict[str, Any] = {}
    for setting in ("columns", "categorical", "numeric", "bounds", "log", "keep"):
        given = getattr(data, setting)
        if given is None:
            continue
        for name in given:
            if name not in names and str(name) not in by_text:
                raise DataError(f"{setting} names {name!r}, which is not a column of the table: {hint(name, names)}")
        right = {name: name if name in names else by_text[str(name)] for name in given}
        named = isinstance(given, Mapping)
        changes[setting] = {right[k]: v for k, v in given.items()} if named else tuple(right.values())
    return replace(data, **changes) if changes else data


def hint(name: Name, names: Sequence[Name]) -> str:
    """Which column may be meant by a name that there is not, or which ones there are."""
    lower = {str(n).lower(): str(n) for n in names}
    close = difflib.get_close_matches(str(name).lower(), lower, 1)
    return f"did you mean {lower[close[0]]!r}?" if close else f"it has {', '.join(map(repr, names[:10]))}"


def column_of(values: Series[Any], name: Name, wishes: ColumnWishes | None = None) -> Column | str:
    """What a column holds; or, in words, why it is left out.

    Raises:
        ValueError: If it holds what the wishes exclude, or infinite numbers.
        TypeError: If it holds complex numbers.
    """
    wishes = wishes or ColumnWishes()
    if isinstance(wishes.kind, Column):
        return replace(wishes.kind, name=name)
    if wishes.kind == "leave out":
        return "left out, as asked for"
    if values.dtype.kind == "c":
        raise DataTypeError(f"column {name!r} holds complex numbers: make it two columns, .real and .imag")
    present = values.dropna()
    if not len(present):
        return _empty(values, name)
    if not _hashable(present) or isinstance(present.iloc[0], bytes):
        return f"holds values of the kind {type(present.iloc[0]).__name__}, of which there is no distribution here"
    values = _of_plain_type(values)
    asked = {"category": _category, "number": _number, "date": _date}
    made = asked[wishes.kind](values, name, wishes) if wishes.kind else _taken_for(values, present, name, wishes)
    if not isinstance(made, Column):
        return made
    _check_heeded(made, wishes)
    return _constant(_remarked(made, values), values)


def _check_heeded(made: Column, wishes: ColumnWishes) -> None:
    """Raises if bounds or a logarithm are asked of a column that has none."""
    asked = dict(wishes.more)
    none = asked.get("bounds", (None, None)) != (None, None) and made.bounds == (None, None)
    words = ["bounds"] * none + ["log"] * ("transform" in asked and made.transform == "auto")
    if words:
        example = f"{made.name} >= '2024-01-31'"
        advice = (
            f'give a constraint instead, constraints=("{example}",)'
            if none and made.kind == "date"
            else "leave these out"
        )
        what = f"column {made.name!r} is a {made.kind}, and {' and '.join(words)}"
        raise DataError(f"{what} {'are' if none else 'is'} for numbers: {advice}")


def _of_plain_type(values: Series[Any]) -> Series[Any]:
    """The same values in a type that its name gives back, unlike pyarrow's decimals."""
    from pandas.api import types

    try:
        types.pandas_dtype(str(values.dtype))
    except (NotImplementedError, TypeError):
        return values.astype(object)
    return values


def _remarked(made: Column, values: Series[Any]) -> Column:
    """The column, whose reason says what is odd about its values."""
    odd = remark(values) if values.dtype == object or made.size else ""
    return replace(made, reason=f"{made.reason}; {odd}") if odd else made


def _taken_for(values: Series[Any], present: Series[Any], name: Name, wishes: ColumnWishes) -> Column | str:
    """What a column is taken for from its type and its values."""
    from pandas.api import types

    dtype = values.dtype
    objects = str(dtype) == "object"
    distinct = present.drop_duplicates() if objects or types.is_string_dtype(dtype) else present
    bools = types.is_bool_dtype(dtype) or (objects and _all(distinct, bool | np.bool_))
    if bools and str(dtype) != "category":
        return _boolean(values, name)
    if str(dtype) == "category":
        return _category(values, name, wishes)
    if types.is_numeric_dtype(dtype):
        return _number(values, name, wishes)
    if types.is_datetime64_any_dtype(dtype) or types.is_timedelta64_dtype(dtype) or dtype.kind in "mM":
        return Date.of(values, name, bounds=dict(wishes.more).get("bounds", (None, None)))
    if objects and _all(distinct, datetime.date | np.datetime64):
        return _date(values, name, wishes)
    if objects and _all(distinct, datetime.time | datetime.timedelta):
        times = ClockTime.of(values, name, **dict(wishes.more))
        return _category(values, name, wishes) if times is None else times
    if not (types.is_string_dtype(dtype) or objects):
        how = ".dt.to_timestamp()" if str(dtype).startswith("period") else ".astype(str)"
        return f"holds values of the type {dtype}: convert it, df[{name!r}]{how}"
    numbers, bad = number_text(values)
    if bad is None and not np.isnan(numbers).all():
        codes = wishes.typed and not wishes.more and _are_codes(distinct)
        return _codes(values, name, wishes) if codes else _number(values, name, wishes)
    if _all(distinct, str):
        distinct = distinct[[not is_missing(text) for text in distinct.to_numpy(object)]]
        if (form := date_format(distinct)) is not None:
            return Date.of(values, name, form)
        if (times := ClockTime.of(values, name, **dict(wishes.more))) is not None:
            return times
        if (written := NumberFormat.of(distinct.to_numpy(object), wishes.decimal_mark)) is not None:
            return _affixed(values, name, written, wishes)
        if 2 * (~np.isnan(numbers)).sum() <= len(present):
            _, numbers, bad = formatted_numbers(values, wishes.decimal_mark)
    return _category(values, name, wishes, words=bad, numbers=int((~np.isnan(numbers)).sum()))


def _boolean(values: Series[Any], name: Name) -> Column:
    lost = bool(values.isna().any())
    return replace(Category.of(values, name), levels=(False, True), missing=lost, dtype=str(values.dtype))


def _category(
    values: Series[Any], name: Name, wishes: ColumnWishes, words: int | None = None, numbers: int = 0
) -> Column | str:
    """A category, unless it has so many levels that it says which row it is, or more than can be modelled."""
    levels, rows = values.nunique(), int(values.notna().sum())
    codes = words is not None and begins_with_zero(values.iloc[words])
    if wishes.keep or (
        levels <= MOST_LEVELS and (levels <= max(_FEW_LEVELS, rows // 2) or str(values.dtype) == "category")
    ):
        made = Category.of(values, name)
        odd = words is not None and not codes and numbers > rows // 2 and levels > _FEW_LEVELS
        return replace(made, reason=f"{made.reason}; numbers but for {shown(values, words or 0)}") if odd else made
    how = f"keep={[name]!r} keeps it"
    if numbers > rows // 2 and words is not None and not codes:
        what = f"{numbers} numbers with words among them, {shown(values, words)}"
        missing = f"make these missing{how_missing(values.iloc[words])}"
        return f"{what}: {missing}, or {how} as a category of {levels} levels"
    odd = f"identifier, whose digits begin with zeros, {shown(values, words or 0)}" if codes else remark(values)
    if levels == rows:
        return f"{odd or 'identifier or free text'}: another value in each of {rows} rows; {how}"
    if 2 * levels > rows:
        return f"{odd or 'free text'}: {levels} values in {rows} rows; {how}"
    return f"category of {levels} levels, more than {MOST_LEVELS}; {how}"


def _are_codes(distinct: Series[Any]) -> bool:
    """Whether numbers in text are codes: a few whole ones."""
    texts = [text for text in distinct if not is_missing(text)]
    return _all(texts, str) and len({*texts}) <= _FEW_LEVELS and all(text.strip().isdigit() for text in texts)


def _codes(values: Series[Any], name: Name, wishes: ColumnWishes) -> Column | str:
    """A category of numbers in text, next to which words stand for missing values."""
    made = _category(values.mask(values.map(is_missing).astype(bool)), name, wishes)
    return replace(made, reason=f"{made.reason}; whole numbers in text") if isinstance(made, Column) else made


def _number(values: Series[Any], name: Name, wishes: ColumnWishes) -> Column | str:
    """Numbers, unless they count the rows."""
    from pandas.api import types

    dtype = values.dtype
    if inexact_share(values) > _INEXACT:
        return _large(values, name, wishes)
    if types.is_numeric_dtype(dtype) and not types.is_bool_dtype(dtype):
        kept = str(dtype)
    elif str(dtype) == "category" or types.is_bool_dtype(dtype):
        kept = "float64" if str(dtype) == "category" else str(dtype)
        values = values.astype("Float64")
    else:
        numbers, bad = number_text(values)
        texts = [text for text in values.dropna().unique() if not is_missing(text)]
        if bad is not None and _all(texts, str):
            written = NumberFormat.of(texts, wishes.decimal_mark, few=True)
            if written is not None:
                return _affixed(values, name, written, wishes)
        whole = bool((numbers[~np.isnan(numbers)] % 1 == 0).all()) and not any(
            "." in str(v) for v in values.dropna()[:100]
        )
        kept = ("Int64" if np.isnan(numbers).any() else "int64") if whole else "float64"
        if bad is None and wishes.typed and texts and _all(texts, str):
            return _in_text(values, name, texts, kept, wishes)
    if not wishes.keep and not wishes.more and (why := _counts(values, name)):
        return why
    return Number.of(values, name, kept, **dict(wishes.more))


def _in_text(values: Series[Any], name: Name, texts: Sequence[str], kept: str, wishes: ColumnWishes) -> Column | str:
    """Plain numbers in text, which stay text, unless they count the rows."""
    import pandas

    numbers = pandas.Series(number_text(values)[0], name=name).astype(kept)
    if not wishes.keep and not wishes.more and (why := _counts(numbers, name)):
        return why
    inner = Number.of(numbers, name, kept, **dict(wishes.more))
    return Affixed(name, str(values.dtype), inner.missing, f"{inner.reason}, in text", inner, NumberFormat.plain(texts))


def _affixed(values: Series[Any], name: Name, form: NumberFormat, wishes: ColumnWishes) -> Column | str:
    """Numbers that are written in a format of their own."""
    import pandas

    plain = [form.number(v) if isinstance(v, str) else np.nan for v in values]
    inner = Number.of(pandas.Series(plain), name, "float64", **dict(wishes.more))
    reason = f"{inner.reason}, written as {form.text(float(np.nanmedian(plain)))!r}"
    if wishes.decimal_mark is None and (text := _could_be_grouped(values)):
        reason += f"; {text!r} was read as {form.number(text):g}, and nothing says whether its digits are grouped"
    return Affixed(name, str(values.dtype), inner.missing, reason, inner, form)


def _could_be_grouped(values: Series[Any]) -> str:
    """A number in text whose point or comma may be a decimal mark or group digits, as in all others; "" if that is clear."""
    texts = [text for text in values.dropna().unique() if not is_missing(text)]
    parts = [part.number for part in map(parts_of, texts) if part is not None]
    marked = (text for text, number in zip(texts, parts) if "." in number or "," in number)
    return next(marked, "") if len(possible_marks(parts)) == 2 else ""


def _large(values: Series[Any], name: Name, wishes: ColumnWishes) -> Column | str:
    """Whole numbers that float64 does not hold: categories where they are asked for or few, else left out."""
    what = "whole numbers beyond 2^53, which are not exact as numbers"
    if wishes.kind == "number":
        raise DataError(f"column {name!r} holds {what}: subtract an offset, or make it a category")
    found = _category(values, name, wishes)
    return found if isinstance(found, Column) else f"{what}; keep={[name]!r} keeps it as a category"


def _counts(values: Series[Any], name: Name) -> str:
    """Why integers are an identifier; nothing if they are not."""
    from pandas.api import types

    count = len(values)
    if count < _MANY_ROWS or not types.is_integer_dtype(values.dtype) or values.isna().any():
        return ""
    low, high = int(values.min()), int(values.max())
    counts = low in (0, 1) and high - low == count - 1
    if not counts and not _NAMES_OF_KEYS.fullmatch(str(name)):
        return ""
    if not values.is_unique:
        return ""
    what = (
        f"numbers the rows, {low} to {high}" if counts else f"named {name!r}, another integer in each of {count} rows"
    )
    return f"identifier: {what}; keep={[name]!r} keeps it"


def _date(values: Series[Any], name: Name, wishes: ColumnWishes) -> Column:
    """Dates, times of day or durations, for which text must be of one format: days first, where months could be."""
    from pandas.api import types

    present = values.dropna()
    if (times := ClockTime.of(values, name)) is not None:
        return times
    if types.is_string_dtype(values.dtype) and _all(present, str):
        present = present[[not is_missing(text) for text in present]]
        forms = date_formats(present)
        if not forms:
            raise DataError(
                f"column {name!r} holds dates of no format that is known, such as {(*present, *values.dropna())[0]!r}: "
                f"convert it, pandas.to_datetime(df[{name!r}], format=…)"
            )
        made, swapped = Date.of(values, name, forms[0]), swapped_dates(present, forms)
        return replace(made, reason=f"{made.reason}; {swapped}") if swapped else made
    return Date.of(values, name)


def _constant(made: Column, values: Series[Any]) -> Column:
    """The column, or one that never varies if it has one value."""
    numbers = made.encode(values)
    lost = np.isnan(numbers)
    least, most = float(np.nanmin(numbers)), float(np.nanmax(numbers))
    if least != most:
        return made
    inner = replace(made, missing=True)
    words = f"always {inner.decode(np.array([least])).iloc[0]}"
    words += f", or missing ({int(lost.sum())} of {len(values)} rows)" * bool(lost.any())
    return Constant(made.name, made.dtype, bool(lost.any()), words, inner if lost.any() else made, least)


def _empty(values: Series[Any], name: Name) -> Constant:
    """A column in which all values are missing."""
    inner = Category.of(values, name) if str(values.dtype) == "category" else None
    return Constant(name, str(values.dtype), False, "all values are missing", inner)


def _all(values: Series[Any], kinds: Any) -> bool:
    return all(isinstance(v, kinds) for v in values)


def _hashable(present: Series[Any]) -> bool:
    """Whether values can be distinguished from each other."""
    if present.dtype != object:
        return True
    try:
        return bool(present.nunique() > 0)
    except TypeError:
        return False


def describe_columns(schema: Any) -> list[tuple[str, str, str]]:
    """What each column of a table was taken for: its name, its kind, the reason; those left out at the end.

    Example:
        >>> import pandas
        >>> from scorefield.data import Schema
        >>> describe_columns(Schema.of(pandas.DataFrame({"a": [True, False], "b": [0.5, 1.25]})))
        [('a', 'boolean', 'boolean of 2 levels'), ('b', 'number', 'number: 0.5 to 1.25')]
    """
    kept = [(str(column.name), column.kind, column.reason) for column in schema.table]
    return kept + [(str(name), "left out", reason) for name, reason in schema.left_out]
