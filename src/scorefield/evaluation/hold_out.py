"""How rows were held out, where they are not independent draws: whole groups, copies of a row together, or the last in time."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from ..data import Rows
from ..fitting import Split
from ..metrics import one_per_group

__all__ = ["HoldOut"]


@dataclass(frozen=True)
class HoldOut:
    """How rows were held out.

    Arguments:
        groups: The groups of training rows and of held-out rows, `(N,)` and `(M,)`, of which none is on both sides; None if
            rows are not grouped.
        named: Whether the user gave the groups; if not, a group is the copies of one row.
        order: The places of the training rows in time, `(N,)`, if the held-out rows are the last ones; None if not.
        said: The same in words.

    Example:
        >>> how = HoldOut((np.repeat([0, 1], 3), np.repeat([2, 3], 3)), named=True)
        >>> how.count
        2
    """

    groups: tuple[np.ndarray, np.ndarray] | None = None
    named: bool = False
    order: np.ndarray | None = None
    said: str = ""

    @classmethod
    def of(cls, parts: Split) -> HoldOut | None:
        """That of a split; None if rows were held out one by one at random."""
        if not parts.separate or (parts.groups is None and parts.order is None):
            return None
        groups = None if parts.groups is None else (parts.groups[parts.places[0]], parts.groups[parts.places[1]])
        order = None if parts.order is None else parts.order[parts.places[0]]
        return cls(groups, parts.named, order, parts.said)

    @property
    def later(self) -> bool:
        """Whether held-out rows were recorded after training rows."""
        return self.order is not None

    @property
    def count(self) -> int | None:
        """How many groups were held out; None if rows are not grouped."""
        return None if self.groups is None else len(np.unique(self.groups[1]))

    def subset(self, places: np.ndarray) -> HoldOut:
        """The same of some of the held-out rows."""
        return self if self.groups is None else replace(self, groups=(self.groups[0], self.groups[1][places]))

    def independent(self, train: Rows, held_out: Rows) -> tuple[Rows, Rows]:
        """One row of each group, on either side; all rows if they are not grouped."""
        if self.groups is None:
            return train, held_out
        few, fresh = (rows.subset(one_per_group(codes)) for rows, codes in zip((train, held_out), self.groups))
        return few, fresh

    def without_copies(self, train: Rows, held_out: Rows) -> tuple[Rows, Rows]:
        """The distinct rows, on either side, where groups are copies of a row; all rows where they are not."""
        if self.groups is None or self.named:
            return train, held_out
        firsts = (np.unique(codes, return_index=True)[1] for codes in self.groups)
        known, fresh = (rows.subset(np.sort(first)) for rows, first in zip((train, held_out), firsts))
        return known, fresh
