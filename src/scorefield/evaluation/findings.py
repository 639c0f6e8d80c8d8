"""What is wrong with single columns or values of samples, in words that say what to do about it."""

from __future__ import annotations

import numpy as np

from ..display import joined
from ..metrics import ColumnShape, ConditionalColumn, TestFamily, TypedColumn, value_text
from ..metrics.tables import NEW_VALUES
from .base import Evaluation

__all__ = ["conditionals_advice", "conditionals_finding", "range_finding", "table_findings"]

_RANGE = "values outside the range of the data"
_CYCLES = "times of day and weekdays"
_SHOWN = 3  # columns that a sentence names
_LEVEL = 0.05  # of a column, with its family's correction
_ATOM = 0.05  # share of a value that counts as a spike
_APART = 0.02  # difference of shares that is worth a sentence


def table_findings(found: Evaluation) -> tuple[str, ...]:
    """Faults of single columns that tests of this evaluation reject, each with its remedy; none if there is none.

    More training does not remove values outside bounds, missing spikes or impossible values. If there is such a fault, it is
    to be removed first, and this says how.
    """
    table, rejected = found.table, {d.name for d in found.rejected}
    if table is None or not rejected:
        return ()
    families = {family.distance.name: family for family in found.families if family.distance.name in rejected}
    shapes = dict(zip((shape.name for shape in table.shapes.columns), zip(table.shapes.columns, table.columns)))
    said = (
        _ranges(families.get(_RANGE), shapes, found.count),
        _atoms(families.get("columns"), shapes),
        _cycles(families.get(_CYCLES)),
        _unseen(shapes, found.count),
        _missing(families.get("missing values")),
    )
    return tuple(sentence for sentence in said if sentence)


def range_finding(found: Evaluation) -> str:
    """What to do about values outside the range of data that are not a table.

    It is "" if there are none, too few to tell, or if most tests find a difference: then values are wrong everywhere, not at
    the ends alone.
    """
    rejected = {d.name for d in found.rejected}
    if found.table is not None or _RANGE not in rejected or len(rejected) > len(found.tests) / 2:
        return ""
    text = "If values outside the range of the data are impossible, clip samples to it (numpy.clip)"
    return (
        f"{text}, or pass a DataFrame and declare bounds (bounds of Data)." if found.samples.ndim == 2 else f"{text}."
    )


def conditionals_finding(found: Evaluation) -> str:
    """Whether values drawn given others are those of held-out rows, and of which columns not; "" if that was not asked."""
    check = found.conditionals
    if check is None:
        return ""
    if check.failed:
        return f"Conditionals could not be checked: {check.failed}."
    how = f"{check.rows:,} held-out rows with half of their columns drawn again"
    how += f", {check.each:,} rows for each column given all others" if check.columns else ""
    missed = [c for c in check.missed if c not in check.wrong]
    knows = ""
    if missed:
        knows = f" Boosted trees predict {_named([_skills(c) for c in missed])} better, given all other columns."
    if not check.rejected:
        return f"Values drawn given others are not distinguished from held-out ones ({how}).{knows}"
    first = check.rejected[0]
    said = f"Values drawn given others are distinguished from held-out ones ({how}), most clearly by: {first.name}"
    said = f"{said} (p = {first.p_value:.2g}): {first.note}."
    wrong = f" Wrong given all others: {_named([_skills(c) for c in check.wrong])}." if check.wrong else ""
    return f"{said}{wrong}{knows}"


def _skills(column: ConditionalColumn) -> str:
    known = "" if np.isnan(column.trees) else f", of the trees {column.trees:.2g}"
    return column.name if np.isnan(column.skill) else f"{column.name} (skill {column.skill:.2g}{known})"


def conditionals_advice(found: Evaluation) -> str:
    """What to do about conditionals that are wrong; "" if nothing is."""
    check = found.conditionals
    worst = () if check is None else tuple(dict.fromkeys((*check.wrong, *check.missed)))
    if check is None or not (check.rejected or worst):
        return ""
    text = "For better conditionals train longer, and name the columns that you will ask for, if they are few"
    name = worst[0].name if worst else "NAME"
    return f"{text}: targets of Data, --targets {name if name.isidentifier() else repr(name)}."


_Shapes = dict[str, tuple[ColumnShape, TypedColumn]]


def _rejected(family: TestFamily | None) -> list[int]:
    """The members of a family that are rejected, smallest p-value first."""
    if family is None:
        return []
    order = np.argsort(family.p_values, kind="stable")
    return [int(i) for i in order if family.p_values[i] < _LEVEL]


def _named(parts: list[str]) -> str:
    more = len(parts) - _SHOWN
    return joined([*parts[:_SHOWN], *([f"{more} more"] if more > 0 else [])])


def _ranges(family: TestFamily | None, shapes: _Shapes, count: int) -> str:
    parts = []
    for i in _rejected(family):
        shape, column = shapes[family.labels[i]]  # type: ignore[union-attr]
        sides = ((shape.below, "below", shape.least), (shape.above, "above", shape.largest))
        where = " and ".join(f"{k:,} {side} {value_text(column, at)}" for k, side, at in sides if k)
        parts.append(f"{shape.name} ({where}, of {count:,})")
    if not parts:
        return ""
    return (
        f"Samples lie outside the range of the data in {_named(parts)}: if values beyond it are impossible, declare bounds "
        "(bounds of Data, --bounds NAME=LOW:HIGH) and fit again."
    )


def _atoms(family: TestFamily | None, shapes: _Shapes) -> str:
    parts = []
    for i in _rejected(family):
        shape, column = shapes[family.labels[i]]  # type: ignore[union-attr]
        atom = shape.atom
        large = max(atom.samples, atom.real) > _ATOM and abs(atom.samples - atom.real) > _APART
        if not column.size and large and not atom.covered:
            value = value_text(column, shape.atom_value)
            parts.append(
                f"{shape.name} ({value} in {atom.real:.2g} of the rows, and in {atom.samples:.2g} of the samples)"
            )
    if not parts:
        return ""
    return (
        f"A single value has another probability in {_named(parts)}: such values need a column that keeps them apart from "
        "the others (columns of Data)."
    )


def _cycles(family: TestFamily | None) -> str:
    parts = [family.labels[i] for i in _rejected(family)]  # type: ignore[union-attr]
    if not parts:
        return ""
    note = family.distance.note  # type: ignore[union-attr]
    remedies = []
    if any("time of day" in part for part in parts):
        remedies.append("give the date and the time of day as two columns")
    if any(f"{part} {NEW_VALUES}" in note for part in parts):
        remedies.append("leave out samples on weekdays that do not occur")
    text = f"Samples have other times of day or weekdays than the data in {_named(parts)}"
    return f"{text}: {', and '.join(remedies)}." if remedies else f"{text}."


def _unseen(shapes: _Shapes, count: int) -> str:
    new, off = [], []
    for shape, column in shapes.values():
        if shape.unseen is None or shape.unseen <= max(3, 3 * shape.unseen_by_chance):
            continue
        if column.size:
            new.append(f"{shape.name} ({shape.unseen:,} of {count:,} samples)")
        elif shape.unseen > count / 2:
            off.append(f"{shape.name} ({100 * shape.unseen / count:.0f} % of the samples)")
    found = []
    if new:
        found.append(f"Samples have categories that no row of the data has in {_named(new)}.")
    if off:
        text = "The data repeat a few values, and samples lie between them"
        found.append(f"{text}, in {_named(off)}: give the column its steps, or make it a category (columns of Data).")
    return " ".join(found)


def _missing(family: TestFamily | None) -> str:
    parts = [
        f"{family.labels[i]} ({family.samples[i]:.2g} of the samples, {family.real[i]:.2g} of the rows)"  # type: ignore[union-attr]
        for i in _rejected(family)
    ]
    return f"Values are missing at other rates than in the data: {_named(parts)}." if parts else ""
