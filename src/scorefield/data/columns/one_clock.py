"""Dates of a table that are to be in UTC, for the sake of the durations between them."""

from __future__ import annotations

import re
from collections.abc import Sequence

from .base import Column
from .date import Date

__all__ = ["on_one_clock"]


def on_one_clock(columns: Sequence[Column], constraints: Sequence[str] = ()) -> list[Column]:
    """Columns of a table, with dates in UTC where durations between them may be those that pass, and not those by the clock.

    That is where not all dates with a zone have longer periods by the clock, and where an equation is declared of one.
    """
    dates = [column for column in columns if isinstance(column, Date) and column.zone is not None]
    named = [rf"(?<!\w){re.escape(str(column.name))}(?!\w)" for column in dates]
    equal = any("==" in text and re.search(name, text) for text in constraints for name in named)
    if not equal and all(column.by_clock for column in dates):
        return list(columns)
    return [column.in_utc() if isinstance(column, Date) else column for column in columns]
