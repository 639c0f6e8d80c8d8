"""Exact linear relations between columns or channels, and units of data that have some."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from .base import Units

__all__ = ["Related", "Relation", "Relations"]

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

    Raises:
        ValueError: If a column is given twice, or from a column that is given itself, or groups overlap.

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

    def __post_init__(self) -> None:
        for name in ("items", "whole", "low", "high", "names"):
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

    def __bool__(self) -> bool:
        return bool(self.items or self.groups)

    @cached_property
    def kept(self) -> tuple[int, ...]:
        """The column of each inner column, in order: independent ones, and the first of each group."""
        gone = {item.target for item in self.items} | {c for group in self.groups for c in group}
        firsts = {min(group) for group in self.groups}
        return tuple(c for c in range(self.size) if c not in gone or c in firsts)

    @cached_property
    def sources(self) -> frozenset[int]:
        """The independent columns that others are computed from."""
        return frozenset(c for item in self.items for c in item.columns)

    @property
    def levels(self) -> tuple[int, ...]:
        """The number of levels of each inner column that stands for a one-hot group, 0 for other columns."""
        return tuple(len(self.group_of(c) or ()) for c in self.kept)

    def group_of(self, column: int) -> tuple[int, ...] | None:
        """The one-hot group of a column, if it is in one."""
        return next((group for group in self.groups if column in group), None)

    def describe(self) -> tuple[str, ...]:
        """Every relation in words: "red = green = blue", "total = a + b + c"."""
        names = self.names or None
        equal: dict[int, list[int]] = {}
        for item in self.items:
            if item.copy:
                equal.setdefault(item.columns[0], [item.columns[0]]).append(item.target)
        found = [" = ".join(_name(c, names) for c in columns) for columns in equal.values()]
        found += [item.describe(names) for item in self.items if not item.copy]
        for group in self.groups:
            found.append(f"one of {', '.join(_name(c, names) for c in group)} is 1 in every row: a category")
        return tuple(found)

    def inward(self, x: Tensor) -> Tensor:
        """The inner columns of data, `(B, C, …)` to `(B, len(kept), …)`; a group of unknown values is NaN."""
        columns = [x[:, c] if (group := self.group_of(c)) is None else _code(x[:, list(group)]) for c in self.kept]
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
        return torch.stack(columns, 1)

    def _settled(self, column: int, values: Tensor) -> Tensor:
        """Values as they will be in the data, where sums are computed from them: whole, and inside of the bounds."""
        if column not in self.sources:
            return values
        low, high = self.low[column], self.high[column]
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
            yield item.describe(names), beyond.flatten(1).any(1) if x.ndim > 2 else beyond
        for group in self.groups:
            values = x[:, list(group)]
            known = ~values.isnan().any(1)
            words = f"one of {', '.join(_name(c, names) for c in group)} is 1 and the others 0"
            yield words, known & (((values != 0) & (values != 1)).any(1) | (values.sum(1) != 1))

    def derived(self, x: Tensor, known: Tensor) -> tuple[Tensor, Tensor]:
        """Known values, with the one term of a known sum that is not known: `(B, C, …)` and as many flags."""
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

    def outside(self, x: Tensor) -> Tensor:
        """Which data have a dependent column beyond its bounds, `(B, C, …)` to `(B,)`: 1 - a - b may be negative."""
        found = torch.zeros(len(x), dtype=torch.bool, device=x.device)
        for item in self.items:
            values, size = x[:, item.target].double(), _ROUNDING * torch.finfo(x.dtype).eps * item.size(x)
            low, high = self.low[item.target], self.high[item.target]
            for excess in ([] if low is None else [low - values]) + ([] if high is None else [values - high]):
                found |= (excess > size).reshape(len(x), -1).any(1)
        return found


def _code(values: Tensor) -> Tensor:
    """The code of one-hot values `(B, K, …)`, `(B, …)`; NaN where it does not follow from those that are known."""
    ones, unknown = values == 1, values.isnan()
    only = (unknown.sum(1) == 1) & ((values == 0) | unknown).all(1)  # all others are 0
    code = torch.where(ones.any(1), ones.int().argmax(1), unknown.int().argmax(1)).to(values.dtype)
    return torch.where((ones.sum(1) == 1) | only, code, torch.nan)


class Related(Units):
    """Units of data with exact linear relations: they are kept by construction, whatever is drawn.

    Inner units work on the independent columns alone. The log-volume is that of theirs: log-densities are densities
    of the independent columns, and -∞ for data that violate a relation.

    Arguments:
        inner: The units of the inner columns `relations.kept`; `relations.levels` says which of them are categories.
        relations: The relations.

    Raises:
        ValueError: If the inner units are not those of as many columns as are independent.

    Example:
        >>> from scorefield.units import Standardize
        >>> units = Related(Standardize((2,)), Relations(3, (Relation(2, (0, 1), (1, 1)),)))
        >>> units.shape, units.state_shape
        ((3,), (2,))
        >>> units.inverse(units(torch.tensor([[1.0, 2.0, 3.0]])))
        tensor([[1., 2., 3.]])
        >>> units.log_volume(torch.tensor([[1.0, 2.0, 3.0], [1.0, 2.0, 4.0]]))
        tensor([-0., -inf], dtype=torch.float64)
    """

    def __init__(self, inner: Units, relations: Relations) -> None:
        if not inner.shape or inner.shape[0] != len(relations.kept):
            what = f"{len(relations.kept)} of {relations.size} columns are independent"
            raise ValueError(f"{what}, got units for data of shape {inner.shape}: give units for relations.kept")
        if relations.groups and len(inner.shape) > 1:
            raise ValueError("one-hot groups are of tables, got units of a grid: leave groups out of its relations")
        super().__init__((relations.size, *inner.shape[1:]))
        self.inner, self.relations = inner, relations
        self.has_cells, self.variables = inner.has_cells, inner.variables
        ends = zip(relations.low, relations.high)
        bounded = [low is not None or high is not None for low, high in ends]
        if any(bounded[item.target] for item in relations.items):
            self.outside = relations.outside

    @property
    def state_shape(self) -> tuple[int, ...]:
        return self.inner.state_shape

    @property
    def smooth(self) -> Tensor:
        """Of each column, whether it is smooth in the inner units, or follows from columns that are."""
        found = torch.zeros(self.relations.size, dtype=torch.bool)
        for place, c in enumerate(self.relations.kept):
            found[c] = self.relations.group_of(c) is None and bool(self.inner.smooth[place])
        for item in self.relations.items:
            found[item.target] = bool(item.columns) and bool(found[list(item.columns)].all())
        return found

    def derived(self, x: Tensor, known: Tensor) -> tuple[Tensor, Tensor]:
        """With the one term of a known sum that is not known."""
        return self.relations.derived(x, known)

    def contradiction(self, x: Tensor, known: Tensor) -> str | None:
        """The first relation that known values do not have."""
        return self.relations.contradicted(torch.where(known.bool(), x, torch.nan))

    def state_errors(self, x: Tensor, errors: Tensor) -> Tensor:
        """Those of the independent columns."""
        return self.inner.state_errors(self.relations.inward(x), self.relations.inward(errors))

    def forward(self, x: Tensor, place: Tensor | None = None) -> Tensor:
        """Maps data to the states of the independent columns."""
        y: Tensor = self.inner(self.relations.inward(x), self._places(place))
        return y

    def inverse(self, x: Tensor) -> Tensor:
        """Maps states to data that have the relations exactly."""
        return self.relations.outward(self.inner.inverse(x))

    def with_known(self, drawn: Tensor, x: Tensor, known: Tensor) -> Tensor:
        """Data that were drawn, with known values, and what equals them in the inner units; relations hold again."""
        derived, flags = self.derived(x, known)
        unknown = torch.where(flags, derived, torch.nan)
        inward, inner = self.relations.inward, self._inward_flags(flags, unknown)
        found = self.relations.outward(self.inner.with_known(inward(drawn), inward(unknown), inner))
        return torch.where(known, x, found)

    def log_volume(self, x: Tensor, place: Tensor | None = None, counted: Tensor | None = None) -> Tensor:
        """The log-volume of the inner units, of shape `(B,)`; -∞ where a relation does not hold."""
        volume = self.inner.log_volume(self.relations.inward(x), self._places(place), self._places(counted))
        return volume.masked_fill(self.relations.violated(x), -torch.inf)

    def _places(self, place: Tensor | None) -> Tensor | None:
        return None if place is None else place[:, list(self.relations.kept)]

    def status(self, known: Tensor, x: Tensor, complete: bool = False) -> Tensor:
        """What each variable of the inner units is, given some columns.

        Raises:
            ValueError: If a given column is a sum of columns that are not all given, or a group's given columns do not
                say which one is 1.
        """
        return self.inner.status(*self._known_inward(known, x), complete)

    def variables_of(self, columns: Tensor) -> Tensor:
        """Those of the columns that are not sums of others; a category is of all columns of its group."""
        inner = [bool(columns[list(self.relations.group_of(c) or (c,))].all()) for c in self.relations.kept]
        return self.inner.variables_of(columns.new_tensor(inner, dtype=torch.bool))

    def targets(self, wanted: Tensor, known: Tensor, x: Tensor) -> tuple[Tensor, Tensor]:
        """What has a part in a log-density: that of the inner columns."""
        union, inward = self._known_inward(wanted | known, x)
        given = self._known_inward(known, x)[0]
        found, values = self.inner.targets(union & ~given, given, inward)
        counted = torch.zeros_like(known)
        counted[:, list(self.relations.kept)] = values
        return found, counted

    def _known_inward(self, known: Tensor, x: Tensor) -> tuple[Tensor, Tensor]:
        """Which inner columns are known, and their values; an error if what is known does not say it."""
        for item in self.relations.items:
            sources = known[:, list(item.columns)].all(1)
            loose = (known[:, item.target] & ~sources).reshape(-1)
            if bool(loose.any()):
                names = self.relations.names or None
                what = f"{_name(item.target, names)} is given, and it follows from others ({item.describe(names)})"
                raise ValueError(f"{what}: give {self._listed(item.columns)} in its place")
        unknown = torch.where(known, x, torch.nan)
        inward = self.relations.inward(unknown if self.relations.groups else x)
        return self._inward_flags(known, unknown), inward

    def _inward_flags(self, known: Tensor, x: Tensor) -> Tensor:
        """Which inner columns are known, of data with NaN where a value is not."""
        columns = []
        for c in self.relations.kept:
            group = self.relations.group_of(c)
            columns.append(known[:, c] if group is None else self._group_known(group, known, x))
        return torch.stack(columns, 1)

    def _group_known(self, group: tuple[int, ...], known: Tensor, x: Tensor) -> Tensor:
        """Whether the category of a one-hot group follows from the given columns."""
        given, values = known[:, list(group)], x[:, list(group)]
        found = ~_code(values).isnan()
        if bool((given.any(1) & ~found).any()):
            what = f"the given ones of {self._listed(group)} do not say which of them is 1"
            raise ValueError(f"{what}: give the one that is 1, or none of them")
        return found

    def _listed(self, columns: Sequence[int]) -> str:
        return ", ".join(_name(c, self.relations.names or None) for c in columns)
