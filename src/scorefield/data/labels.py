"""Which rows belong together, and in which order they were recorded: from a column of a table, or from values of their own."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..user_values import real_array
from .columns import Column
from .columns.infer import ColumnWishes, column_of
from .errors import DataError
from .foreign import native
from .frames import Table, names_of

__all__ = ["group_codes", "time_order"]


def group_codes(groups: Any, x: Any, count: int) -> np.ndarray:
    """The group of each row as a number, `(N,)` in int64.

    Arguments:
        groups: The name of a column of the table `x`, or a label for each row: an array, a list, a Series, a tensor.
        x: The data.
        count: The number of rows.

    Raises:
        ValueError: If there is not one label for each row, or a label is missing.

    Example:
        >>> group_codes(["a", "b", "a"], None, 3).tolist()
        [0, 1, 0]
    """
    named = isinstance(groups, str | int)
    values = _column(x, groups, "groups") if named else groups
    labels = real_array(values, "groups")
    if labels.ndim == 2 and labels.shape[1] == 1:
        labels = labels[:, 0]
    if labels.shape != (count,):
        raise DataError(
            f"groups need one label for each of {count} rows, got the shape {labels.shape}: pass one column"
        )
    missing = _missing(labels)
    if missing.any():
        raise DataError(
            f"{int(missing.sum())} of {count} rows have no group (first: {int(missing.argmax())}): give each one"
        )
    if labels.dtype.kind == "O":
        numbers: dict[Any, int] = {}
        return np.array([numbers.setdefault(label, len(numbers)) for label in labels.tolist()], np.int64)
    return np.unique(labels, return_inverse=True)[1].reshape(-1).astype(np.int64)


def _missing(labels: np.ndarray) -> np.ndarray:
    if labels.dtype.kind in "mM":
        never: np.ndarray = np.isnat(labels)
        return never
    if labels.dtype.kind == "O":
        return np.array([label is None or label != label for label in labels], bool)
    return np.isnan(labels) if labels.dtype.kind == "f" else np.zeros(len(labels), bool)


def time_order(name: Any, x: Any, count: int) -> np.ndarray:
    """The rows in the order of a column of numbers or dates, `(N,)` in int64; equal ones as they stand in the data.

    Arguments:
        name: The name of the column of the table `x`; None for the order of the rows themselves.
        x: The data.
        count: The number of rows.

    Raises:
        ValueError: If there is no such column, it holds neither numbers nor dates, or a value is missing.
    """
    if name is None:
        return np.arange(count)
    values = _column(x, name, "split")
    if isinstance(values, np.ndarray):
        numbers = values.astype(np.float64)
    else:
        found = column_of(values, name, ColumnWishes(keep=True))
        if not isinstance(found, Column) or found.size:
            what = found if isinstance(found, str) else found.reason
            raise DataError(f"column {name!r} does not order rows in time ({what}): name one of numbers or dates")
        numbers = np.asarray(found.encode(values), np.float64)
    missing = np.isnan(numbers)
    if missing.any():
        where = f"{int(missing.sum())} of {count} rows have no {name!r} (first: {int(missing.argmax())})"
        raise DataError(f"{where}: fill them, or leave these rows out")
    return np.argsort(numbers, kind="stable")


def _column(x: Any, name: Any, setting: str) -> Any:
    """A column of a table by its name: an array of one on disk, a Series of others."""
    x = native(x)
    if isinstance(x, Table):
        names = x.columns
    elif hasattr(x, "columns") and hasattr(x, "iloc"):
        names = names_of(x)
    else:
        what = f"{setting} names the column {name!r} of a table, got {type(x).__name__} data"
        raise DataError(
            f"{what}: pass {'a label for each row' if setting == 'groups' else 'rows in the order of time'}"
        )
    place = next((i for i, known in enumerate(names) if known == name or str(known) == str(name)), None)
    if place is None:
        has = ", ".join(map(repr, names[:10]))
        raise DataError(f"{setting} names {name!r}, which is not a column of the table: it has {has}")
    return np.asarray(x.values[:, place]) if isinstance(x, Table) else x.iloc[:, place]
