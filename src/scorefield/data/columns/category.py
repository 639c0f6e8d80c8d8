"""Columns of categories: one of a few levels in every row."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ...calls import plain_value
from ..errors import DataError
from .base import Column, shown
from .number import missing_share
from .number_marks import is_missing

if TYPE_CHECKING:
    from pandas import Series

__all__ = ["Category", "Level"]

Level = str | int | float | bool

_PAIRS = (
    ("true", "false"),
    ("yes", "no"),
    ("on", "off"),
    ("wahr", "falsch"),
    ("ja", "nein"),
    ("vrai", "faux"),
    ("oui", "non"),
    ("vero", "falso"),
    ("verdadero", "falso"),
    ("verdadeiro", "falso"),
    ("sí", "no"),
    ("sì", "no"),
    ("si", "no"),
    ("sim", "não"),
    ("waar", "onwaar"),
    ("ja", "nee"),
    ("ja", "nej"),
)  # words for true and false


@dataclass(frozen=True)
class Category(Column):
    """A column of categories, whose codes are the places of its levels.

    Arguments:
        name: Its name.
        dtype: The type that samples get, as pandas names it.
        missing: Whether values miss.
        reason: What it was taken for, and why, in words.
        levels: The levels that occur, in their order.
        ordered: Whether their order means something.
        declared: All levels of a categorical type, those among them that never occur; empty for other types.
        level_dtype: The type of the levels of a categorical type.

    Example:
        >>> import pandas
        >>> column = Category("mode", "object", levels=("rail", "road"))
        >>> column.encode(pandas.Series(["road", "rail", None]))
        array([ 1.,  0., nan])
        >>> column.decode(np.array([0.0, 1.0])).tolist()
        ['rail', 'road']
    """

    levels: tuple[Level, ...] = ()
    ordered: bool = False
    declared: tuple[Level, ...] = ()
    level_dtype: str = "object"

    @property
    def kind(self) -> str:  # type: ignore[override]
        """A category, or a boolean, which is one of the levels false and true."""
        return (
            "boolean"
            if self.levels == (False, True) and all(v is False or v is True for v in self.levels)
            else "category"
        )

    @classmethod
    def of(cls, values: Series[Any], name: Any) -> Category:
        """The column of such values, with its reason."""
        dtype = values.dtype
        lost = int(values.isna().sum())
        facts: dict[str, Any] = {}
        texts = False
        if str(dtype) == "category":
            kept = values.cat.remove_unused_categories().cat
            facts = {"ordered": bool(kept.ordered), **_declared(values)}
            levels = _plain(kept.categories)
            texts = any(type(a) is not type(b) for a, b in zip(levels, kept.categories.tolist()))
        else:
            levels = _ordered(_plain(values.dropna().unique()))
        what = "boolean" if levels and all(isinstance(v, bool) for v in levels) else "category"
        words = f"{what} of {len(levels)} levels" + (", ordered" if facts.get("ordered") else "")
        words += f", {type(kept.categories[0]).__name__}s that become text" if texts else ""
        return cls(name, str(dtype), lost > 0, words + missing_share(lost, len(values)), levels, **facts)

    @property
    def size(self) -> int:
        return len(self.levels)

    @property
    def whole(self) -> bool:
        return True

    @property
    def limits(self) -> tuple[float | None, float | None]:
        return 0.0, float(max(0, self.size - 1))

    @property
    def takes(self) -> str:
        """Its levels, in words."""
        return f"the levels {', '.join(map(repr, self.levels[:8]))}" + ", …" * (self.size > 8)

    def meant(self, value: Any) -> Any:
        if isinstance(value, str):
            return self._of_text(value)
        if not isinstance(value, bool | np.bool_) or self.size != 2:
            return value
        words = {str(level).strip().casefold(): level for level in self.levels}
        pairs = [pair for pair in _PAIRS if words.keys() == set(pair)]
        return words[pairs[0][not value]] if pairs else value

    def _of_text(self, text: str) -> Any:
        """The level that is written so, or as a number equal to it, or that stands for true or false; else the text."""
        if text in self.levels:
            return text
        number, truth = plain_value(text), {"true": True, "false": False}.get(text.strip().casefold())
        same = [v for v in self.levels if not isinstance(v, str | bool) and v == number]
        return same[0] if same else text if truth is None or truth in self.levels else self.meant(truth)

    def read(self, values: Series[Any]) -> np.ndarray:
        """The codes; -1 for what is none of the levels, but words for missing values, which are missing."""
        import pandas

        codes, found = pandas.factorize(values)
        places: dict[Any, int] = {level: i for i, level in enumerate(self.levels)}
        if all(isinstance(level, bool) for level in self.levels):  # also as text, true and TRUE
            places |= {str(level).lower(): i for i, level in enumerate(self.levels)}
            found = [v.lower() if isinstance(v, str) and not is_missing(v) else v for v in found]
        mapped = [places.get(v, places.get(str(v), np.nan if is_missing(v) else -1)) for v in _plain(found)]
        known: np.ndarray = np.array([*mapped, np.nan])[codes]  # the last is that of missing ones
        return known

    def comparable(self, values: Series[Any]) -> Series[Any]:
        import pandas

        return values if self.kind == "category" else pandas.Series(self.encode(values))

    def impossible(self, numbers: np.ndarray) -> np.ndarray:
        unknown: np.ndarray = numbers == -1
        return unknown

    def encode(self, values: Series[Any]) -> np.ndarray:
        known = self.read(values)
        if (known == -1).any():
            got = f"got {shown(values, int((known == -1).argmax()))}"
            raise DataError(f"column {self.name!r} has {self.takes}, {got}: correct it, or leave that row out")
        return known

    def decode(self, numbers: np.ndarray) -> Series[Any]:
        import pandas

        x = np.asarray(numbers, np.float64)
        lost = np.isnan(x)
        codes = np.where(lost, -1, np.clip(np.rint(np.where(lost, 0.0, x)), 0, max(0, self.size - 1))).astype(np.int64)
        if self.dtype == "category":
            places = {level: i for i, level in enumerate(self.declared)}
            whole = np.array([*(places[level] for level in self.levels), -1])[codes]
            index = pandas.Index(list(self.declared), dtype=self.level_dtype)
            made = pandas.Categorical.from_codes(whole, dtype=pandas.CategoricalDtype(index, self.ordered))
            return pandas.Series(made, name=self.name)
        plain = pandas.Series(list(self.levels), dtype=self.dtype).array
        if lost.any() and isinstance(plain.dtype, np.dtype) and plain.dtype.kind in "iub":
            raise RuntimeError(
                f"{int(lost.sum())} of {len(x)} samples of column {self.name!r} are missing, and none may be"
            )
        return pandas.Series(plain.take(codes, allow_fill=bool(lost.any())), name=self.name, dtype=self.dtype)


def _plain(values: Any) -> tuple[Level, ...]:
    """Levels as plain values; those of other kinds, such as intervals, as text."""
    made = (v.item() if isinstance(v, np.generic) else v for v in values)
    return tuple(v if type(v) in (str, int, float, bool) else str(v) for v in made)


def _ordered(levels: Sequence[Level]) -> tuple[Level, ...]:
    """Numbers by size, then text in the order of the alphabet."""
    return tuple(sorted(levels, key=lambda v: (isinstance(v, str), v)))


def _declared(values: Series[Any]) -> dict[str, Any]:
    """The levels that a categorical type has, and their type."""
    index = values.cat.categories
    levels = _plain(index)
    plain = all(type(a) is type(b) for a, b in zip(levels, index.tolist()))
    return {"declared": levels, "level_dtype": str(index.dtype) if plain else "object"}
