"""What stands below a table: sums of its columns, and notes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from ...warned import warn_outside

if TYPE_CHECKING:
    from pandas import DataFrame

__all__ = ["say_footer"]

_ROWS = 3  # above sums, and columns of a table with notes, at least
_LINES = 20  # of notes at most
_SHOWN = 60  # characters of a note, in a message
_EXACT = 1e-6  # of a sum, within which a rounded one lies
_WORDS = frozenset(
    ("total", "totals", "grand total", "sum", "summe", "gesamt", "gesamtsumme", "average", "mean", "mittelwert")
)


def say_footer(frame: DataFrame, path: Any) -> None:
    """Warns of last rows of a table that seem to hold notes, or the sums of the columns above; nothing is left out."""
    notes = _notes(frame)
    rows = "the last row" if notes == 1 else f"the last {notes} rows"
    if notes:
        (text,) = frame.iloc[len(frame) - notes].dropna()
        shown = text if len(text) < _SHOWN else f"{text[:_SHOWN]}…"
        what = f"{rows} of {path} {'holds' if notes == 1 else 'hold'} text in one column alone, {shown!r}"
        warn_outside(f"{what}: if {'it is a note' if notes == 1 else 'they are notes'}, delete {_them(notes)}")
    if label := _sums(frame.iloc[: len(frame) - notes]):
        where = "the last row" if not notes else f"the last row above {_them(notes)}"
        warn_outside(f"{where} of {path} {label}: if it is not a row of the data, delete it")


def _them(count: int) -> str:
    return "it" if count == 1 else "them"


def _notes(frame: DataFrame) -> int:
    """How many of the last rows hold text in one column alone, as no other row does."""
    if frame.shape[1] < _ROWS or len(frame) <= _ROWS:
        return 0
    present = frame.tail(_LINES).notna().to_numpy()
    count = 0
    for i in range(len(present) - 1, -1, -1):
        alone = present[i].sum() == 1 and isinstance(
            frame.iloc[len(frame) - len(present) + i, present[i].argmax()], str
        )
        if not alone:
            break
        count += 1
    if not count or count == len(present):
        return 0
    return count if (frame.iloc[:-count].notna().sum(axis=1) > 1).all() else 0


def _sums(frame: DataFrame) -> str | None:
    """What the last row holds, if these are the sums of the rows above, or a word for sums."""
    above, last = frame.iloc[:-1], frame.iloc[-1:] if len(frame) > _ROWS else frame.iloc[:0]
    if not len(last):
        return None
    present = last.notna().to_numpy()[0]
    numeric = [i for i, dtype in enumerate(frame.dtypes) if getattr(dtype, "kind", "O") in "iuf" and present[i]]
    others = [i for i in range(frame.shape[1]) if i not in numeric]
    texts = [last.iloc[0, i] for i in others if isinstance(last.iloc[0, i], str)]
    new = not any(present[i] and (above.iloc[:, i] == last.iloc[0, i]).any() for i in others)
    named = next((text for text in texts if text.strip(" :").casefold() in _WORDS), None)
    if new and named is not None:
        return f"is called {named!r}"
    ends = last.iloc[0, numeric].to_numpy(np.float64, na_value=np.nan)
    sums = above.iloc[:, numeric].sum().to_numpy(np.float64)
    equal = np.abs(ends - sums) <= _EXACT * np.abs(sums)
    known = len(others) > 0 or len(numeric) > 1
    return "holds the sums of the rows above" if new and known and equal.all() and sums.any() else None
