"""Exact functions of discrete columns: functional dependencies of a table, as plain values."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

__all__ = ["ColumnFunction", "Disagreement", "determined", "disagreements", "with_sources", "with_values"]

_NEAR = 1e-6  # relative: how far a number may be off and still be the one that is meant
_ROUNDING = 4  # roundings that a value at a cut may have gathered


@dataclass(frozen=True)
class ColumnFunction:
    """A column that is a function of one other column, constant between cuts: a functional dependency.

    A cut belongs to the cell above it. Numbers are the encoded ones of columns: codes of categories, and values.

    Arguments:
        target: The column that is determined.
        source: The column that determines it.
        cuts: Where one cell of the source ends and the next begins, increasing: K - 1 numbers for K cells.
        values: The value of the target in each cell, K numbers.
        points: The one value that the source has in each cell, K numbers; empty if cells hold several.

    Raises:
        ValueError: If the numbers of cuts, values and points do not fit, or cuts do not increase.

    Example:
        >>> group = ColumnFunction(1, 0, (18.0, 65.0), (0.0, 1.0, 2.0))
        >>> group.describe(["age", "age_group"]), group.of(torch.tensor([17.0, 18.0, 64.9, 65.0])).tolist()
        ('age_group is determined by age', [0.0, 1.0, 1.0, 2.0])
        >>> label = ColumnFunction(1, 0, (0.5, 1.5), (7.0, 5.0, 9.0), (0.0, 1.0, 2.0))
        >>> label.one_to_one, label.source_of(torch.tensor([5.0, 9.0])).tolist()
        (True, [1.0, 2.0])
    """

    target: int
    source: int
    cuts: tuple[float, ...]
    values: tuple[float, ...]
    points: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        for name in ("cuts", "values", "points"):
            object.__setattr__(self, name, tuple(getattr(self, name)))
        cells, places = len(self.cuts) + 1, len(self.points)
        if len(self.values) != cells or places not in (0, cells):
            what = f"{len(self.cuts)} cuts make {cells} cells, each with a value, and with a point or none with one"
            raise ValueError(f"{what}: got {len(self.values)} values and {places} points")
        if any(not a < b for a, b in zip(self.cuts, self.cuts[1:])):
            raise ValueError("the cuts between cells must increase")

    @cached_property
    def one_to_one(self) -> bool:
        """Whether the target also determines the source."""
        return bool(self.points) and len(set(self.values)) == len(self.values)

    def of(self, source: Tensor) -> Tensor:
        """The target's values of values of the source, of the same shape, in float64; NaN where that is NaN."""
        wide = source.double()
        wide = wide + _ROUNDING * torch.finfo(source.dtype).eps * wide.abs()
        cuts, values = (torch.tensor(v, dtype=torch.float64, device=source.device) for v in (self.cuts, self.values))
        cells = torch.bucketize(wide.detach().contiguous(), cuts, right=True)
        return torch.where(source.isnan(), torch.nan, values[cells])

    def source_of(self, target: Tensor) -> Tensor:
        """The source's values of values of the target, if it is one to one, of the same shape in float64; NaN for others."""
        order = np.argsort(self.values)
        values = torch.tensor(np.array(self.values)[order], device=target.device)
        points = torch.tensor(np.array(self.points)[order], device=target.device)
        wide = target.double().contiguous()
        above = torch.searchsorted(values, wide).clamp_max(len(values) - 1)
        below = (above - 1).clamp_min(0)
        nearest = torch.where((values[below] - wide).abs() < (values[above] - wide).abs(), below, above)
        return torch.where(differs(values[nearest], wide) | wide.isnan(), torch.nan, points[nearest])

    def violated(self, x: Tensor) -> Tensor:
        """Which rows `(B, C)` do not have it, `(B,)`; a missing value is passed over."""
        return differs(self.of(x[:, self.source]), x[:, self.target].double())

    def describe(self, names: Sequence[object] | None = None) -> str:
        """The function in words, such as "country is determined by city"."""
        source, target = (f"column {c}" if names is None else str(names[c]) for c in (self.source, self.target))
        return (
            f"{source} and {target} determine each other" if self.one_to_one else f"{target} is determined by {source}"
        )


def differs(one: Tensor, other: Tensor) -> Tensor:
    """Whether numbers in float64 differ by more than rounding; false where one is NaN."""
    return (one - other).abs() > _NEAR * one.abs()


def with_values(functions: Sequence[ColumnFunction], x: Tensor, known: Tensor) -> tuple[Tensor, Tensor]:
    """Known values of rows, with those of which a known value is the source: `(B, C)` and as many flags.

    Functions are in the order in which they are computed.
    """
    x, known = x.clone(), known.clone()
    for f in functions:
        rows = known[:, f.source] & ~known[:, f.target]
        x[:, f.target] = torch.where(rows, f.of(x[:, f.source]).to(x.dtype), x[:, f.target])
        known[:, f.target] |= rows
    return x, known


def with_sources(functions: Sequence[ColumnFunction], x: Tensor, known: Tensor) -> tuple[Tensor, Tensor]:
    """Known values of rows, with sources of which they leave one value: `(B, C)` and as many flags."""
    x, known = x.clone(), known.clone()
    for source in _sources(functions):
        own = [f for f in functions if f.source == source]
        rows, kinds, allowed, points = _possible(own, x, known)
        if points is None or not len(rows):
            continue
        only = (allowed.sum(1) == 1)[kinds]
        x[rows[only], source] = points[allowed.int().argmax(1)][kinds][only].to(x.dtype)
        known[rows[only], source] = True
    return x, known


def determined(
    functions: Sequence[ColumnFunction], x: Tensor, known: Tensor
) -> Iterator[tuple[ColumnFunction, Tensor]]:
    """Each function with the rows `(B,)` whose target follows from a known value of its source, which is not missing."""
    for f in functions:
        yield f, known[:, f.source].bool() & ~x[:, f.source].isnan()


class Disagreement(NamedTuple):
    """Known values that no row has together.

    Arguments:
        functions: The functions that say so.
        columns: The columns that are connected by functions to those of the values.
        rows: In which rows, `(B,)`.
    """

    functions: tuple[ColumnFunction, ...]
    columns: tuple[int, ...]
    rows: Tensor


def disagreements(functions: Sequence[ColumnFunction], x: Tensor, known: Tensor) -> Iterator[Disagreement]:
    """Known values of rows `(B, C)` that no row has together: a source and a target, or targets of one source."""
    x, known = with_sources(functions, x, known)
    given = torch.where(known, x, torch.nan)
    for f in functions:
        yield Disagreement((f,), _family(functions, f.source), f.violated(given))
    for source in _sources(functions):
        own = [f for f in functions if f.source == source]
        places, kinds, allowed, _ = _possible(own, x, known)
        wrong = torch.zeros(len(x), dtype=torch.bool, device=x.device)
        wrong[places] = ~allowed.any(1)[kinds]
        yield Disagreement(tuple(own), _family(functions, source), wrong)


def _sources(functions: Sequence[ColumnFunction]) -> list[int]:
    """The sources of functions, those that are determined themselves first."""
    depth: dict[int, int] = {}
    for f in functions:
        depth[f.target] = depth.setdefault(f.source, 0) + 1
    return sorted({f.source for f in functions}, key=lambda c: (-depth[c], c))


def _family(functions: Sequence[ColumnFunction], column: int) -> tuple[int, ...]:
    """The columns that are connected to one by functions."""
    found, before = {column}, set[int]()
    while found != before:
        before = set(found)
        for f in functions:
            found |= {f.source, f.target} if found & {f.source, f.target} else set()
    return tuple(sorted(found))


def _possible(
    functions: Sequence[ColumnFunction], x: Tensor, known: Tensor
) -> tuple[Tensor, Tensor, Tensor, Tensor | None]:
    """What known targets leave of a source that is not known.

    Returns:
        The rows in which some targets are known and the source is not, `(M,)`; which of the K combinations of these each
        has, `(M,)`; which of R values of the source each combination allows, `(K, R)`; and these values, `(R,)`, where they are
        all that it has, None otherwise.
    """
    source, targets = functions[0].source, [f.target for f in functions]
    rows = (~known[:, source] & known[:, targets].any(1)).nonzero()[:, 0]
    given = torch.where(known[rows][:, targets], x[rows][:, targets].double(), torch.inf).cpu().numpy()
    patterns, kinds = np.unique(given, axis=0, return_inverse=True)
    points = next((torch.tensor(f.points, dtype=torch.float64) for f in functions if f.points), None)
    cuts = sorted({cut for f in functions for cut in f.cuts})
    below = min(cuts) - 1 - abs(min(cuts))
    probes = torch.tensor([below, *cuts], dtype=torch.float64) if points is None else points
    allowed = torch.ones(len(patterns), len(probes), dtype=torch.bool)
    for f, wanted in zip(functions, torch.from_numpy(patterns).T):
        same = ~differs(f.of(probes)[None], wanted[:, None])
        allowed &= same | wanted.isinf()[:, None]
    found = torch.from_numpy(kinds.reshape(-1)).to(x.device)
    return rows, found, allowed.to(x.device), None if points is None else points.to(x.device)
