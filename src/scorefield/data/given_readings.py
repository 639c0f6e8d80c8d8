"""Which readings of rows are given."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from .readings import Encoded

__all__ = ["flags_of", "free_first"]


def flags_of(given: Any, encoded: Encoded) -> Tensor:
    """Which numbers of rows of readings are given, `(N, 3 L)`, from flags in the order of the data.

    Arguments:
        given: True for readings that are given, `(n,)` or `(n, P)`; for arrays of different lengths a list of them.
        encoded: The readings.

    Raises:
        ValueError: If there is not one flag for each reading.
    """
    listed = given.to_numpy() if hasattr(given, "to_numpy") else given
    parts = listed if isinstance(listed, list | tuple) else [listed]
    flags = np.concatenate([np.atleast_1d(np.asarray(part)) for part in parts]) if len(parts) else np.zeros(0)
    if flags.dtype != bool or len(flags) != len(encoded.row) or flags.ndim > 2:
        need = f"given=[…] holds true or false for each of {len(encoded.row):,} readings"
        raise ValueError(f"{need}, got {flags.dtype} of shape {flags.shape}")
    flags = np.broadcast_to(flags if flags.ndim == 2 else flags[:, None], encoded.row.shape)
    there = encoded.row >= 0
    known = torch.zeros(encoded.x.shape, dtype=torch.bool)
    known[encoded.row[there], encoded.slot[there]] = torch.from_numpy(flags[there])
    return known


def free_first(x: Tensor, known: Tensor) -> tuple[Tensor, Tensor]:
    """Rows `(N, 3 L)` and flags with the readings that are not known first: their order says nothing."""
    length = x.shape[1] // 3
    rank = known[:, :length].long() + 2 * x[:, 2 * length :].isnan()
    order = rank.argsort(dim=1, stable=True)
    places = torch.cat((order, order + length, order + 2 * length), 1)
    return x.gather(1, places), known.gather(1, places)
