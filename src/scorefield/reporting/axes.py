"""The charts of a report as matplotlib figures, for papers and for changes by hand."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from .base import LIGHT, Theme
from .columns import association_matrix, column_chart
from .curves import curve_chart
from .figures import (
    histogram,
    level_losses,
    neighbour_histogram,
    scatter_matrix,
    training_curve,
)
from .page import Content

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["page_figures"]


def page_figures(content: Content, theme: Theme = LIGHT) -> dict[str, Figure]:
    """The charts of a report by their names, as matplotlib figures: `figure.axes` can be changed, `figure.savefig` writes them.

    Arguments:
        content: What the report shows, as `report_content` gives it for a run.
        theme: The colours.

    Returns:
        "training", "levels", "neighbours", "columns" (all pairs of columns), "associations", the name of each column of a
        table as "column NAME", and the names of the statistics of fields and series.

    Example:
        >>> content = Content("run", log=[{"step": k, "loss": 1 / k} for k in range(1, 9)])
        >>> [float(axes.get_xlim()[1]) for axes in page_figures(content)["training"].axes]
        [8.0]
    """
    found: dict[str, Figure] = {}
    if any(record.get("loss") is not None for record in content.log):
        found["training"] = training_curve.figure(content.log, theme)
    if content.levels is not None:
        found["levels"] = level_losses.figure(content.levels, theme)
    if content.neighbours is not None:
        found["neighbours"] = neighbour_histogram.figure(content.neighbours, theme)
    found |= {curve.name: curve_chart.figure(curve, theme) for curve in content.curves}
    return found | _columns(content, theme)


def _columns(content: Content, theme: Theme) -> dict[str, Figure]:
    """The charts of columns and of pairs of them."""
    if content.samples is None or content.held_out is None or content.samples.ndim != 2:
        return {}
    real, drawn, found = np.asarray(content.held_out), np.asarray(content.samples), dict[str, "Figure"]()
    table = content.table
    if table is not None:
        for i, (column, shape) in enumerate(zip(table.columns, table.shapes.columns)):
            found[f"column {shape.name}"] = column_chart.figure(column, shape, real[:, i], drawn[:, i], theme)
        if table.trends is not None:
            order = list(range(len(table.columns)))
            found["associations"] = association_matrix.figure(table.trends, order, theme)
    if not content.mixed and real.shape[1] > 1:
        found["columns"] = scatter_matrix.figure(real, drawn, content.names, theme)
    elif not content.mixed:
        found["columns"] = histogram.figure(real[:, 0], drawn[:, 0], str((content.names or ["x1"])[0]), theme)
    return found
