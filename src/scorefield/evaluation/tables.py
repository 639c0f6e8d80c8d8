"""What is measured of tables: columns by their kind, pairs of them, missing values, utility and privacy."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch

from .. import metrics
from ..data import Rows, Schema
from ..metrics import Distance, PlainColumn, TestFamily, TypedColumn
from ..progress import mapped, part
from .base import TableEvaluation

__all__ = ["evaluate_table", "matrix_of", "table_columns", "table_tests"]

_KNOWN = 2**25  # numbers of training data, at most
_WIDE = 256  # columns whose pairs are compared


def table_columns(schema: Schema) -> tuple[TypedColumn, ...] | None:
    """The columns of a schema of tables, numbers and booleans if it does not describe them; None if it is not of tables."""
    described: tuple[TypedColumn, ...] = schema.table
    if described:
        return described
    if schema.kind not in ("dataframe", "series"):
        return None
    named = zip(schema.columns or (), schema.column_dtypes or ())
    return tuple(PlainColumn(n, 2, "boolean") if d.startswith("bool") else PlainColumn(n) for n, d in named)


def matrix_of(rows: Rows, count: int | None = None) -> np.ndarray:
    """The first rows as the data matrix `(M, C)` in float64; as many as fit if no count is given."""
    count = max(2, _KNOWN // rows.shape[1]) if count is None else count
    return rows.take(range(min(len(rows), count)), torch.float64).numpy()


def evaluate_table(
    samples: np.ndarray,
    train: np.ndarray | None,
    held_out: np.ndarray,
    columns: Sequence[TypedColumn],
    target: str | None = None,
    seed: int = 0,
) -> tuple[TableEvaluation, tuple[TestFamily, ...]]:
    """Compares samples of a table with held-out rows.

    Arguments:
        samples, held_out: Data matrices `(N, C)` and `(M, C)`, with codes for categories and NaN for missing values.
        train: The rows that the model was trained on; None if nothing was held out, or held-out rows were chosen by a context.
        columns: A description per column.
        target: The name of the column that utility predicts; the last category by default.
        seed: The seed of subsets, folds and splits.

    Returns:
        What was measured, and the tests of columns, pairs, missing values and ranges.

    Raises:
        ValueError: If there is no column of the target's name.
    """
    many = 1 < len(columns) <= _WIDE
    with part(0, 0.5):
        families, boosted = table_tests(samples, train, held_out, columns, seed)
    missing = np.isnan(samples).any() or np.isnan(held_out).any()
    sides: tuple[Any, ...] = (samples, held_out, train)
    measures: dict[str, Callable[[], Any]] = {
        "shapes": lambda: metrics.table_shapes(*sides, columns=columns, seed=seed),
        "trends": lambda: metrics.table_trends(*sides, columns=columns, seed=seed) if many else None,
        "patterns": lambda: metrics.missing_patterns(samples, held_out, columns, seed=seed) if missing else None,
        "utility": lambda: (
            None
            if train is None or len(columns) < 2
            else metrics.table_utility(samples, train, held_out, columns=columns, target=target, seed=seed)
        ),
        "privacy": lambda: (
            None if train is None else metrics.table_privacy(samples, train, held_out, columns=columns, seed=seed)
        ),
    }
    with part(0.5, 1):
        values = dict(zip(measures, mapped(lambda name: measures[name](), list(measures))))
    return TableEvaluation(**values, boosted=boosted, columns=tuple(columns)), families


def table_tests(
    samples: np.ndarray,
    train: np.ndarray | None,
    held_out: np.ndarray,
    columns: Sequence[TypedColumn],
    seed: int = 0,
) -> tuple[tuple[TestFamily, ...], Distance]:
    """The tests among what `evaluate_table` measures: of columns, pairs, missing values and ranges, and with boosted trees."""
    real = held_out if train is None else np.concatenate([train, held_out])
    families = metrics.table_tests(samples, held_out, train, columns=columns, seed=seed)
    boosted = metrics.boosted_test(samples, held_out, columns=columns, seed=seed)
    cycles = metrics.cycle_test(samples, held_out, train, columns=columns, seed=seed)
    return (*families, *cycles, *metrics.range_test(samples, real, columns)), boosted
