"""The look that all figures share: two sets of colours, one kind of axes, one way to a picture."""

from __future__ import annotations

import io
import math
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.axis import Axis
    from matplotlib.figure import Figure

__all__ = ["DARK", "LIGHT", "Theme", "blank", "canvas", "dress", "family", "log_scale", "number", "png", "require"]

DENSITY = 2  # pixels of the picture for each pixel of the page
FAMILIES = ("Inter", "Helvetica Neue", "Segoe UI", "Source Sans 3", "Arial", "Liberation Sans", "DejaVu Sans")


@dataclass(frozen=True)
class Theme:
    """Colours of a figure: real data are neutral, drawn samples carry the accent; they differ in lightness and hue."""

    ink: str
    muted: str
    line: str
    real: str
    accent: str
    paper: str


LIGHT = Theme(ink="#1f1e1b", muted="#77736b", line="#e6e2da", real="#a39d92", accent="#2f55d4", paper="#fdfcf9")
DARK = Theme(ink="#eceae4", muted="#98948b", line="#313033", real="#908c85", accent="#8fadff", paper="#161618")


def require(module: str) -> Any:
    """The module, or an error that says how to get it."""
    try:
        return import_module(module)
    except ImportError as error:
        package = {"PIL": "pillow"}.get(module.split(".")[0], module.split(".")[0])
        raise ImportError(f'a report needs {package}: pip install "{package}"') from error


@cache
def family() -> str:
    """The first of the typefaces liked that this machine has; matplotlib always brings the last."""
    known = set(require("matplotlib.font_manager").fontManager.get_font_names())
    return next((name for name in FAMILIES if name in known), "sans-serif")


def canvas(width: float, height: float) -> Figure:
    """An empty figure of a size in pixels of the page; one point is one such pixel."""
    figure: Figure = require("matplotlib.figure").Figure(figsize=(width / 72, height / 72), dpi=72 * DENSITY)
    require("matplotlib.backends.backend_agg").FigureCanvasAgg(figure)
    return figure


def dress(axes: Axes, theme: Theme, size: float = 12) -> None:
    """Takes the frame off and leaves faint horizontal lines, a baseline and quiet numbers."""
    axes.set_facecolor("none")
    for side in ("top", "right", "left"):
        axes.spines[side].set_visible(False)
    axes.spines["bottom"].set_color(theme.muted)
    axes.spines["bottom"].set_linewidth(0.8)
    axes.grid(axis="y", color=theme.line, linewidth=0.8)
    axes.set_axisbelow(True)
    axes.tick_params(which="both", length=0, labelsize=size, labelcolor=theme.muted, labelfontfamily=family(), pad=6)
    for axis in (axes.xaxis, axes.yaxis):
        _plain(axis)


def log_scale(axes: Axes, which: str) -> None:
    """Makes the axis "x" or "y" logarithmic and keeps its numbers plain: 0.01, not a power of ten."""
    axes.set(**{f"{which}scale": "log"})
    _plain(axes.xaxis if which == "x" else axes.yaxis)


def _plain(axis: Axis) -> None:
    ticker = require("matplotlib.ticker")
    axis.set_major_formatter(ticker.FuncFormatter(lambda value, _: number(value)))
    axis.set_minor_locator(ticker.NullLocator())


def blank(axes: Axes) -> None:
    """Takes everything off the axes but what is drawn in them."""
    axes.set_facecolor("none")
    axes.set_xticks([])
    axes.set_yticks([])
    for spine in axes.spines.values():
        spine.set_visible(False)


def png(figure: Figure) -> bytes:
    """The figure as a PNG on nothing, reduced to 256 colours with their transparency."""
    image = require("PIL.Image")
    figure.set_facecolor("none")
    figure.canvas.draw()
    pixels = image.fromarray(np.asarray(figure.canvas.buffer_rgba()))  # type: ignore[attr-defined]
    packed = io.BytesIO()
    few = pixels.quantize(256, method=image.Quantize.FASTOCTREE, dither=image.Dither.NONE)
    few.save(packed, "PNG", optimize=True)
    return packed.getvalue()


def number(value: float, digits: int = 3) -> str:
    """A number for people: three significant digits, no exponent where a page has room for the zeros.

    Example:
        >>> [number(v) for v in (0, 0.012345, -1.5, 1234567, 3e-9)]
        ['0', '0.0123', '−1.5', '1,234,567', '3e−9']
    """
    if not math.isfinite(value):
        return "∞" if value == math.inf else "−∞" if value == -math.inf else "–"
    value = value + 0.0 if value else 0.0  # no minus before a zero
    size = abs(value)
    if size != 0 and not 1e-4 <= size < 1e9:
        text = f"{value:.{digits - 1}e}"
        mantissa, exponent = text.split("e")
        mantissa = mantissa.rstrip("0").rstrip(".") if "." in mantissa else mantissa
        text = f"{mantissa}e{int(exponent)}"
    elif size >= 100 or value == int(value):
        text = f"{value:,.0f}"
    else:
        places = max(0, digits - 1 - math.floor(math.log10(size)))
        text = f"{value:.{places}f}"
        text = text.rstrip("0").rstrip(".") if places else text
    return text.replace("-", "−")
