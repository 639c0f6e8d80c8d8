"""How models and results show themselves, in a terminal and in a notebook: a title and a few facts."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import fields, is_dataclass
from html import escape
from math import isfinite
from typing import Any, Protocol, TypeVar

__all__ = ["Facts", "as_html", "as_text", "displayed", "joined", "listed", "plain", "rounded"]
__all__ += ["shortened", "visible"]

Facts = tuple[str, Mapping[str, str]]
"""A title, and facts by their names."""


_HIDDEN = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069\ud800-\udfff\ufffe\uffff]"
)
"""What no page or terminal should get: controls, among them those that turn the direction of text, and halves of characters."""


class _HasFacts(Protocol):
    def _facts(self) -> Facts: ...


T = TypeVar("T", bound=_HasFacts)


def displayed(cls: type[T]) -> type[T]:
    """A decorator: a class that has `_facts` shows them, as its `repr` and in a notebook."""

    for name, show in (("__repr__", as_text), ("_repr_html_", as_html)):
        setattr(cls, name, lambda self, show=show: show(*self._facts()))
    return cls


def as_text(title: str, facts: Mapping[str, str]) -> str:
    """A title and aligned lines.

    Example:
        >>> print(as_text("Model of vectors", {"data": "float64, 2 columns", "process": "VP()"}))
        Model of vectors
          data     float64, 2 columns
          process  VP()
    """
    width = max(map(len, facts), default=0)
    return "\n".join([title, *(f"  {name:<{width}}  {value}" for name, value in facts.items())])


def as_html(title: str, facts: Mapping[str, str]) -> str:
    """The same as a small table.

    Example:
        >>> as_html("A < B", {"a": "1"})
        '<div><b>A &lt; B</b><table><tr><td>a</td><td>1</td></tr></table></div>'
    """
    rows = (f"<tr><td>{escape(name)}</td><td>{escape(value)}</td></tr>" for name, value in facts.items())
    return f"<div><b>{escape(title)}</b><table>{''.join(rows)}</table></div>"


def listed(names: object, most: int = 6) -> str:
    """Names, of many the first.

    Example:
        >>> listed(["a", "b", "c", "d"], 2)
        'a, b, … (4)'
    """
    every = [str(name) for name in names] if isinstance(names, list | tuple) else [str(names)]
    return ", ".join(every) if len(every) <= most else f"{', '.join(every[:most])}, … ({len(every)})"


def joined(names: Sequence[str]) -> str:
    """Names in a sentence.

    Example:
        >>> joined(["a"]), joined(["a", "b", "c"])
        ('a', 'a, b and c')
    """
    return " and ".join([*([", ".join(names[:-1])] if len(names) > 1 else []), names[-1]])


def plain(value: Any) -> Any:
    """Dataclasses as dictionaries, arrays as lists, and non-finite numbers as None: JSON has no NaN.

    Example:
        >>> plain((1, float("nan"), "a"))
        [1, None, 'a']
    """
    if is_dataclass(value):
        return {f.name: plain(getattr(value, f.name)) for f in fields(value)}
    value = value.tolist() if hasattr(value, "tolist") else value
    if isinstance(value, list | tuple):
        return [plain(each) for each in value]
    return None if isinstance(value, float) and not isfinite(value) else value


def rounded(text: str) -> str:
    """A text with its decimal numbers at four digits.

    Example:
        >>> rounded("EDM(sigma_min=0.0030724467160607, sigma_max=40.0)")
        'EDM(sigma_min=0.003072, sigma_max=40)'
    """
    return re.sub(r"\b\d+\.\d+(?:e[-+]?\d+)?\b", lambda number: f"{float(number.group()):.4g}", text)


def visible(text: str) -> str:
    """A text of a user, such as a name of a column, without characters that act on what is around it.

    Example:
        >>> visible("a\\x1b[2Jb\\ud800"), visible("$x_1$ 😀")
        ('a�[2Jb�', '$x_1$ 😀')
    """
    return _HIDDEN.sub("\N{REPLACEMENT CHARACTER}", text)


def shortened(text: str, most: int) -> str:
    """A text of at most so many characters, on one line.

    Example:
        >>> shortened("Married-civ-spouse", 10), shortened("Divorced", 10), shortened("two\\nlines", 10)
        ('Married-c…', 'Divorced', 'two lines')
    """
    line = " ".join(visible(str(text)).split())
    return line if len(line) <= most else f"{line[: most - 1]}…"
