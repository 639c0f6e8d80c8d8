"""How a table was written as text, so that samples are written as it was: a value that travels with tables and schemas."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from typing import Any

from .errors import DataError

__all__ = ["TextForm", "ending_of"]

_KEY = "scorefield.text_form"  # among the attributes of a table
_ALLOWED = {
    "separator": (",", ";", "\t", "|", " "),
    "decimal": (".", ","),
    "encoding": ("utf-8", "utf-8-sig", "utf-16", "cp1252"),
    "ending": (".csv", ".tsv", ".txt"),
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

    Digits are not grouped, and numbers have no more of them than they need, whatever the text had.

    Arguments:
        separator: What stands between fields.
        decimal: The decimal point.
        encoding: The encoding, "utf-8-sig" where a mark at the beginning names it.
        ending: The kind of the file, by its name: `ending_of`.

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

    def __post_init__(self) -> None:
        for name, allowed in _ALLOWED.items():
            if getattr(self, name) not in allowed:
                raise DataError(f"the {name} of a text is one of {allowed}, got {getattr(self, name)!r}")

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

    @property
    def attributes(self) -> dict[str, Any]:
        """The attributes of a table that has this form."""
        return {_KEY: asdict(self)}

    def named(self, name: str) -> TextForm:
        """The form of a file with another name, which may say what separates columns."""
        ending = ending_of(name)
        if ending == self.ending:
            return self
        comma = ";" if self.decimal == "," else ","
        return replace(self, separator=comma if ending == ".csv" else "\t", ending=ending)
