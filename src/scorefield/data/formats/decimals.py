"""Numbers with decimal commas and grouped digits in tables of text: one decimal mark for the whole file."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ..columns.number_marks import FORMS, MARKS, decimal_marks, possible_marks

if TYPE_CHECKING:
    from pandas import DataFrame, Series

__all__ = ["in_forms", "with_numbers", "written_forms"]

_HEAD = 1000  # rows whose text mostly shows whether digits are grouped
_LEVELS = 10  # texts of a column, with fewer of which commas in quotes say nothing
_PLAIN = re.compile(r"[+-]?([0-9.,]+)(?:e[+-]?[0-9]+)?", re.I)
_WHOLE = re.compile(r"[+-]?\d+")
_PADDED = re.compile(r"[+-]?0\d")

Doubtful = dict[Any, tuple[str, str]]
TextOf = Callable[[Sequence[Any] | None, int | None], Any]


def with_numbers(frame: DataFrame, text: TextOf, separator: str) -> tuple[DataFrame, dict[Any, str], Doubtful]:
    """A table in which numbers with decimal commas and grouped digits are numbers.

    Where other columns show that the comma is the decimal mark, 1.052 is a thousand and fifty-two; and the like for 1,052.

    Arguments:
        frame: The table, with points read as decimal points, and all else left as text.
        text: Columns as text: which ones, and so many rows of them.
        separator: What stands between fields; where it is a comma, numbers with decimal commas stay text.

    Returns:
        The table, with its decimal mark in `attrs`; the decimal marks of those columns that are not plain numbers with points;
        and the columns whose digits could be grouped or not, as nothing in the file decides it, with one of their numbers and
        the decimal mark that was taken.
    """
    texts = {name: frame[name] for name in frame.columns if _is_text(frame[name])}
    marks, others = _marks(texts, separator)
    open_ones = [name for name in frame.columns if frame[name].dtype.kind == "f" and _may_be_grouped(frame[name])]
    if any(frame[n].dtype.kind == "f" and n not in open_ones and (frame[n] % 1 > 0).any() for n in frame.columns):
        marks.add(".")
    for rows in (_HEAD, None):
        if not open_ones or (marks or others) == {"."}:
            break
        found = text(open_ones, rows)
        bare = {name: _bare(_distinct(found[name])) for name in open_ones}
        pointed = [name for name in open_ones if possible_marks(bare[name]) == "."]
        marks |= {"."} if pointed else set()
        open_ones = [name for name in open_ones if name not in pointed]
        if "," not in (marks or others):  # integers with gaps are floats, too
            fractions = [name for name in open_ones if (frame[name] % 1 > 0).any()]
            open_ones = [name for name in open_ones if name in fractions or any("." in each for each in bare[name])]
    marks = marks or others
    texts |= {name: found[name] for name in open_ones if marks != {"."}}
    forms, doubtful = _forms(texts, separator, marks)
    changed = in_forms(frame, forms, texts) if forms else frame
    changed.attrs["decimal_mark"] = "".join(marks) if len(marks) == 1 else None
    return changed, forms, doubtful


def written_forms(texts: DataFrame, separator: str) -> tuple[dict[Any, str], Doubtful]:
    """The columns that must be read as text, with the decimal mark of each, by their first rows; and those in doubt.

    Arguments:
        texts: The first rows as text.
        separator: What stands between fields.
    """
    columns = {name: texts[name] for name in texts.columns}
    whole, others = _marks(columns, separator)
    marks = whole or others
    forms, doubtful = _forms(columns, separator, marks)
    if marks == {","}:  # later rows may have what the first ones have not
        open_ones = (name for name in columns if len(possible_marks(_bare(_distinct(columns[name])))) == 2)
        forms |= dict.fromkeys(open_ones, ",")
    return forms, doubtful


def in_forms(frame: DataFrame, forms: Mapping[Any, str], texts: Mapping[Any, Series[Any]] | None = None) -> DataFrame:
    """A table, of which columns of text become numbers with these decimal marks; those that hold other things stay text.

    Arguments:
        frame: The table.
        forms: The decimal marks by columns.
        texts: These columns as text; None where they are text in the table.
    """
    changed = frame.copy(deep=False)
    for name, mark in forms.items():
        if name in frame.columns:
            changed[name] = _numbers(frame[name] if texts is None else texts[name], mark)
    return changed


def _marks(texts: Mapping[Any, Series[Any]], separator: str) -> tuple[set[str], set[str]]:
    """The decimal marks of columns of numbers in text, and of those that hold other things, too, such as <0.5.

    Where commas separate fields, those in few texts are answers such as 1,2.
    """
    found = (_distinct(values) for values in texts.values())
    return decimal_marks(each for each in found if separator != "," or len(each) > _LEVELS)


def _forms(texts: Mapping[Any, Series[Any]], separator: str, marks: set[str]) -> tuple[dict[Any, str], Doubtful]:
    """The decimal marks of columns that are not plain numbers; and those where nothing decides it, with a number and it."""
    forms, doubtful = dict[Any, str](), Doubtful()
    for name, values in texts.items():
        present = _distinct(values)
        if not all(map(_PLAIN.fullmatch, present)):
            continue
        bare = _bare(present)
        possible = possible_marks(bare)
        marked = next((text for text, each in zip(present, bare) if "." in each or "," in each), None)
        if not possible or marked is None or any(map(_PADDED.match, present)):
            continue
        mark = possible
        if len(possible) == 2:
            usual = "," if "," in marked and separator != "," else "."
            mark = "".join(marks) if len(marks) == 1 else usual
            doubtful |= {name: (marked, mark)} if len(marks) != 1 else {}
        comma = any("," in each for each in bare)
        if (comma and (mark == "." or separator != ",")) or (mark == "," and not comma):
            forms[name] = mark
    return forms, doubtful


def _is_text(values: Series[Any]) -> bool:
    return values.dtype == object or str(values.dtype) in ("str", "string")


def _distinct(values: Series[Any]) -> list[str]:
    """The different texts of a column, without words for missing values."""
    texts = (text.strip() for text in values.dropna().drop_duplicates().to_numpy(object) if isinstance(text, str))
    return [text for text in texts if text not in MARKS]


def _bare(texts: Iterable[str]) -> list[str]:
    """Numbers without their sign and their power of ten; "" for what is not a plain number."""
    found = (_PLAIN.fullmatch(text) for text in texts)
    return [each[1] if each else "" for each in found]


def _may_be_grouped(values: Series[Any]) -> bool:
    """Whether all numbers are whole or thousandths of the form 1.234."""
    x = values.dropna().to_numpy(np.float64)
    x = np.abs(x[x % 1 != 0])
    thousandths = np.rint(x * 1000)
    return bool(((x > 1) & (x < 1000) & (np.abs(x * 1000 - thousandths) < 1e-6)).all())


def _numbers(values: Series[Any], mark: str) -> Any:
    """A column of text as numbers, integers where all are; as it is if it holds other things."""
    import pandas

    codes, texts = pandas.factorize(values.str.strip())
    marked = np.array([text in MARKS for text in texts], bool)
    bare = [
        "0" if gap else text.replace("." if mark == "," else ",", "").replace(mark, ".")
        for text, gap in zip(texts, marked)
    ]
    if not all(gap or any(map(FORMS[mark].fullmatch, _bare([text]))) for text, gap in zip(texts, marked)):
        return values
    lost = np.append(marked, True)[codes]
    if all(map(_WHOLE.fullmatch, bare)) and max((len(each) for each in bare), default=0) < 19:
        whole = np.append(np.array([int(each) for each in bare], np.int64), 0)[codes]
        return pandas.array(np.ma.masked_array(whole, lost).tolist(), "Int64") if lost.any() else whole
    numbers = np.append(np.where(marked, np.nan, np.array([float(each) for each in bare])), np.nan)[codes]
    return np.where(lost, np.nan, numbers)
