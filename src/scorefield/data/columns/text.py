"""Numbers and dates that stand in columns of text."""

from __future__ import annotations

import importlib.util
import math
import re
import shlex
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import DataError
from .affixed import NumberFormat
from .base import shown
from .number_marks import is_missing

if TYPE_CHECKING:
    from pandas import Series

__all__ = [
    "as_numbers",
    "begins_with_zero",
    "date_format",
    "date_formats",
    "format_of_dates",
    "formats_like",
    "formatted_numbers",
    "how_missing",
    "number_text",
    "offset_of",
    "parsed_dates",
    "read_dates",
    "swapped_dates",
    "without_zeros",
]

_DAYS = ("%Y-%m-%d", "%Y/%m/%d", "%d.%m.%Y", "%d/%m/%Y", "%m/%d/%Y", "%d-%m-%Y", "%m-%d-%Y", "%d-%b-%Y")
_NAMED = ("%d %b %Y", "%b %d %Y", "%b %d, %Y", "%d %B %Y", "%B %d, %Y", "%Y.%m.%d")
_TIMES = (
    "",
    " %H:%M",
    " %H:%M:%S",
    "T%H:%M",
    "T%H:%M:%S",
    " %H:%M:%S.%f",
    "T%H:%M:%S.%f",
    "T%H:%M:%SZ",
    "T%H:%M:%S.%fZ",
)
FORMATS = (*(day + time for time in _TIMES for day in (*_DAYS, *_NAMED)), "%Y-%m", "%Y/%m", "%b %Y")
"""How dates are written, in the words of strftime."""

_DIRECTIVE = re.compile("%.")
_OFFSET = re.compile(r":\d\d(?:\.\d+)?([+-]\d\d:?\d\d)$")
_FIELDS = dict.fromkeys(("%d", "%m", "%H", "%M", "%S"), r"(\d{1,2})")  # numbers that may begin with a zero
_FIRST = 200  # texts on which a format is tried before all others confirm it


def as_numbers(values: Series[Any], name: Any) -> np.ndarray:
    """A column as float64, NaN where a value is missing or one of `number_marks.MARKS`.

    Text may have any one format of numbers, decimal commas or signs around them say.

    Raises:
        ValueError: If a value is not a number; the message names it and its row.
    """
    from pandas.api import types

    if types.is_numeric_dtype(values.dtype) or types.is_bool_dtype(values.dtype):
        numbers: np.ndarray = values.to_numpy(dtype=np.float64, na_value=np.nan)
        return numbers + 0.0  # without negative zeros
    found, bad = number_text(values)
    if bad is None:
        return found
    form, found, odd = formatted_numbers(values)
    if form is None or odd is not None:
        bad = bad if odd is None else odd
        what = f"column {name!r} holds numbers, got {shown(values, bad)}"
        raise DataError(f"{what}: correct it, leave that row out, or make it missing{how_missing(values.iloc[bad])}")
    return found


def how_missing(word: Any) -> str:
    """How a word is taken for a missing value, as the end of a sentence; "" for what is not text.

    Example:
        >>> how_missing("not asked")
        ", read(…, missing_words=('not asked',)) or --missing-words 'not asked'"
    """
    if not isinstance(word, str):
        return ""
    return f", read(…, missing_words={(word.strip(),)!r}) or --missing-words {shlex.quote(word.strip())}"


def formatted_numbers(
    values: Series[Any], decimal_mark: str | None = None
) -> tuple[NumberFormat | None, np.ndarray, int | None]:
    """The format of most numbers in a column of text, these, and the first row that is neither one nor missing.

    Example:
        >>> import pandas
        >>> formatted_numbers(pandas.Series(["$1.50", "$2.25", "?", "free"]))[1:]
        (array([1.5 , 2.25,  nan,  nan]), 3)
    """
    import pandas

    codes, index = pandas.factorize(values)
    found = np.asarray(index, dtype=object)
    present = [v for v in found if isinstance(v, str) and not is_missing(v)]
    form = NumberFormat.of_most(present, decimal_mark)
    if form is None:
        return None, np.full(len(values), np.nan), None
    numbers = [form.number(v) if isinstance(v, str) else _number(v) for v in found]
    odd = [math.isnan(x) and not is_missing(v) for v, x in zip(found, numbers)]
    wrong = np.append(np.array(odd, bool), False)[codes]
    return form, np.append(np.array(numbers, np.float64), np.nan)[codes], int(wrong.argmax()) if wrong.any() else None


def begins_with_zero(value: Any) -> bool:
    """Whether a value is text of digits that is not a number, since the zeros it begins with would be lost.

    Example:
        >>> begins_with_zero("007"), begins_with_zero("70"), begins_with_zero("0")
        (True, False, False)
    """
    text = value.strip() if isinstance(value, str) else ""
    return len(text) > 1 and text[0] == "0" and text.isdigit()


def number_text(values: Series[Any]) -> tuple[np.ndarray, int | None]:
    """The numbers in a column of text or objects, and the first row that is neither a number nor missing.

    Text such as 007 is not a number: its zeros would be lost.

    Example:
        >>> import pandas
        >>> number_text(pandas.Series(["1.5", "?", "x"]))
        (array([1.5, nan, nan]), 2)
    """
    import pandas

    codes, found = pandas.factorize(values)
    words = [value.strip() if isinstance(value, str) else value for value in found]
    marked = np.array([is_missing(word) for word in words], bool)
    padded = [*map(begins_with_zero, words)]
    plain = pandas.Series([None if mark else word for word, mark in zip(words, marked)], dtype=object)
    try:
        numbers: np.ndarray = pandas.to_numeric(plain, errors="coerce").to_numpy(np.float64, na_value=np.nan)
    except OverflowError:  # of whole numbers with hundreds of digits
        numbers = np.array([_number(word) for word in plain], np.float64)
    wrong = np.append((np.isnan(numbers) & ~marked) | np.array(padded, bool), False)[codes]
    return np.append(numbers, np.nan)[codes], int(wrong.argmax()) if wrong.any() else None


def _number(word: Any) -> float:
    try:
        return float(word)
    except (TypeError, ValueError, OverflowError):
        return math.nan


def offset_of(text: str) -> str:
    """The offset from UTC at the end of a time in text; "" without one.

    Example:
        >>> offset_of("2024-03-01T12:00:00+02:00"), offset_of("2024-03-01")
        ('+02:00', '')
    """
    found = _OFFSET.search(text)
    return found[1] if found else ""


def parsed_dates(values: Series[Any], form: str) -> Series[Any]:
    """The dates in a column of text; NaT where one is missing or not of the format."""
    import pandas

    codes, texts = pandas.factorize(values)
    form = form.replace("%-", "%")  # zeros at the front may be lacking in all that is read
    zoned = form.endswith("Z")  # and a text with another offset is of another format
    words = [v if isinstance(v, str) and (v.endswith("Z") or not zoned) else None for v in texts]
    found: Any = pandas.to_datetime(words, format=form[:-1] + "%z" if zoned else form, errors="coerce", utc=zoned)
    found = found.tz_localize(None) if zoned else found
    return pandas.Series(np.append(found.to_numpy(), np.datetime64("NaT"))[codes])


def without_zeros(texts: Iterable[Any], form: str) -> str:
    """A format of dates, with `%-d` for `%d` where no day has a zero in front, and the like for other numbers.

    Of days and months one shows it of both, unless the other one has zeros.

    Example:
        >>> without_zeros(["1/6/1939", "12/11/1940"], "%d/%m/%Y"), without_zeros(["1/06/1939", "12/11/1940"], "%d/%m/%Y")
        ('%-d/%-m/%Y', '%-d/%m/%Y')
    """
    parts = re.split("(%.)", form)
    pattern = "".join(_FIELDS.get(p, r"[^\W_]+") if p.startswith("%") else re.escape(p) for p in parts)
    matches = (re.fullmatch(pattern, text.strip()) for text in texts if isinstance(text, str))
    columns = zip(*(match.groups() for match in matches if match is not None))
    found = dict(zip((part for part in parts if part in _FIELDS), map(set, columns)))
    zeros = {name for name, numbers in found.items() if any(len(n) == 2 and n[0] == "0" for n in numbers)}
    bare = {name for name, numbers in found.items() if any(len(n) == 1 for n in numbers)}
    bare |= {"%d", "%m"} if bare & {"%d", "%m"} else set()
    return "".join(part.replace("%", "%-") if part in bare - zeros else part for part in parts)


def formats_like(texts: Iterable[str], offset: str = "") -> list[str]:
    """The formats of dates with the punctuation that one of some texts has: none of the others can be parsed in any of these.

    Arguments:
        texts: The texts.
        offset: The offset from UTC that all of them end in.

    Example:
        >>> formats_like(["31/12/2024", "December"])
        ['%Y/%m/%d', '%d/%m/%Y', '%m/%d/%Y']
    """
    forms = [form + offset for form in FORMATS if "%H" in form] if offset else FORMATS
    marks = {_punctuation(text) for text in texts if any(c.isdigit() for c in text)}
    return [form for form in forms if _punctuation(_DIRECTIVE.sub("", form)) in marks]


def _punctuation(text: str) -> str:
    return "".join(c for c in text if not (c.isalnum() or c.isspace()))


def date_formats(values: Series[Any]) -> list[str]:
    """The formats in which all text of a column is a date, each of which gives other dates; days come before months.

    Example:
        >>> import pandas
        >>> date_formats(pandas.Series(["31/12/2024", "01/02/2024"])), date_formats(pandas.Series(["01/02/2024"]))
        (['%d/%m/%Y'], ['%d/%m/%Y', '%m/%d/%Y'])
    """
    texts = values.dropna().drop_duplicates()
    if not len(texts) or not any(c.isdigit() for c in str(texts.iloc[0])):
        return []
    first, found = texts.iloc[:: max(1, len(texts) // _FIRST)], dict[bytes, str]()
    offset = offset_of(str(texts.iloc[0]))  # the same in all of them, it is a part of the format
    for form in formats_like([str(texts.iloc[0])], offset):
        if any(parsed_dates(part, form).isna().any() for part in (first.iloc[:1], first)):
            continue
        dates = parsed_dates(texts, form)
        if not dates.isna().any():
            found.setdefault(dates.to_numpy().astype("M8[us]").tobytes(), form)
    return list(found.values())


def date_format(values: Series[Any]) -> str | None:
    """The one format in which all text of a column is a date; None if there is none, or if days and months could be swapped.

    Example:
        >>> import pandas
        >>> date_format(pandas.Series(["31/12/2024", "01/02/2024"])), date_format(pandas.Series(["01/02/2024"]))
        ('%d/%m/%Y', None)
    """
    found = date_formats(values)
    return found[0] if len(found) == 1 else None


def format_of_dates(values: np.ndarray) -> str | None:
    """As `date_format` of an array without gaps; None for other values than text, and without pandas.

    Example:
        >>> format_of_dates(np.array(["2024-03-01", "2024-03-02"])), format_of_dates(np.array(["sea", "air"]))
        ('%Y-%m-%d', None)
    """
    texts = {value for value in values.tolist() if isinstance(value, str)} if values.dtype.kind in "OU" else set()
    if not texts or not all(isinstance(value, str) for value in values):
        return None
    if not any(c.isdigit() for c in min(texts)) or importlib.util.find_spec("pandas") is None:
        return None
    import pandas

    return date_format(pandas.Series(sorted(texts), dtype=object))


def read_dates(values: np.ndarray, form: str) -> np.ndarray:
    """The dates in text of a format, in microseconds; NaT where a value is missing or is none.

    Example:
        >>> read_dates(np.array(["01.03.2024", "2024-03-01"], dtype=object), "%d.%m.%Y").astype("M8[D]").tolist()
        [datetime.date(2024, 3, 1), None]
    """
    import pandas

    return np.array(parsed_dates(pandas.Series(values, dtype=object), form).to_numpy(), "datetime64[us]")


def swapped_dates(values: Series[Any], forms: Sequence[str]) -> str:
    """What is to be said of dates that were read in the first of several formats; "" if there is only one.

    Example:
        >>> import pandas
        >>> swapped_dates(pandas.Series(["01/02/2024"]), ["%d/%m/%Y", "%m/%d/%Y"])
        "'01/02/2024' was read as 2024-02-01, by %d/%m/%Y, and all of them are dates by %m/%d/%Y, too"
    """
    if len(forms) < 2:
        return ""
    texts = values.dropna().drop_duplicates().reset_index(drop=True)
    first, second = (parsed_dates(texts, form) for form in forms[:2])
    odd = int((first != second).to_numpy().argmax())
    read = f"{texts.iloc[odd]!r} was read as {first.iloc[odd]:%Y-%m-%d}, by {forms[0]}"
    return f"{read}, and all of them are dates by {forms[1]}, too"
