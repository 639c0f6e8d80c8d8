"""Tables as text: .csv, .tsv, .txt, .dat, also compressed. No column is lost or shifted without a word."""

from __future__ import annotations

import codecs
import csv
import gzip
import io
import warnings
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np

from ...warned import warn_outside
from ..cache import Store
from ..columns.scientific import in_scientific_notation, scientific_form
from ..errors import DataError, one_line
from ..frames import Table, select
from ..optional import need
from ..schema import Schema
from ..text_form import MOST_DECIMALS, TextForm, ending_of
from .base import Selection
from .decimals import in_forms, with_numbers, written_forms
from .dialect import Dialect, is_data, opened
from .footers import say_footer
from .tables import TableFormat, copied_table, rows_at_once, table_of

__all__ = ["Csv"]

_WESTERN = "cp1252"  # which text is taken for that is not UTF-8, and names no other encoding
_SHOWN = 60  # characters of a line, in a message
_START = 1 << 16  # characters that show how lines end
_FIRST = 1000  # rows whose text is read to see how numbers are written
_LARGE = 2.0**53  # from which on numbers have no decimals


class Csv(TableFormat):
    """A table as text, with commas, semicolons, tabs, bars or blanks between its columns.

    Separator, encoding, decimal commas and comments are found from the first lines. A first line of numbers is data, not
    names. A first column without a name is left out if it numbers the rows, as pandas and R write it; empty columns at
    the end, made by trailing commas, are left out too. Other columns that have no name get one, with a warning.
    What is written has the form of the text that the table, or the data of its schema, were read from.
    """

    name, options = "CSV", ("columns", "missing_words")
    suffixes = (".csv", ".tsv", ".csv.gz", ".tsv.gz", ".txt", ".dat", ".tab", ".txt.gz", ".dat.gz")
    position = 2

    def read(self, path: Path, selection: Selection, store: Store) -> Any:
        pandas = need("pandas", "reading csv")
        try:
            return _formed(_read(path, selection, store, dialect := Dialect.of(path)), path, dialect)
        except UnicodeDecodeError:
            if not _decodes(path, _WESTERN):
                raise DataError(f"{path} is not text in UTF-8 nor in {_WESTERN}: save it as UTF-8") from None
            dialect = Dialect.of(path, _WESTERN)
            warnings.warn(f"{path} is not text in UTF-8: it was read as {_WESTERN}", stacklevel=3)
            return _formed(_read(path, selection, store, dialect), path, dialect)
        except pandas.errors.EmptyDataError:
            raise DataError(f"{path} holds no rows") from None

    def cannot_hold(self, schema: Schema) -> str | None:
        if any(isinstance(name, tuple) for name in schema.columns or ()):
            return "holds one line of names, and these columns have names of several levels"
        return super().cannot_hold(schema)

    def write(self, path: Path, batches: Iterable[Any], count: int, schema: Schema) -> None:
        packed = path.name.lower().endswith(".gz")
        with open(path, "wb") as raw, gzip.GzipFile("", "wb", fileobj=raw, mtime=0) if packed else raw as file:
            for i, batch in enumerate(batches):
                frame = table_of(batch)
                if i == 0:
                    form = (TextForm.of(frame) or schema.text_form or TextForm()).named(path.name)
                    text = _header(list(frame.columns), form) + _rows_as_text(frame, form)
                    encoder = codecs.getincrementalencoder(_holding(form.encoding, text))()
                else:
                    text = _rows_as_text(frame, form)
                file.write(encoder.encode(text))


def _rows_as_text(frame: Any, form: TextForm) -> str:
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


def _holding(encoding: str, text: str) -> str:
    """The encoding, or UTF-8 with a mark where that has not all letters of a text."""
    try:
        text.encode(encoding)
    except UnicodeEncodeError:
        return "utf-8-sig"
    return encoding


def _formed(table: Any, path: Path, dialect: Dialect) -> Any:
    """The table that was read, which knows how it was written."""
    encoding = dialect.encoding
    if encoding == "utf-8-sig":  # which reads text with the mark, and without
        with (gzip.open if path.suffix.lower() == ".gz" else open)(path, "rb") as file:
            encoding = encoding if file.read(3) == codecs.BOM_UTF8 else "utf-8"
    written = table.attrs.pop("written")
    ending, line_end = ending_of(path.name), _line_end(path, encoding)
    try:
        form = TextForm(dialect.separator, encoding=encoding, ending=ending, line_end=line_end, **written)
        attributes = form.attributes
    except DataError:  # text that is read, and is not written
        return table
    if isinstance(table, Table):
        return replace(table, attrs=attributes)
    table.attrs.update(attributes)
    return table


def _line_end(path: Path, encoding: str) -> str:
    """What ends most lines at the beginning of a file."""
    with opened(path, encoding) as file:
        start = file.read(_START)
    return "\r\n" if 2 * start.count("\r\n") > start.count("\n") else "\n"


def _read(path: Path, selection: Selection, store: Store, dialect: Dialect) -> Any:
    """The table in a file of this dialect, in memory or through its copy."""
    import pandas

    dialect = replace(dialect, missing_words=selection.missing_words or ())
    dialect.header.checked(path, dialect.missing_words)
    columns = _Columns.of(path, dialect)
    _say_comments(path, dialect)
    try:
        if store.holds(path.stat().st_size):
            with _rows(path, dialect) as file:
                kinds = columns.kinds()
                frame = pandas.read_csv(file, names=columns.names, dtype=kinds, low_memory=False, **dialect.options)
            (frame,) = columns.parts([frame], selection)
            frame, forms, doubtful = with_numbers(frame, columns.text, dialect.separator)
            _say_doubts(path, {n: each for n, each in doubtful.items() if n in (selection.columns or doubtful)})
            frame = columns.whole(columns.padded(frame))
            say_footer(frame, path)
            frame = select(frame, selection.columns)
            return columns.formed(frame, forms)
        with _rows(path, dialect) as file:
            size = rows_at_once(len(columns.names))
            forms, doubtful = written_forms(columns.text(None, _FIRST), dialect.separator)
            _say_doubts(path, doubtful)
            as_text = dict.fromkeys(forms, str)
            with pandas.read_csv(file, chunksize=size, names=columns.names, dtype=as_text, **dialect.options) as parts:
                numbers = (in_forms(part, forms) for part in columns.parts(parts, selection))
                copied = copied_table(store, selection.columns, numbers, selection.missing_words)
            return columns.formed(copied, forms)
    except pandas.errors.ParserError as error:
        raise DataError(f"{path} is not a table ({one_line(error)}): repair that line") from None


@contextmanager
def _rows(path: Path, dialect: Dialect) -> Any:
    """A file, read up to its first row of data."""
    with opened(path, dialect.encoding) as file:
        yield dialect.rows_of(file)


def _say_comments(path: Path, dialect: Dialect) -> None:
    count, first = dialect.left_out
    if count:
        lines = "one line" if count == 1 else f"{count:,} lines"
        shown = first if len(first) < _SHOWN else f"{first[:_SHOWN]}…"
        warnings.warn(
            f"{lines} of {path} left out as {'comments' if count > 1 else 'a comment'}: {shown!r}", stacklevel=5
        )


def _say_doubts(path: Path, doubtful: Mapping[Any, tuple[str, str]]) -> None:
    """Says which columns hold numbers that could be a thousand times as large."""
    if doubtful:
        listed = ", ".join(map(repr, [*doubtful][:5])) + (f" and {len(doubtful) - 5} more" if len(doubtful) > 5 else "")
        text, mark = next(iter(doubtful.values()))
        what = f"the digits in {listed} of {path} could be grouped by thousands"
        read = {".": "a decimal point", ",": "a decimal comma"}[mark] if mark in text else "grouped digits"
        warnings.warn(f"{what}, and no other column says so: {text!r} was read with {read}", stacklevel=5)


def _decodes(path: Path, encoding: str) -> bool:
    try:
        with opened(path, encoding) as file:
            return all(True for _ in file)
    except UnicodeDecodeError:
        return False


@dataclass(frozen=True)
class _Columns:
    """The columns of a file of text.

    Arguments:
        path: The file.
        dialect: How it is written.
        names: A name for each field of a row.
        given: How many names the first line has; None if it holds data.
        unnamed: The places of the columns to which it gives none.
        labels: Whether the first line has no name for the first column alone, which labels the rows, as R writes it.
    """

    path: Path
    dialect: Dialect
    names: list[Any]
    given: int | None
    unnamed: tuple[int, ...]
    labels: bool = False

    @classmethod
    def of(cls, path: Path, dialect: Dialect) -> _Columns:
        width, given = dialect.width, [name.strip() for name in dialect.head]
        if not dialect.named:
            return cls(path, dialect, list(range(width)), None, ())
        rows = [row for row in dialect.rows if len(row) == width]
        filled = any(row[-1].strip() for row in rows)  # else a comma at the end of each row
        labels = len(given) == width - 1 and filled and _label_rows([row[0] for row in rows])
        names = ["", *given] if labels else [*given, *[""] * (width - len(given))]
        twice = sorted({name for name in names if name and names.count(name) > 1})
        if twice:
            raise DataError(f"{path} has several columns named {', '.join(map(repr, twice[:5]))}: rename them")
        unnamed = tuple(i for i, name in enumerate(names) if not name)
        taken = [
            name or _free_name("row_names" if i == 0 else f"column_{i + 1}", names) for i, name in enumerate(names)
        ]
        return cls(path, dialect, taken, len(given), unnamed, labels)

    def parts(self, frames: Iterable[Any], selection: Selection) -> Iterator[Any]:
        """Tables, all with the same columns: without row numbers, and without empty columns at the end.

        Raises:
            ValueError: If there are no rows, or a later part has values in a column that was empty in the first one.
        """
        kept: list[int] | None = None
        for frame in frames:
            if type(frame.index).__name__ != "RangeIndex":
                raise DataError(
                    f"{self.path} has rows with more fields than names: name every column in the first line"
                )
            if kept is None:
                kept = self._kept(frame.reset_index(drop=True))
                self._warn(kept, selection)
            empty = [i for i in range(1, len(self.names)) if i not in kept]
            filled = [i for i in empty if frame.iloc[:, i].notna().any()]
            if filled:
                raise DataError(f"column {filled[0] + 1} of {self.path} has no name: name it in the first line")
            yield frame.iloc[:, kept]
        if kept is None:
            raise DataError(f"{self.path} holds no rows, only the names of columns")

    def _kept(self, frame: Any) -> list[int]:
        """The places of the columns that hold data."""
        if not len(frame):
            raise DataError(f"{self.path} holds no rows, only the names of columns")
        kept = list(range(len(self.names)))
        while (
            len(kept) > 1 and (kept[-1] in self.unnamed or self.given is None) and frame.iloc[:, kept[-1]].isna().all()
        ):
            kept.pop()
        first = frame.iloc[:, 0]
        numbered = 0 in self.unnamed and first.dtype.kind in "iu" and first.is_unique
        return kept[1:] if numbered and len(kept) > 1 else kept

    def _warn(self, kept: Sequence[int], selection: Selection) -> None:
        """Says which lines are left out, and which columns got a name."""
        if (count := self.dialect.preamble) and selection.columns is None:
            lines = "line is" if count == 1 else f"{count:,} lines are"
            warn_outside(f"the first {lines} not part of the table in {self.path}: text above it")
        if self.dialect.header.rows > 1 and selection.columns is None:
            self.dialect.header.say(self.path)
        named = [self.names[i] for i in self.unnamed if i in kept and not (i == 0 and self.labels)]
        if named and selection.columns is None:
            listed = ", ".join(map(str, named[:5])) + (f" and {len(named) - 5} more" if len(named) > 5 else "")
            what = f"the first line of {self.path} has {self.given} names for {len(self.names)} columns"
            warnings.warn(f"{what}: those without one are called {listed}", stacklevel=3)

    def kinds(self) -> dict[Any, Any]:
        """Columns that are read as text, since their numbers begin with zeros that would be lost, as in 01234."""
        text = self.text(None, _FIRST)
        return {name: str for name in text if _has_zeros(text[name])}

    def padded(self, frame: Any) -> Any:
        """The table, whose columns stay text if numbers below the first rows begin with zeros."""
        whole = [
            name for name in frame.columns if frame[name].dtype.kind in "iuf" and (frame[name].dropna() % 1 == 0).all()
        ]
        if len(frame) <= _FIRST or not whole or not self.dialect.may_hold_zeros(self.path):
            return frame
        text = self.text(whole, None)
        for name in whole:
            if _has_zeros(text[name]):
                frame[name] = text[name]
        return frame

    def whole(self, frame: Any) -> Any:
        """The table, whose integers stay integers where some are missing."""
        gaps = [
            n for n in frame.columns if frame[n].dtype == "float64" and frame[n].isna().any() and frame[n].notna().any()
        ]
        gaps = [name for name in gaps if (frame[name].dropna() % 1 == 0).all() and frame[name].abs().max() < 2**53]
        text = self.text(None, _FIRST) if gaps else {}
        plain = [name for name in gaps if text[name].str.fullmatch(r"\s*[+-]?\d+\s*", na=True).all()]
        return frame.astype(dict.fromkeys(plain, "Int64")) if plain else frame

    def bools(self, table: Any) -> tuple[tuple[str, str, str], ...]:
        """The words for false and true in columns of bools that have others than False and True, for `TextForm`."""
        kinds = zip(table.columns, table.dtypes)
        names = [n for n, kind in kinds if str(kind) == "bool" or (str(kind) == "object" and _holds_bools(table[n]))]
        words = self.text(names, _FIRST) if names else {}
        found = list[tuple[str, str, str]]()
        for name in names:
            texts = words[name] if words[name].notna().any() else self.text([name], None)[name]
            usual = {word.strip().lower(): word.strip() for word in texts.value_counts().index[::-1]}
            one = next(iter(usual.values()), "True")
            style = next((style for style in (str.upper, str.lower) if style(one) == one), str.title)
            found.append((str(name), *(usual.get(word, style(word)) for word in ("false", "true"))))
        return tuple(each for each in found if each[1:] != ("False", "True"))

    def decimals(self, table: Any) -> tuple[tuple[str, int], ...]:
        """How many decimals the numbers of columns have that all have as many, for `TextForm`: by the first rows."""
        names = self._floats(table)
        found, texts = list[tuple[str, int]](), self.text(None, _FIRST) if names else {}
        for name in names:
            counts = texts[name].dropna().str.strip().str.extract(r"^[+-]?\d*[.,](\d+)$")[0].str.len().unique()
            if len(counts) == 1 and counts[0] <= MOST_DECIMALS:  # one that does not match has no number
                found.append((str(name), int(counts[0])))
        return tuple(found)

    def formed(self, table: Any, forms: Mapping[Any, str]) -> Any:
        """The table, which knows what `TextForm` says of its columns.

        Arguments:
            table: A table, or a copy of a large one.
            forms: The decimal marks of columns that are not plain numbers with points.
        """
        marks = self.marks(table, forms)
        counts = Counter(marks.values())
        usual = table.attrs.get("decimal_mark") or "."
        usual = max(".,", key=counts.__getitem__) if counts else usual
        odd = tuple((name, mark) for name, mark in marks.items() if mark != usual)
        written = {"decimal": usual, "marks": odd, "bools": self.bools(table), "decimals": self.decimals(table)}
        written["scientific"] = self.scientific(table)
        attributes = {**table.attrs, "written": written}
        if isinstance(table, Table):
            return replace(table, attrs=attributes)
        table.attrs = attributes
        return table

    def marks(self, table: Any, forms: Mapping[Any, str]) -> dict[str, str]:
        """The decimal marks of columns of numbers that have one."""
        names = self._floats(table)
        texts = self.text(None, _FIRST) if names else {}
        found = {str(name): forms[name] for name in names if name in forms}
        plain = [name for name in names if name not in forms and texts[name].str.contains(".", regex=False).any()]
        return found | dict.fromkeys(map(str, plain), ".")

    @staticmethod
    def _floats(table: Any) -> list[Any]:
        """The names of the columns that were read as floating-point numbers."""
        return [n for n, kind in zip(table.columns, table.dtypes) if str(kind) in ("float64", "float32")]

    def scientific(self, table: Any) -> tuple[tuple[str, str], ...]:
        """The forms of columns of numbers that are all in scientific notation, for `TextForm`."""
        names, forms = self._floats(table), dict[Any, str]()
        for rows in (_FIRST, None):
            texts = self.text(None, rows) if names else {}
            found = {name: scientific_form(texts[name].dropna().str.strip().drop_duplicates()) for name in names}
            forms = {name: form for name, form in found.items() if form is not None}
            names = list(forms)
        return tuple((str(name), form) for name, form in forms.items())

    def text(self, names: Sequence[Any] | None, rows: int | None) -> Any:
        """Columns, all if None, as text: so many rows of them, or all."""
        import pandas

        with _rows(self.path, self.dialect) as file:
            options = self.dialect.options
            return pandas.read_csv(file, names=self.names, dtype=str, usecols=names, nrows=rows, **options)


def _holds_bools(values: Any) -> bool:
    """Whether a column of objects holds bools and nothing else, where a value is there."""
    present = values.dropna()
    return len(present) > 0 and all(isinstance(value, bool | np.bool_) for value in present.unique())


def _has_zeros(text: Any) -> bool:
    """Whether a column holds digits alone, of which some begin with zeros."""
    return bool(text.str.fullmatch(r"0\d+", na=False).any() and text.str.fullmatch(r"\d+", na=True).all())


def _label_rows(fields: list[str]) -> bool:
    """Whether fields are labels of rows: words or counters, each another one."""
    if len(set(fields)) < len(fields) or not fields:
        return False
    words = not any(f.strip().replace(".", "", 1).lstrip("+-").isdigit() for f in fields)
    return words or [f.strip() for f in fields] in ([str(i + k) for i in range(len(fields))] for k in (0, 1))


def _free_name(name: str, taken: list[str]) -> str:
    while name in taken:
        name += "_"
    return name


def _header(names: list[Any], form: TextForm) -> str:
    """The first line; none for columns that are only numbered, and quotes where names would be taken for numbers."""
    if names == list(range(len(names))):
        return ""
    text = io.StringIO()
    quoting: Literal[0, 1] = csv.QUOTE_ALL if is_data([str(n) for n in names]) else csv.QUOTE_MINIMAL
    csv.writer(text, delimiter=form.separator, lineterminator=form.line_end, quoting=quoting).writerow(names)
    return text.getvalue()
