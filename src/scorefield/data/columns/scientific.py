"""Numbers in scientific notation, 1.98e-03: their form, and how others are written so."""

from __future__ import annotations

import re
from collections.abc import Iterable
from decimal import Decimal

__all__ = ["in_scientific_notation", "is_scientific_form", "scientific_digits", "scientific_form"]

_NUMBER = re.compile(r"[+-]?[1-9](?:[.,](\d+))?([eE])([+-]?)(\d{1,3})")
_ZERO = re.compile(r"[+-]?0(?:[.,](0+))?(?:([eE])([+-]?)(0{1,3}))?")
_FORM = re.compile(r"0(?:\.(0*)(#*))?([eE])([+-])(0{1,3})")
_MOST = 16  # digits after the decimal mark, with which a floating-point number is exact


def scientific_form(texts: Iterable[str]) -> str | None:
    """The form of numbers that are all in scientific notation, as spreadsheets write it; None if some are not.

    `0.00E-00` stands for two digits after the decimal mark and two of the exponent, at least, with a plus sign where it is
    `E+00`. `#` stands for a digit that may be lacking.

    Example:
        >>> scientific_form(["1.98e-03", "-2.05e-01"]), scientific_form(["2E5", "1.5E12", "0"]), scientific_form(["1e3", "2"])
        ('0.00e+00', '0.#E-0', None)
    """
    found = [_NUMBER.fullmatch(text) or _ZERO.fullmatch(text) for text in texts]
    parts = [match.groups() for match in found if match is not None]
    parts = [each for each in parts if each[1]]
    if not parts or not all(found):
        return None
    digits = [len(each[0] or "") for each in parts]
    letters, signs = {each[1] for each in parts}, {each[2] for each in parts}
    if len(letters) > 1 or max(digits) > _MOST or {"", "+"} <= signs:
        return None
    behind = "0" * min(digits) + "#" * (max(digits) - min(digits))
    sign = "-" if "" in signs else "+"
    return f"0{'.' * bool(behind)}{behind}{letters.pop()}{sign}{'0' * min(len(each[3]) for each in parts)}"


def is_scientific_form(form: str) -> bool:
    """Whether a text is a form, as `scientific_form` gives it."""
    return isinstance(form, str) and _FORM.fullmatch(form) is not None and scientific_digits(form) <= _MOST


def scientific_digits(form: str) -> int:
    """How many digits after the decimal mark a form has at most.

    Example:
        >>> scientific_digits("0.0#e-00")
        2
    """
    found = _FORM.fullmatch(form)
    return len(found[1] or "") + len(found[2] or "") if found else 0


def in_scientific_notation(number: float, form: str, exact: bool = False) -> str:
    """A finite number in a form, rounded to its digits, or, if it is to be exact, with as many as it needs.

    Example:
        >>> in_scientific_notation(0.00198, "0.00e+00"), in_scientific_notation(1.5e12, "0.0##E-0")
        ('1.98e-03', '1.5E12')
    """
    found = _FORM.fullmatch(form)
    if found is None:
        raise ValueError(f"scientific notation has a form such as '0.00e+00', got {form!r}")
    least, letter, sign, width = len(found[1] or ""), found[3], found[4], len(found[5])
    most = scientific_digits(form)
    most = max(most, len(Decimal(repr(float(number))).normalize().as_tuple().digits) - 1) if exact else most
    mantissa, _, power = f"{number + 0.0:.{most}e}".partition("e")
    whole, _, behind = mantissa.partition(".")
    behind = behind[:least] + behind[least:].rstrip("0")
    exponent = int(power)
    before = "-" if exponent < 0 else "+" if sign == "+" else ""
    return f"{whole}{'.' * bool(behind)}{behind}{letter}{before}{abs(exponent):0{width}}"
