"""What all figures share: colours, the style of axes, numbers as text, and the PNG that they become."""

from __future__ import annotations

import io
import math
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, update_wrapper
from importlib import import_module
from typing import TYPE_CHECKING, Any, Generic, ParamSpec

import numpy as np

from ..display import visible

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.axis import Axis
    from matplotlib.figure import Figure

__all__ = [
    "DARK", "LIGHT", "Chart", "Theme", "blank", "canvas", "dress", "family", "few_ticks", "fixed", "inset", "label",
    "log_scale", "number", "png", "require",
]  # fmt: skip

DENSITY = 2  # pixels of the picture per pixel of the page
FAMILIES = ("Inter", "Helvetica Neue", "Segoe UI", "Source Sans 3", "Arial", "Liberation Sans", "DejaVu Sans")


@dataclass(frozen=True)
class Theme:
    """The colours of a figure: grey for real data, the accent for samples; the two differ in lightness and hue."""

    ink: str
    muted: str
    line: str
    real: str
    accent: str
    paper: str


LIGHT = Theme(ink="#1f1e1b", muted="#77736b", line="#e6e2da", real="#a39d92", accent="#2f55d4", paper="#fdfcf9")
DARK = Theme(ink="#eceae4", muted="#98948b", line="#313033", real="#908c85", accent="#8fadff", paper="#161618")


P = ParamSpec("P")


class Chart(Generic[P]):
    """A decorator: a function that draws a matplotlib figure gives it as a PNG, and `figure` gives the figure itself.

    Arguments:
        draw: The function.
    """

    def __init__(self, draw: Callable[P, Figure]) -> None:
        self.draw = draw
        update_wrapper(self, draw)

    def __call__(self, *args: P.args, **options: P.kwargs) -> bytes:
        return png(self.draw(*args, **options))

    def figure(self, *args: P.args, **options: P.kwargs) -> Figure:
        """The matplotlib figure, whose `axes` can be changed, and which `savefig` writes in any format."""
        return self.draw(*args, **options)


def require(module: str) -> Any:
    """Imports an optional package.

    Raises:
        ImportError: If it is not installed, with the command that installs it.
    """
    try:
        return import_module(module)
    except ImportError as error:
        package = {"PIL": "pillow"}.get(module.split(".")[0], module.split(".")[0])
        raise ImportError(f'a report needs {package}: pip install "{package}"') from error


@cache
def family() -> str:
    """The first font family of the list that is installed; matplotlib always has the last."""
    known = set(require("matplotlib.font_manager").fontManager.get_font_names())
    return next((name for name in FAMILIES if name in known), "sans-serif")


def canvas(width: float, height: float) -> Figure:
    """An empty figure of a size in pixels of the page; one point is one pixel. Its texts are drawn literally."""
    figure: Figure = _literal()(figsize=(width / 72, height / 72), dpi=72 * DENSITY)
    require("matplotlib.backends.backend_agg").FigureCanvasAgg(figure)
    return figure


@cache
def _literal() -> type[Figure]:
    """Figures whose texts are never mathematics, however they are drawn: `$` in the name of a column is a dollar."""
    pyplot, kind = require("matplotlib"), require("matplotlib.text").Text

    class Literal(require("matplotlib.figure").Figure):  # type: ignore[misc]
        def draw(self, renderer: Any) -> None:
            for text in self.findobj(kind):
                text.set_parse_math(False)
                text.set_text(visible(text.get_text()))
            with pyplot.rc_context({"text.parse_math": False}), warnings.catch_warnings():
                warnings.filterwarnings("ignore", "Glyph .* missing from font")  # a box is drawn in its place
                super().draw(renderer)

    return Literal


def dress(axes: Axes, theme: Theme, size: float = 12) -> None:
    """The style of all axes: no frame, faint horizontal grid lines, a baseline and muted tick labels."""
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


def inset(figure: Figure, left: float, bottom: float, right: float, top: float) -> Axes:
    """Axes with margins in pixels of the page."""
    width, height = (72 * float(inches) for inches in figure.get_size_inches())
    box = (left / width, bottom / height, (width - left - right) / width, (height - bottom - top) / height)
    return figure.add_axes(box)


def label(colour: str, size: float = 12, **style: Any) -> dict[str, Any]:
    """The style of a text."""
    return {"color": colour, "fontsize": size, "fontfamily": family(), **style}


def few_ticks(axis: Axis, count: int, whole: bool = False) -> None:
    """At most about `count` tick labels, at round numbers, or at whole ones."""
    axis.set_major_locator(require("matplotlib.ticker").MaxNLocator(count, integer=whole))


def log_scale(axes: Axes, which: str) -> None:
    """Makes the axis "x" or "y" logarithmic, with plain tick labels: 0.01, not a power of ten."""
    axes.set(**{f"{which}scale": "log"})
    _plain(axes.xaxis if which == "x" else axes.yaxis)


def _plain(axis: Axis) -> None:
    ticker = require("matplotlib.ticker")
    axis.set_major_formatter(ticker.FuncFormatter(lambda value, _: number(value)))
    axis.set_minor_locator(ticker.NullLocator())


def blank(axes: Axes) -> None:
    """Removes frame, ticks and labels from axes."""
    axes.set_facecolor("none")
    axes.set_xticks([])
    axes.set_yticks([])
    for spine in axes.spines.values():
        spine.set_visible(False)


def png(figure: Figure) -> bytes:
    """The figure as a transparent PNG of 256 colours."""
    image = require("PIL.Image")
    figure.set_facecolor("none")
    figure.canvas.draw()
    pixels = image.fromarray(np.asarray(figure.canvas.buffer_rgba()))  # type: ignore[attr-defined]
    packed = io.BytesIO()
    reduced = pixels.quantize(256, method=image.Quantize.FASTOCTREE, dither=image.Dither.NONE)
    reduced.save(packed, "PNG", optimize=True)
    return packed.getvalue()


def number(value: float, digits: int = 3) -> str:
    """A number as text: three significant digits, thousands separators, an exponent only for the very large and small.

    Example:
        >>> [number(v) for v in (0, 0.012345, -1.5, 1234567, 3e-9)]
        ['0', '0.0123', '−1.5', '1,234,567', '3e−9']
    """
    if not math.isfinite(value):
        return "∞" if value == math.inf else "−∞" if value == -math.inf else "–"
    value = value or 0.0  # −0.0 is 0
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


def fixed(value: float, places: int = 2) -> str:
    """A number with a fixed number of decimal places.

    Example:
        >>> [fixed(v) for v in (0.456, -0.456, -0.004, float("nan"))]
        ['0.46', '−0.46', '0.00', '–']
    """
    if not math.isfinite(value):
        return "–"
    return f"{round(value, places) + 0.0:.{places}f}".replace("-", "−")
