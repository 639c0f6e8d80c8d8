"""Figures of points and curves in one style.

Other examples import it; it has no command line.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import Tensor

INK, MUTED, LINE, GREY, ACCENT, WARM = "#1f1e1b", "#77736b", "#e6e2da", "#a39d92", "#2f55d4", "#c2593f"


def row(titles: Sequence[str], size: tuple[float, float], shared: bool = False) -> tuple[Figure, list[Axes]]:
    """A figure with panels side by side, each under its title and without a frame."""
    figure = Figure(figsize=size, dpi=160, facecolor="white", layout="constrained")
    panels = list(figure.subplots(1, len(titles), squeeze=False, sharex=shared, sharey=shared)[0])
    for axes, title in zip(panels, titles):
        axes.set_title(title, loc="left", fontsize=11, color=INK, pad=8)
        axes.tick_params(which="both", length=0, labelcolor=MUTED, labelsize=9)
        axes.spines[:].set_visible(False)
    return figure, panels


def plane(axes: Axes, half: float, ticks: Sequence[float] = ()) -> None:
    """The square from -half to half, with lines at the ticks."""
    axes.set(xlim=(-half, half), ylim=(-half, half), aspect="equal", xticks=ticks, yticks=ticks)
    lines(axes)


def lines(axes: Axes, which: str = "both") -> None:
    """Lines at the ticks, behind everything else."""
    axes.grid(axis=which, color=LINE, linewidth=0.7)
    axes.set_axisbelow(True)


def logarithmic(axes: Axes, label: str) -> None:
    """Logarithmic axes with plain numbers, and what is along the horizontal one."""
    axes.set(xscale="log", yscale="log", xlabel=label)
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_formatter("{x:,.10g}")
    axes.minorticks_off()
    lines(axes, "y")


def dots(axes: Axes, x: Tensor, colour: str = ACCENT, size: float = 2.6) -> None:
    """Points of the plane, `(N, 2)`."""
    axes.plot(*x.T, "o", markersize=size, alpha=0.5, markeredgewidth=0, color=colour)


def words(axes: Axes, x: float, y: float, text: str) -> None:
    """Words around a point, on white."""
    box = {"color": "white", "pad": 1.5}
    axes.text(x, y, text, ha="center", va="center", color=INK, fontsize=11, bbox=box)


def arrows(axes: Axes, x: Tensor, score: Tensor, colour: str, unit: float = 1.0) -> None:
    """Arrows along a score; their lengths are logarithms of its norm, which is measured in units."""
    size = score.norm(dim=1, keepdim=True)
    shown = score / size * (size / unit).log1p() / (size.median() / unit).log1p()
    axes.quiver(*x.T, *shown.T, color=colour, width=0.0042, scale=24, pivot="mid", headwidth=4, headlength=4)


def save(figure: Figure, path: Path) -> None:
    """Writes a figure and prints where."""
    figure.savefig(path)
    print(path)
