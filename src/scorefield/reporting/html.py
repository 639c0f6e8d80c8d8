"""What every page consists of: pictures in light and dark, wide and narrow, and one self-contained file."""

from __future__ import annotations

import base64
import os
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np

from ..checkpoint import write_atomically
from ..display import visible
from ..metrics import Distance
from .base import DARK, LIGHT, Theme, number, require
from .words import percent, typographic

__all__ = ["NARROW", "NIGHT", "STILL", "Picture", "address", "chart", "positions", "themed", "write"]

NARROW = "(max-width: 640px)"
NIGHT = "(prefers-color-scheme: dark)"
STILL = "(prefers-reduced-motion: reduce)"  # not used any more: a name of 0.1.0
MANY = 5  # sections that need a table of contents


@dataclass(frozen=True)
class Picture:
    """A figure in several variants: the first source whose media query matches is shown, else `address`."""

    address: str
    text: str
    width: int
    sources: Sequence[tuple[str, str]] = field(default=())


def address(data: bytes, kind: str = "png") -> str:
    """A picture as a data URL."""
    return f"data:image/{kind};base64,{base64.b64encode(data).decode()}"


def themed(light: bytes, dark: bytes, text: str, width: int) -> Picture:
    """A picture for light and dark mode."""
    sources = [] if light == dark else [(NIGHT, address(dark))]
    return Picture(address(light), text, width, sources)


def chart(draw: Callable[[Theme, float], bytes], text: str) -> Picture:
    """A chart drawn for light and dark mode, for wide and narrow screens."""
    sources = [
        (f"{NIGHT} and {NARROW}", address(draw(DARK, 350))),
        (NIGHT, address(draw(DARK, 680))),
        (NARROW, address(draw(LIGHT, 350))),
    ]
    return Picture(address(draw(LIGHT, 680)), text, 680, sources)


def positions(distance: Distance, low: float, span: float) -> dict[str, Any]:
    """Where a distance and the range of real data lie on an axis that begins at `low`, in percent of its length."""
    found = {name: getattr(distance, name) for name in ("low", "high", "floor", "value")}
    at = {name: round(100 * min(1.0, (value - low) / span), 2) for name, value in found.items()}
    return {"distance": distance, **at}


def write(path: str | os.PathLike[str], template: str, **parts: Any) -> Path:
    """Renders the template `name.html.jinja` of this folder with its variables, and writes it atomically."""
    path, jinja = Path(path), require("jinja2")
    folder = resources.files(__package__)
    environment = jinja.Environment(
        loader=jinja.FunctionLoader(lambda name: folder.joinpath(f"{name}.html.jinja").read_text("utf-8")),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja.StrictUndefined,
        finalize=_visible,
    )
    environment.filters["number"] = _text
    environment.filters["sentence"] = lambda text: typographic(text[:1].upper() + text[1:])
    environment.filters["share"] = percent
    environment.filters["typographic"] = typographic
    environment.filters["breakable"] = _breakable
    environment.filters["probability"] = _probability
    page = _with_contents(environment.get_template(template).render(light=LIGHT, dark=DARK, **parts))
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(path, page.encode())
    return path


def _with_contents(page: str) -> str:
    """The page with an anchor at each heading of a section, and links to them where there are many."""
    known: dict[str, str] = {}

    def named(heading: re.Match[str]) -> str:
        place = _anchor(heading[1])
        known[place] = heading[1]
        return f'<h2 id="{place}">{heading[1]}</h2>'

    page = re.sub(r"<h2>(.*?)</h2>", named, page)
    links = "".join(f'<a href="#{place}">{title}</a>' for place, title in known.items())
    contents = f'<nav class="contents" aria-label="Contents">{links}</nav>' if len(known) >= MANY else ""
    return page.replace("<!-- contents -->", contents)


def _anchor(text: str) -> str:
    """A heading as the name of a place in the page.

    Example:
        >>> _anchor("Pairs of columns, all rows")
        'pairs-of-columns-all-rows'
    """
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")


def _visible(value: Any) -> Any:
    """What a template inserts; what is HTML already, as the output of a macro is, stays as it is."""
    return visible(value) if isinstance(value, str) and not hasattr(value, "__html__") else value


def _breakable(text: str) -> Any:
    """A text that a browser may break after an opening parenthesis, as in Heun(steps=20), before it breaks words."""
    safe = require("markupsafe")
    return safe.Markup("(<wbr>").join(safe.escape(part) for part in visible(text).split("("))


def _probability(p: float) -> str:
    """A p-value as text; how small it is below 10⁻⁶ is more than a test can say."""
    return "< 1e−6" if p < 1e-6 else number(float(p))


def _text(value: Any) -> str:
    """A value as text: floats with three digits, integers with thousands separators."""
    if isinstance(value, bool) or value is None:
        return {True: "yes", False: "no", None: "–"}[value]
    if isinstance(value, int | np.integer):
        return f"{int(value):,}"
    return number(float(value)) if isinstance(value, float | np.floating) else str(value)
