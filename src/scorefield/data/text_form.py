"""How a table was written as text, so that samples are written as it was: a value that travels with tables and schemas."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from typing import Any

from .columns.scientific import is_scientific_form, scientific_digits
from .errors import DataError

__all__ = ["MOST_DECIMALS", "TextForm", "ending_of"]

MOST_DECIMALS = 9  # that are kept
_KEY = "scorefield.text_form"  # among the attributes of a table
_ALLOWED = {
    "separator": (",", ";", "\t", "|", " "),
    "decimal": (".", ","),
    "encoding": ("utf-8", "utf-8-sig", "utf-16", "cp1252"),
    "ending": (".csv", ".tsv", ".txt"),
    "line_end": ("\n", "\r\n"),
}
_ENDINGS = {".csv": ".csv", ".tsv": ".tsv", ".tab": ".tsv"}


def ending_of(name: str) -> str:
    """What kind of text the name of a file says: ".csv", ".tsv", or ".txt" for all else.

    Example:
        >>> ending_of("a.csv.gz"), ending_of("b.TAB"), ending_of("c.dat")
        ('.csv', '.tsv', '.txt')
    """
    bare = name.lower().removesuffix(".gz")
    return next((kind for ending, kind in _ENDINGS.items() if bare.endswith(ending)), ".txt")


@dataclass(frozen=True)
class TextForm:
    """How a table is written as text.

    Digits are not grouped, whatever the text had. Numbers have no more of them than they need, but in columns all of whose
    numbers had as many decimals, as prices have: these keep them.

    Arguments:
        separator: What stands between fields.
        decimal: The decimal mark.
        encoding: The encoding, "utf-8-sig" where a mark at the beginning names it.
        ending: The kind of the file, by its name: `ending_of`.
        line_end: What ends a line.
        bools: The words for false and for true in columns of bools that have others than False and True: the names of the
            columns, as text, each with its two words.
        decimals: How many decimals all numbers of a column have: the names of the columns, as text, each with its number.
        marks: The columns that have another decimal mark: their names, as text, each with its mark.
        scientific: The columns of numbers in scientific notation: their names, as text, each with its form, such as `0.00e+00`.

    Raises:
        ValueError: If one of them is unknown.

    Example:
        >>> TextForm(";", ",").named("new.csv").separator, TextForm(";", ",").named("new.tsv").separator
        (';', '\\t')
    """

    separator: str = ","
    decimal: str = "."
    encoding: str = "utf-8"
    ending: str = ".csv"
    line_end: str = "\n"
    bools: tuple[tuple[str, str, str], ...] = ()
    decimals: tuple[tuple[str, int], ...] = ()
    marks: tuple[tuple[str, str], ...] = ()
    scientific: tuple[tuple[str, str], ...] = ()

    def __post_init__(self) -> None:
        for name, allowed in _ALLOWED.items():
            if getattr(self, name) not in allowed:
                raise DataError(f"the {name} of a text is one of {allowed}, got {getattr(self, name)!r}")
        object.__setattr__(self, "bools", tuple(map(tuple, self.bools)))  # which are lists in attributes of a file
        for each in self.bools:
            if len(each) != 3 or not all(isinstance(word, str) for word in each):
                raise DataError(f"the words for bools are those of a column, for false and for true, got {each!r}")

        object.__setattr__(self, "decimals", tuple(map(tuple, self.decimals)))
        for pair in self.decimals:
            if len(pair) != 2 or type(pair[1]) is not int or not 1 <= pair[1] <= MOST_DECIMALS:
                raise DataError(f"decimals are those of a column, from 1 to {MOST_DECIMALS}, got {pair!r}")
        object.__setattr__(self, "marks", tuple(map(tuple, self.marks)))
        for mark in self.marks:
            if len(mark) != 2 or mark[1] not in _ALLOWED["decimal"]:
                raise DataError(f"marks are those of a column, one of {_ALLOWED['decimal']}, got {mark!r}")
        object.__setattr__(self, "scientific", tuple(map(tuple, self.scientific)))
        for notation in self.scientific:
            if len(notation) != 2 or not is_scientific_form(notation[1]):
                raise DataError(f"scientific notation is that of a column, such as '0.00e+00', got {notation!r}")

    @classmethod
    def of(cls, table: Any) -> TextForm | None:
        """The form of the text that a table was read from; None where that is not known."""
        attributes = getattr(table, "attrs", None)
        found = attributes.get(_KEY) if isinstance(attributes, dict) else None
        if not isinstance(found, dict):
            return None
        try:
            return cls(**found)
        except (TypeError, DataError):  # attributes also come from files of others
            return None

    def rounded(self, frame: Any) -> Any:
        """A table of samples, whose numbers in scientific notation have no more digits than those of the data."""
        names = {str(name): name for name in frame.columns if str(frame[name].dtype) == "float64"}
        known = [(names[name], scientific_digits(form)) for name, form in self.scientific if name in names]
        frame = frame.copy(deep=False) if known else frame
        for name, digits in known:
            frame[name] = [float(f"{value:.{digits}e}") for value in frame[name]]
        return frame

    def words(self, name: Any) -> dict[bool, str]:
        """The words for false and true in a column, by its name."""
        found = next((each[1:] for each in self.bools if each[0] == str(name)), ("False", "True"))
        return {False: found[0], True: found[1]}

    @property
    def attributes(self) -> dict[str, Any]:
        """The attributes of a table that has this form."""
        return {_KEY: asdict(self)}

    def named(self, name: str) -> TextForm:
        """The form of a file with another name, which may say what separates columns."""
        ending = ending_of(name)
        if ending == self.ending:
            return self
        comma = ";" if "," in (self.decimal, *(mark for _, mark in self.marks)) else ","
        return replace(self, separator=comma if ending == ".csv" else "\t", ending=ending)
