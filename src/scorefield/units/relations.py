"""Exact relations between columns or channels, as plain values: linear ones, and functions of one column."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from .functions import ColumnFunction, disagreements, with_sources, with_values

__all__ = ["Relation", "Relations", "one_hot_code"]

_NEAR = 1e-6  # of the terms of a relation: how far data may be off and still count as data that have it
_ROUNDING = 64  # roundings that a sum may have gathered
_QUARTER = 0.25  # of a unit of the last digit: what is farther from a decimal is not made one


@dataclass(frozen=True)
class Relation:
    """A column that is a linear function of others: x[target] = (Σ coefficients · x[columns] + offset) / divisor.

    With whole coefficients and divisor 1, it is exact on whole numbers; an equal column is equal to the last bit.

    Arguments:
        target: The dependent column.
        columns: The columns that it follows from; none for a constant.
        coefficients: Their coefficients.
        offset: What is added.
        divisor: What the sum is divided by.
        digits: The decimals of the dependent column: the sum is freed of its rounding error, so that 0.1 + 0.2 is 0.3.
            None where its values are not decimals.

    Raises:
        ValueError: If there is not one coefficient a column, or the divisor is not positive.

    Example:
        >>> Relation(3, (0, 1, 2), (1, 1, 1)).describe(["a", "b", "c", "total"])
        'total = a + b + c'
        >>> Relation(2, (0, 1), (-1, -1), 1).describe()
        'column 2 = 1 - column 0 - column 1'
        >>> Relation(1, (0,), (9,), 160, 5).describe(["celsius", "fahrenheit"])
        'fahrenheit = (9 celsius + 160) / 5'
    """

    target: int
    columns: tuple[int, ...] = ()
    coefficients: tuple[float, ...] = ()
    offset: float = 0
    divisor: int = 1
    digits: int | None = None

    def __post_init__(self) -> None:
        for name in ("columns", "coefficients"):
            object.__setattr__(self, name, tuple(getattr(self, name)))
        if len(self.columns) != len(self.coefficients):
            raise ValueError(f"{len(self.columns)} columns need as many coefficients, got {len(self.coefficients)}")
        if self.divisor < 1:
            raise ValueError(f"a sum is divided by a positive whole number, got {self.divisor}")

    @property
    def copy(self) -> bool:
        """Whether the column equals another one."""
        return self.coefficients == (1,) and self.offset == 0 and self.divisor == 1

    def size(self, x: Tensor) -> Tensor:
        """The sum of the absolute terms, which errors are measured by: `(B, C, …)` to `(B, …)` in float64."""
        total = torch.full_like(x[:, 0], abs(self.offset), dtype=torch.float64)
        for column, coefficient in zip(self.columns, self.coefficients):
            total = total + abs(coefficient) * x[:, column].double().abs()
        return total / self.divisor

    def value(self, x: Tensor) -> Tensor:
        """The dependent column of data whose other columns are there: `(B, C, …)` to `(B, …)` in float64."""
        total = torch.full_like(x[:, 0], 0.0, dtype=torch.float64)
        for column, coefficient in zip(self.columns, self.coefficients):
            total = total + coefficient * x[:, column].double()
        total = (total + self.offset) / self.divisor
        return total if self.digits is None or self.copy else self._decimal(total, x)

    def _decimal(self, total: Tensor, x: Tensor) -> Tensor:
        """Sums that are a decimal up to rounding errors as that decimal; gradients pass."""
        unit = 10.0 ** (self.digits or 0)
        nearest = (total.detach() * unit).round() / unit
        error = _ROUNDING * torch.finfo(x.dtype).eps * self.size(x.detach())
        is_one = (total.detach() - nearest).abs() <= error.clamp_max(_QUARTER / unit)
        return total + torch.where(is_one, nearest - total.detach(), 0.0)  # exact: the two are neighbours

    def describe(self, names: Sequence[object] | None = None) -> str:
        """The relation in words, such as "total = a + b + c"."""
        terms = [(self.offset, "")] if self.offset and (self.divisor == 1 and self.offset > 0) else []
        leading = bool(terms) and all(c < 0 for c in self.coefficients)
        terms = terms if leading else []
        terms += [(c, _name(i, names)) for i, c in zip(self.columns, self.coefficients)]
        terms += [(self.offset, "")] if self.offset and not leading else []
        words = "".join(_term(c, name, not k) for k, (c, name) in enumerate(terms)) or "0"
        if self.divisor > 1:
            words = f"({words}) / {self.divisor}" if len(terms) > 1 else f"{words} / {self.divisor}"
        return f"{_name(self.target, names)} = {words}"


def _name(column: int, names: Sequence[object] | None) -> str:
    return f"column {column}" if names is None else str(names[column])


def _term(coefficient: float, name: str, first: bool) -> str:
    sign = ("-" if coefficient < 0 else "") if first else (" - " if coefficient < 0 else " + ")
    number = f"{abs(coefficient):.10g}"
    return sign + (number if not name else name if number == "1" else f"{number} {name}")


@dataclass(frozen=True)
class Relations:
    """The exact relations among the columns of a table, or the channels of a grid: a plain value.

    Columns that no relation gives are independent. A one-hot group, columns of 0 and 1 of which one is 1 in every row,
    becomes one category, whose code is the place of that column in the group.

    Arguments:
        size: The number of columns.
        items: The relations; each gives one column, from columns that no relation gives.
        groups: The one-hot groups, each the columns of one, in order.
        whole: The independent columns that hold whole numbers and enter sums: they are rounded before these are computed.
        low: What each column cannot lie below, None where that is not known; empty for all.
        high: The same from above.
        names: The names of the columns, for messages; empty for their numbers.
        reflected: The independent columns that are reflected at their bounds; the others are clipped to them.
        counted: The columns whose numbers are not values as people write them, such as dates in periods since the first one.
        functions: The columns of a table that are functions of one other, each after the one that gives its source. The target
            of a function that is one to one is dependent. That of any other stays independent, so that it can be known without
            its source, and is computed all the same.

    Raises:
        ValueError: If a column is given twice, or from a column that is given itself, groups overlap, a function gives what
            relations use or comes before the one that gives its source.

    Example:
        >>> found = Relations(5, (Relation(4, (0, 3), (1, 1)),), ((1, 2, 0),), names=("a", "b", "c", "x", "total"))
        >>> found.kept, found.levels
        ((0, 3), (3, 0))
        >>> found.describe()
        ('total = a + x', 'one of b, c, a is 1 in every row: a category')
    """

    size: int
    items: tuple[Relation, ...] = ()
    groups: tuple[tuple[int, ...], ...] = ()
    whole: tuple[int, ...] = ()
    low: tuple[float | None, ...] = ()
    high: tuple[float | None, ...] = ()
    names: tuple[str, ...] = ()
    reflected: tuple[int, ...] = ()
    counted: tuple[int, ...] = ()
    functions: tuple[ColumnFunction, ...] = ()

    def __post_init__(self) -> None:
        for name in ("items", "whole", "low", "high", "names", "reflected", "counted", "functions"):
            object.__setattr__(self, name, tuple(getattr(self, name)))
        object.__setattr__(self, "groups", tuple(map(tuple, self.groups)))
        for name in ("low", "high"):
            object.__setattr__(self, name, getattr(self, name) or (None,) * self.size)
        targets = [item.target for item in self.items]
        used = {c for item in self.items for c in item.columns} | {c for group in self.groups for c in group}
        grouped = [c for group in self.groups for c in group]
        twice = sorted({c for c in targets if targets.count(c) > 1} | (set(targets) & used))
        twice += sorted({c for c in grouped if grouped.count(c) > 1})
        if twice:
            raise ValueError(
                f"columns {twice} are given by a relation and used by another: give them in terms of others"
            )
        if any(not 0 <= c < self.size for c in [*targets, *used]):
            raise ValueError(f"there are {self.size} columns, got relations of {sorted({*targets, *used})}")
        self._check_functions({*targets, *used}, set(grouped))

    def _check_functions(self, used: set[int], grouped: set[int]) -> None:
        for k, f in enumerate(self.functions):
            later = {f.source, *used} | {other.target for other in self.functions[k + 1 :]}
            if f.target in later or f.source in grouped | {other.target for other in self.functions[k:]}:
                what = f"column {f.target} cannot be a function of column {f.source}"
                raise ValueError(f"{what}: other relations use them, or give the source later")
            if not (0 <= f.target < self.size and 0 <= f.source < self.size):
                raise ValueError(f"there are {self.size} columns, got a function of {[f.source, f.target]}")

    def __bool__(self) -> bool:
        return bool(self.items or self.groups or self.functions)

    @cached_property
    def kept(self) -> tuple[int, ...]:
        """The column of each inner column, in order: independent ones, and the first of each group."""
        gone = {item.target for item in self.items} | {c for group in self.groups for c in group}
        gone |= {f.target for f in self.functions if f.one_to_one}
        firsts = {min(group) for group in self.groups}
        return tuple(c for c in range(self.size) if c not in gone or c in firsts)

    @cached_property
    def sources(self) -> frozenset[int]:
        """The independent columns that others are computed from."""
        found = {c for item in self.items for c in item.columns} | {f.source for f in self.functions}
        return frozenset(found - {item.target for item in self.items} - {f.target for f in self.functions})

    @property
    def computed(self) -> tuple[ColumnFunction, ...]:
        """The functions whose targets are independent columns, and computed all the same."""
        return tuple(f for f in self.functions if not f.one_to_one)

    @property
    def levels(self) -> tuple[int, ...]:
        """The number of levels of each inner column that stands for a one-hot group, 0 for other columns."""
        return tuple(len(self.group_of(c) or ()) for c in self.kept)

    def group_of(self, column: int) -> tuple[int, ...] | None:
        """The one-hot group of a column, if it is in one."""
        return next((group for group in self.groups if column in group), None)

    def name_of(self, column: int) -> str:
        """The name of a column, or its number in words."""
        return _name(column, self.names or None)

    def in_words(self, item: Relation) -> str:
        """One of the relations in words; as a formula if its columns hold values that can be read.

        Example:
            >>> ends = Relation(2, (0, 1), (900, 1), -158)
            >>> Relations(3, (ends,), names=("start", "duration", "end"), counted=(0, 2)).in_words(ends)
            'end follows from start and duration'
        """
        names = self.names or None
        if not item.columns or not {item.target, *item.columns} & {*self.counted}:
            return item.describe(names)
        *first, last = (_name(c, names) for c in item.columns)
        return f"{_name(item.target, names)} follows from {', '.join(first)}{' and ' if first else ''}{last}"

    def describe(self) -> tuple[str, ...]:
        """Every relation in words: "red = green = blue", "total = a + b + c"."""
        names = self.names or None
        equal: dict[int, list[int]] = {}
        for item in self.items:
            if item.copy and not {item.target, *item.columns} & {*self.counted}:
                equal.setdefault(item.columns[0], [item.columns[0]]).append(item.target)
        found = [" = ".join(_name(c, names) for c in columns) for columns in equal.values()]
        listed = {column for columns in equal.values() for column in columns[1:]}
        found += [self.in_words(item) for item in self.items if item.target not in listed]
        found += [f.describe(names) for f in self.functions]
        for group in self.groups:
            found.append(f"one of {', '.join(_name(c, names) for c in group)} is 1 in every row: a category")
        return tuple(found)

    def inward(self, x: Tensor) -> Tensor:
        """The inner columns of data, `(B, C, …)` to `(B, len(kept), …)`; a group of unknown values is NaN.

        A source that is missing follows from the target of a function that is one to one.
        """
        for f in reversed(self.functions):
            if f.one_to_one and bool(x[:, f.source].isnan().any()):
                known = torch.where(x[:, f.source].isnan(), f.source_of(x[:, f.target]).to(x.dtype), x[:, f.source])
                x = x.index_copy(1, torch.tensor([f.source], device=x.device), known[:, None])
        columns = [
            x[:, c] if (group := self.group_of(c)) is None else one_hot_code(x[:, list(group)]) for c in self.kept
        ]
        return torch.stack(columns, 1)

    def outward(self, inner: Tensor) -> Tensor:
        """The data of inner columns, `(B, len(kept), …)` to `(B, C, …)`: the inverse of `inward`."""
        columns = [torch.zeros_like(inner[:, 0])] * self.size
        for place, c in enumerate(self.kept):
            group, values = self.group_of(c), inner[:, place]
            if group is None:
                columns[c] = self._settled(c, values)
            for level, member in enumerate(group or ()):
                columns[member] = torch.where(values.isnan(), values, (values.round() == level).to(inner.dtype))
        independent = torch.stack(columns, 1)
        for item in self.items:
            columns[item.target] = item.value(independent).to(inner.dtype)
        for f in self.functions:
            columns[f.target] = f.of(columns[f.source]).to(inner.dtype)
        return torch.stack(columns, 1)

    def _settled(self, column: int, values: Tensor) -> Tensor:
        """Values as they will be in the data, where sums are computed from them: whole, and inside of the bounds."""
        if column not in self.sources:
            return values
        low, high = self.low[column], self.high[column]
        if column in self.reflected:
            values = values if low is None else low + (values - low).abs()
            values = values if high is None else high - (high - values).abs()
        if column not in self.whole:
            return values if low is None and high is None else values.clamp(low, high)
        rounded = values.detach().round()
        if low is not None or high is not None:
            rounded = rounded.clamp(low, high)
        return values + (rounded - values.detach())

    def violated(self, x: Tensor) -> Tensor:
        """Which data do not have the relations, beyond rounding: `(B, C, …)` to `(B,)`. Missing values are passed over."""
        found = torch.zeros(len(x), dtype=torch.bool, device=x.device)
        for _, rows in self._violations(x):
            found |= rows
        return found

    def contradicted(self, x: Tensor) -> str | None:
        """The first relation that some data do not have, in words; None where there is none."""
        return next((words for words, rows in self._violations(x) if bool(rows.any())), None)

    def _violations(self, x: Tensor) -> Iterator[tuple[str, Tensor]]:
        """Each relation in words, and which data do not have it."""
        names = self.names or None
        for item in self.items:
            error = (x[:, item.target].double() - item.value(x)).abs()
            beyond = error > _NEAR * item.size(x)
            yield self.in_words(item), beyond.flatten(1).any(1) if x.ndim > 2 else beyond
        for group in self.groups:
            values = x[:, list(group)]
            known = ~values.isnan().any(1)
            words = f"one of {', '.join(_name(c, names) for c in group)} is 1 and the others 0"
            yield words, known & (((values != 0) & (values != 1)).any(1) | (values.sum(1) != 1))
        for f in self.functions:
            yield f.describe(names), f.violated(x)

    def derived(self, x: Tensor, known: Tensor) -> tuple[Tensor, Tensor]:
        """Known values, with what follows from them: `(B, C, …)` and as many flags.

        That is the one term of a known sum that is not known, what a known column determines, and a column of which known
        ones leave one value.
        """
        if not self.functions:
            return self._with_terms(x, known)
        return with_values(self.functions, *self._with_sums(*with_sources(self.functions, x, known.bool())))

    def disagreeing(self, x: Tensor, known: Tensor) -> Iterator[tuple[str, tuple[int, ...], Tensor]]:
        """Known values `(B, C)` that functions do not allow together: in words, the columns, and the rows, `(B,)`."""
        for found in disagreements(self.functions, *self._with_sums(x, known.bool())):
            words = " and ".join(f.describe(self.names or None) for f in found.functions)
            yield words, found.columns, found.rows

    def _with_sums(self, x: Tensor, known: Tensor) -> tuple[Tensor, Tensor]:
        """Known values, with the one term of a known sum that is not known, and sums that are sources of functions."""
        x, known = self._with_terms(x, known)
        asked = {f.source for f in self.functions}
        for item in (item for item in self.items if item.target in asked):
            rows = known[:, list(item.columns)].all(1) & ~known[:, item.target]
            x[:, item.target] = torch.where(rows, item.value(x).to(x.dtype), x[:, item.target])
            known[:, item.target] |= rows
        return x, known

    def _with_terms(self, x: Tensor, known: Tensor) -> tuple[Tensor, Tensor]:
        """Known values, with the one term of a known sum that is not known."""
        x, known = x.clone(), known.clone()
        for item in self.items:
            for column, coefficient in zip(item.columns, item.coefficients):
                others = [c for c in item.columns if c != column]
                rows = known[:, item.target] & ~known[:, column] & known[:, others].all(1)
                rest = x.index_fill(1, torch.tensor([column], device=x.device), 0.0)
                value = (x[:, item.target] * item.divisor - item.value(rest) * item.divisor) / coefficient
                x[:, column] = torch.where(rows, value.to(x.dtype), x[:, column])
                known[:, column] |= rows
        return x, known

    def beyond(self, x: Tensor, known: Tensor) -> Iterator[tuple[Relation, str, Tensor]]:
        """Where known values `(B, C)` leave a column no room within its bounds, `(B,)`: with the relation, and in words.

        The column is one that follows from others, or the one term of a known sum that is not known.
        """
        terms, flags = self.derived(x, known)
        for item in self.items:
            error = _ROUNDING * torch.finfo(x.dtype).eps * item.size(torch.where(known, x, 0.0))
            places = [(c, terms[:, c], terms[:, c], flags[:, c] & ~known[:, c]) for c in item.columns]
            for column, least, most, asked in [(item.target, *self._reach(item, x, known), None), *places]:
                low, high = self.low[column], self.high[column]
                if low is None and high is None:
                    continue
                rows = (most < _or(low, -math.inf) - error) | (least > _or(high, math.inf) + error)
                words = f"{self.in_words(item)}, {self.name_of(column)} being {_ends(low, high)}"
                yield item, words, rows if asked is None else rows & asked

    def _reach(self, item: Relation, x: Tensor, known: Tensor) -> tuple[Tensor, Tensor]:
        """The least and the largest value of a dependent column, given known values of those that it follows from."""
        found = []
        for side in (-1, 1):
            filled = x.double().clone()
            for column, coefficient in zip(item.columns, item.coefficients):
                above = side * coefficient > 0
                end = (self.high if above else self.low)[column]
                end = math.inf * (1 if above else -1) if end is None else end
                filled[:, column] = torch.where(known[:, column], filled[:, column], end)
            found.append(item.value(filled))
        return found[0], found[1]

    @property
    def may_be_outside(self) -> bool:
        """Whether data may be drawn that are impossible: a sum of positive columns cannot become negative.

        A column that is known may not be what its source, which is drawn, determines.
        """
        if self.computed:
            return True
        x = torch.zeros((1, self.size), dtype=torch.float64)
        for item in self.items:
            low, high = self.low[item.target], self.high[item.target]
            if low is not None or high is not None:
                least, most = (float(end) for end in self._reach(item, x, x.bool()))
                if least < _or(low, -math.inf) or most > _or(high, math.inf):
                    return True
        return False

    def outside(self, x: Tensor) -> Tensor:
        """Which data have a dependent column beyond its bounds, `(B, C, …)` to `(B,)`: 1 - a - b may be negative.

        And which have a column that is not what its source determines: one that is known, of a source that was drawn.
        """
        found = torch.zeros(len(x), dtype=torch.bool, device=x.device)
        for item in self.items:
            values, size = x[:, item.target].double(), _ROUNDING * torch.finfo(x.dtype).eps * item.size(x)
            low, high = self.low[item.target], self.high[item.target]
            for excess in ([] if low is None else [low - values]) + ([] if high is None else [values - high]):
                found |= (excess > size).reshape(len(x), -1).any(1)
        for f in self.functions:
            found |= f.violated(x)
        return found


def _or(bound: float | None, otherwise: float) -> float:
    return otherwise if bound is None else bound


def _ends(low: float | None, high: float | None) -> str:
    if low is None or high is None:
        return f"{high:g} or less" if low is None else f"{low:g} or more"
    return f"{low:g} to {high:g}"


def one_hot_code(values: Tensor) -> Tensor:
    """The code of one-hot values `(B, K, …)`, `(B, …)`; NaN where it does not follow from those that are known."""
    ones, unknown = values == 1, values.isnan()
    only = (unknown.sum(1) == 1) & ((values == 0) | unknown).all(1)  # all others are 0
    code = torch.where(ones.any(1), ones.int().argmax(1), unknown.int().argmax(1)).to(values.dtype)
    return torch.where((ones.sum(1) == 1) | only, code, torch.nan)
