"""The sections of a report that tables have: columns by their kind, pairs, missing values, utility and privacy."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np

from ..evaluation import TableEvaluation
from ..metrics import ColumnShape, Distance, Neighbours, Privacy, Share, TestFamily, TypedColumn, Utility, value_text
from .base import DARK, LIGHT, number
from .columns import ACROSS, WIDTH, association_matrix, column_chart
from .figures import neighbour_histogram
from .html import chart, positions, themed
from .words import percent

__all__ = ["MOST", "table_parts"]

MOST = 30  # columns are drawn


def table_parts(
    table: TableEvaluation | None,
    families: Sequence[TestFamily],
    samples: np.ndarray | None,
    held_out: np.ndarray | None,
) -> dict[str, Any]:
    """What the template needs for a table, by its names there; nothing if there is no table.

    Arguments:
        table: What was measured.
        families: The tests of columns and pairs, for the p-values.
        samples, held_out: Data matrices `(N, C)` and `(M, C)`, with codes for categories and NaN for missing values.
    """
    if table is None or samples is None or held_out is None:
        return {"columns": [], "associations": None, "scores": [], "patterns": None, "utility": None, "privacy": None}
    p = {label: float(q) for f in families if f.distance.name == "columns" for label, q in zip(f.labels, f.p_values)}
    order = _worst_first(table, p)
    cards = [_card(table, i, p, samples, held_out) for i in order[:MOST]]
    picture = None
    if table.trends is not None:
        text = "Associations of pairs of columns: samples above the diagonal, held-out data below it"
        picture = chart(partial(association_matrix, table.trends, order), text)
    return {
        "columns": cards,
        "count": len(table.columns),
        "associations": picture,
        "across": (ACROSS, ACROSS // 2 + 2),
        "scores": [_strip(score) for score in table.scores],
        "patterns": table.patterns,
        "utility": None if table.utility is None else _utility(table.utility),
        "privacy": None if table.privacy is None else _privacy(table.privacy),
    }


def _worst_first(table: TableEvaluation, p: dict[str, float]) -> list[int]:
    """The columns, those first that a test rejects most clearly, then those farthest beyond the range of real data."""

    def rank(i: int) -> tuple[float, float]:
        shape = table.shapes.columns[i]
        beyond = shape.distance.value / max(shape.distance.high, 1e-12)
        return p.get(shape.name, 1.0), -beyond if np.isfinite(beyond) else 0.0

    return sorted(range(len(table.columns)), key=rank)


def _card(
    table: TableEvaluation, i: int, p: dict[str, float], samples: np.ndarray, held_out: np.ndarray
) -> dict[str, Any]:
    """The name, the chart and the measures of a column."""
    column, shape = table.columns[i], table.shapes.columns[i]
    draw = partial(column_chart, column, shape, held_out[:, i], samples[:, i])
    text = f"{'Shares of the levels' if column.size else 'Histogram'} of {shape.name}"
    return {
        "name": shape.name,
        "kind": shape.kind,
        "p": p.get(shape.name),
        "picture": themed(draw(LIGHT), draw(DARK), text, WIDTH),
        "measures": _measures(column, shape, len(samples)),
    }


def _measures(column: TypedColumn, shape: ColumnShape, count: int) -> list[tuple[str, str, str]]:
    """What was measured of a column: its name with its unit, the value, and the same for real data."""
    title = "TVComplement" if column.size else "KSComplement"
    rows = [
        (shape.distance.name, *_distance(shape.distance)),
        (f"{title} of SDMetrics, 1 is ideal", number(shape.score), ""),
    ]
    if shape.wasserstein is not None:
        unit = "units of the column" if column.kind == "number" else f"encoded units of the {column.kind}"
        rows.append((f"Wasserstein distance, {unit}", *_distance(shape.wasserstein)))
    if shape.missing.samples or shape.missing.real:
        rows.append(("missing values, share of rows", *_share(shape.missing)))
    if max(shape.atom.samples, shape.atom.real) > 0.01:
        rows.append((f"most common value, {value_text(column, shape.atom_value)}, share of rows", *_share(shape.atom)))
    if shape.repeated is not None and shape.repeated.real > 0.01:
        rows.append(("values that occur more than once, share", *_share(shape.repeated)))
    if np.isfinite(shape.least):
        ends = f"{value_text(column, shape.least)} to {value_text(column, shape.largest)}"
        rows.append((f"samples outside the range {ends}", f"{shape.below:,} below, {shape.above:,} above", ""))
    if shape.unseen is not None:
        what = "a category" if column.size else "a number"
        by_chance = f"by chance about {number(shape.unseen_by_chance, 2)}"
        rows.append((f"samples with {what} that no row has", f"{shape.unseen:,}", by_chance))
    return rows


def _distance(distance: Distance) -> tuple[str, str]:
    return number(distance.value), f"real data: {number(distance.low)} to {number(distance.high)}"


def _share(share: Share) -> tuple[str, str]:
    return percent(
        share.samples
    ), f"held out: {percent(share.real)}; by chance {percent(share.low)} to {percent(share.high)}"


def _strip(distance: Distance) -> dict[str, Any]:
    return positions(distance, 0.0, 1.0)


def _utility(utility: Utility) -> dict[str, Any]:
    rows = [
        ("samples", number(utility.samples)),
        ("as many real rows", number(utility.real)),
        ("nothing (a constant)", number(utility.constant)),
    ]
    low, high = (number(end) for end in utility.interval)
    note = f"Samples minus real rows: 95 % interval {low} to {high}, from resampled test rows."
    if utility.errors is not None:
        here, there = (number(error) for error in utility.errors)
        note += f" Root mean squared errors, in the units of {utility.target}: {here} and {there}."
    return {"value": utility, "rows": rows, "note": note}


def _privacy(privacy: Privacy) -> dict[str, Any]:
    """The histogram of distances, and what they mean in the words of the verdict."""
    sides = privacy.distances, privacy.held_out
    shares = privacy.copies, privacy.copies_held_out
    near = Neighbours(*sides, *shares, privacy.closer.p_value or 1.0)
    text = "Histograms of distances to the nearest training row"
    closer = privacy.closer
    found = (
        f"{percent(closer.value)} of the samples are nearer to a training row than to any of as many held-out rows; by chance "
        f"{percent(closer.low)} to {percent(closer.high)} (p = {number(closer.p_value or 1.0)}). {percent(shares[0])} of the "
        f"samples equal a training row, and {percent(shares[1])} of the held-out rows do."
    )
    said = "Samples may be copies of training rows" if privacy.suspicious else "No copies were found"
    return {
        "picture": chart(partial(neighbour_histogram, near), text),
        "summary": f"{said}: {found}",
        "suspicious": privacy.suspicious,
        "note": privacy.note,
    }
