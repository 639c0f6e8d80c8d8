"""Samples as the page takes them: numbers without loss, and rows of tables as text."""

from __future__ import annotations

import base64
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..data import Schema
from ..likelihood import LogProb

__all__ = ["densities", "packed", "samples"]

_ROWS = 100  # of a table, which are sent as text


def packed(x: Tensor, dtype: str = "f8") -> dict[str, Any]:
    """Numbers as their bytes in base64, little-endian: `Float64Array` and `Float32Array` read them without loss.

    Example:
        >>> packed(torch.ones(2, 1))
        {'shape': [2, 1], 'dtype': 'f8', 'data': 'AAAAAAAA8D8AAAAAAADwPw=='}
    """
    values = np.ascontiguousarray(x.detach().cpu().numpy(), dtype=f"<{dtype}")
    return {"shape": list(x.shape), "dtype": dtype, "data": base64.b64encode(values.tobytes()).decode()}


def samples(x: Any, schema: Schema) -> dict[str, Any]:
    """Samples in the form of the data, for the page: in the layout of networks, and rows of a table as text."""
    found: dict[str, Any] = {"values": packed(schema.unpack(x, torch.float64))}
    if schema.table:
        frame = x if schema.kind == "dataframe" else x.to_frame()
        found["rows"] = [[str(v) for v in row] for row in frame.head(_ROWS).itertuples(index=False, name=None)]
        found["ticks"] = _ticks(schema, schema.unpack(x, torch.float64).numpy())
    return found


def _ticks(schema: Schema, x: np.ndarray) -> list[list[list[Any]] | None]:
    """For columns that are neither numbers nor categories, such as dates: some values and what they read."""
    found: list[list[list[Any]] | None] = []
    for column, values in zip(schema.table, x.T):
        known = values[np.isfinite(values)]
        if column.kind == "number" or column.size or not len(known):
            found.append(None)
            continue
        places = np.unique(np.rint(np.linspace(known.min(), known.max(), 3)))
        found.append([[float(at), str(text)] for at, text in zip(places, column.decode(places).tolist())])
    return found


def densities(found: LogProb) -> dict[str, Any]:
    """Log-densities and their errors, for the page."""
    names = ("value", "error", "standard_error", "solver_error", "end_error", "truncation")
    return {name: packed(getattr(found, name).double()) for name in names}
