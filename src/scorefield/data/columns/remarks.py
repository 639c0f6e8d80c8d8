"""What is odd about a column, in words: numbers that are not exact, text that is nearly dates or numbers."""

from __future__ import annotations

import decimal
from typing import TYPE_CHECKING, Any

import numpy as np

from .base import shown
from .number_marks import is_missing
from .text import formats_like, offset_of, parsed_dates

if TYPE_CHECKING:
    from pandas import Series

__all__ = ["inexact_share", "remark"]

_EXACT = 2**53  # up to which float64 holds every whole number
_TRIED = 50  # texts on which formats are tried
_MOST = 0.8  # of them are of a format, where the others are worth a remark


def inexact_share(values: Series[Any]) -> float:
    """The share of whole numbers, as integers or in text, that float64 does not hold exactly.

    Example:
        >>> import pandas
        >>> inexact_share(pandas.Series([2**60 + 1, 2**60, 3, 4])), inexact_share(pandas.Series(["1", "x"]))
        (0.25, 0.0)
    """
    from pandas.api import types

    if types.is_integer_dtype(values.dtype):
        ends = (int(values.min()), int(values.max())) if values.notna().any() else (0, 0)
        if max(map(abs, ends)) <= _EXACT:
            return 0.0
    elif str(values.dtype) not in ("object", "str", "string"):
        return 0.0
    present = values.dropna().tolist()
    return sum(map(_is_inexact, present)) / max(1, len(present))


def _is_inexact(value: Any) -> bool:
    if isinstance(value, str) and len(value) > 15 and value.strip().lstrip("+-").isdecimal():
        value = int(value)
    if not isinstance(value, int) or abs(value) <= _EXACT:
        return False
    return abs(value) >= 2**63 or int(float(value)) != value


def remark(values: Series[Any]) -> str:
    """What keeps text or objects from being dates or numbers, or is lost of them; "" if nothing does.

    Example:
        >>> import pandas
        >>> remark(pandas.Series(["2024-01-30", "2024-02-31", "2024-03-01", "2024-03-02", "2024-03-03"]))
        "dates (%Y-%m-%d) but for '2024-02-31' in row 1"
        >>> remark(pandas.Series(["yes", "yes ", "no"]))
        "'yes' and 'yes ' differ by blanks alone"
    """
    present = values.dropna().drop_duplicates()
    if any(isinstance(v, decimal.Decimal) for v in present):
        return "decimals become floats"
    texts = present[[isinstance(v, str) for v in present]]
    if not len(texts) or len(texts) < len(present):
        return ""
    words = texts[[not is_missing(v) for v in texts]]
    return (_nearly_dates(values, words) if len(words) else "") or _blanks(texts)


def _nearly_dates(values: Series[Any], texts: Series[Any]) -> str:
    some = texts.iloc[:: max(1, len(texts) // _TRIED)]
    offsets = set(map(_offset, texts if all(map(_offset, some)) else ()))
    if len(offsets - {""}) > 1:
        several = " and ".join(sorted(offsets - {""})[:2])
        return f"dates of several offsets from UTC, {several}: convert them to one"
    if sum(any(c.isdigit() for c in text) for text in some) < _MOST * len(some):
        return ""
    shares = {form: float(parsed_dates(some, form).notna().mean()) for form in formats_like(some)}
    form = max(shares, key=lambda each: shares[each], default="")
    if shares.get(form, 0.0) < _MOST:
        return ""
    given = np.array([not is_missing(v) for v in values], bool) & values.notna().to_numpy(bool)
    wrong = parsed_dates(values, form).isna().to_numpy() & given
    return f"dates ({form}) but for {shown(values, int(wrong.argmax()))}" if wrong.any() else ""


def _offset(text: str) -> str:
    """The offset from UTC of a time, Z among them; "" without one."""
    return offset_of(text) or text[-1:] * text.endswith("Z")


def _blanks(texts: Series[Any]) -> str:
    """Texts that differ only by blanks at an end."""
    bare: dict[str, str] = {}
    for text in texts:
        if bare.setdefault(text.strip(), text) != text:
            return f"{bare[text.strip()]!r} and {text!r} differ by blanks alone"
    return ""
