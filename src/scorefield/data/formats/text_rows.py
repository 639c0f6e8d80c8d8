"""Tables as text: names and rows, in the form of a text that was read."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from typing import Any, Literal

import numpy as np

from ..columns.scientific import in_scientific_notation
from ..text_form import TextForm
from .dialect import is_data

__all__ = ["cells_as_text", "header_text", "rows_as_text"]

_LARGE = 2.0**53  # from which on numbers have no decimals


def cells_as_text(frame: Any, form: TextForm) -> Any:
    """A table whose cells are text, as they are written."""
    import pandas

    text = io.StringIO(rows_as_text(frame, form))
    cells = pandas.read_csv(
        text, sep=form.separator, header=None, dtype=str, keep_default_na=False, na_values=[], skip_blank_lines=False
    )
    return cells.set_axis(frame.columns, axis=1).set_axis(frame.index, axis=0)


def rows_as_text(frame: Any, form: TextForm) -> str:
    """The rows of a table; missing values are words where blanks separate columns."""
    names = [*map(str, frame.columns)]
    frame = frame.set_axis(range(len(names)), axis=1)  # since several may have the same name
    if form.decimal != ".":  # pandas gives it to columns of floats, not to categories
        coded = {n: frame[n].cat.categories.dtype for n in frame.columns if str(frame[n].dtype) == "category"}
        floats = {n: dtype for n, dtype in coded.items() if dtype.kind == "f"}
        frame = frame.astype(floats) if floats else frame
    frame = _with_decimals(_with_words(frame, names, form), names, form)
    missing = "NA" if form.separator == " " else ""
    rows: str = frame.to_csv(
        index=False,
        header=False,
        sep=form.separator,
        decimal=form.decimal,
        na_rep=missing,
        lineterminator=form.line_end,
    )
    return rows


def _with_words(frame: Any, names: Sequence[str], form: TextForm) -> Any:
    """A table of numbered columns, with their names, whose bools are the words of a form where it has some."""
    spelled = {each[0] for each in form.bools}
    for i, name in enumerate(names):
        if name in spelled:
            bools = [isinstance(value, bool | np.bool_) for value in frame[i]]
            frame[i] = frame[i].astype(object).where(~np.array(bools, bool), frame[i].map(form.words(name)))
    return frame


def _with_decimals(frame: Any, names: Sequence[str], form: TextForm) -> Any:
    """The same, whose floats are written as a form says of their columns: decimals, of which those that need more keep all."""
    decimals, marks, powers = dict(form.decimals), dict(form.marks), dict(form.scientific)
    for i, name in enumerate(names):
        if str(frame[i].dtype) != "float64" or not (name in decimals or name in marks or name in powers):
            continue
        values, digits, notation = frame[i].to_numpy(np.float64), decimals.get(name, 0), powers.get(name)
        exact = np.isfinite(values) & (np.abs(values) < _LARGE) & (digits > 0)
        exact[exact] = np.round(values[exact], digits) == values[exact]
        texts = [f"{value:.{digits}f}" if fits else str(value) for value, fits in zip(values.tolist(), exact)]
        if notation is not None:
            finite = zip(values.tolist(), np.isfinite(values), texts)
            texts = [in_scientific_notation(x, notation, exact=True) if there else text for x, there, text in finite]
        marked = np.array([text.replace(".", marks.get(name, form.decimal)) for text in texts], dtype=object)
        marked[np.isnan(values)] = None
        frame[i] = marked
    return frame


def header_text(names: list[Any], form: TextForm) -> str:
    """The first line; none for columns that are only numbered, and quotes where names would be taken for numbers."""
    if names == list(range(len(names))):
        return ""
    text = io.StringIO()
    quoting: Literal[0, 1] = csv.QUOTE_ALL if is_data([str(n) for n in names]) else csv.QUOTE_MINIMAL
    csv.writer(text, delimiter=form.separator, lineterminator=form.line_end, quoting=quoting).writerow(names)
    return text.getvalue()
