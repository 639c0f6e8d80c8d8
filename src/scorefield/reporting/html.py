"""What every page is made of: pictures for day and night, for desks and phones, and one file that needs nothing else."""

from __future__ import annotations

import base64
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np

from ..checkpoint import write_atomically
from .base import DARK, LIGHT, Theme, number, require

__all__ = ["NARROW", "NIGHT", "STILL", "Picture", "address", "chart", "themed", "write"]

NARROW = "(max-width: 640px)"
NIGHT = "(prefers-color-scheme: dark)"
STILL = "(prefers-reduced-motion: reduce)"


@dataclass(frozen=True)
class Picture:
    """One figure in its variants: the first source whose media query holds is shown, else `address`."""

    address: str
    text: str
    width: int
    sources: Sequence[tuple[str, str]] = field(default=())


def address(data: bytes, kind: str = "png") -> str:
    """A picture as an address that holds it whole."""
    return f"data:image/{kind};base64,{base64.b64encode(data).decode()}"


def themed(light: bytes, dark: bytes, text: str, width: int) -> Picture:
    """A picture for day and night."""
    sources = [] if light == dark else [(NIGHT, address(dark))]
    return Picture(address(light), text, width, sources)


def chart(draw: Callable[[Theme, float], bytes], text: str) -> Picture:
    """A chart drawn for day and night, for desks and for phones."""
    sources = [
        (f"{NIGHT} and {NARROW}", address(draw(DARK, 350))),
        (NIGHT, address(draw(DARK, 680))),
        (NARROW, address(draw(LIGHT, 350))),
    ]
    return Picture(address(draw(LIGHT, 680)), text, 680, sources)


def write(path: str | os.PathLike[str], template: str, **parts: Any) -> Path:
    """Fills a template of this folder and writes it: whole or not at all.

    Arguments:
        path: of the file; its folder is made where it is missing.
        template: its name, as in `name.html.jinja`.
        parts: what the template shows, by the names that it knows them by.

    Returns:
        The path.
    """
    path, jinja = Path(path), require("jinja2")
    folder = resources.files(__package__)
    environment = jinja.Environment(
        loader=jinja.FunctionLoader(lambda name: folder.joinpath(f"{name}.html.jinja").read_text("utf-8")),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja.StrictUndefined,
    )
    environment.filters["number"] = _text
    environment.filters["sentence"] = lambda text: text[:1].upper() + text[1:]
    page = environment.get_template(template).render(light=LIGHT, dark=DARK, **parts)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(path, page.encode())
    return path


def _text(value: Any) -> str:
    """Values as people read them: floats short, whole numbers with their thousands apart."""
    if isinstance(value, bool) or value is None:
        return {True: "yes", False: "no", None: "–"}[value]
    if isinstance(value, int | np.integer):
        return f"{int(value):,}"
    return number(float(value)) if isinstance(value, float | np.floating) else str(value)
