"""Units of data with exact relations between columns or channels."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import chain

import torch
from torch import Tensor

from ..data.variables import ABSENT
from .base import Units
from .functions import determined
from .relations import Relations, one_hot_code

__all__ = ["Related"]


class Related(Units):
    """Units of data with exact relations: they are kept by construction, whatever is drawn.

    Inner units work on the independent columns alone. The log-volume is that of theirs: log-densities are densities
    of the independent columns, and -∞ for data that violate a relation, or a bound of a dependent column. The target of a
    function has a part in them only where its source is unknown.

    Arguments:
        inner: The units of the inner columns `relations.kept`; `relations.levels` says which of them are categories.
        relations: The relations.

    Raises:
        ValueError: If the inner units are not those of as many columns as are independent.

    Example:
        >>> from scorefield.units import Relation, Standardize
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
        if relations.computed and inner.variables is None:
            raise ValueError("functions of columns need units of numbers and categories, got units of numbers alone")
        super().__init__((relations.size, *inner.shape[1:]))
        self.inner, self.relations = inner, relations
        self.has_cells, self.variables = inner.has_cells, inner.variables
        if relations.may_be_outside:
            self.outside = relations.outside

    @property
    def state_shape(self) -> tuple[int, ...]:
        return self.inner.state_shape

    @property
    def atoms(self) -> tuple[tuple[float, ...], ...]:
        """Those of the independent columns; none of those that follow from them."""
        found = dict(zip(self.relations.kept, self.inner.atoms))
        return tuple(found.get(c, ()) for c in range(self.relations.size))

    @property
    def smooth(self) -> Tensor:
        """Of each column, whether it is smooth in the inner units, or follows from columns that are."""
        found = torch.zeros(self.relations.size, dtype=torch.bool)
        for place, c in enumerate(self.relations.kept):
            found[c] = self.relations.group_of(c) is None and bool(self.inner.smooth[place])
        for item in self.relations.items:
            found[item.target] = bool(item.columns) and bool(found[list(item.columns)].all())
        found[[f.target for f in self.relations.functions]] = False
        return found

    def derived(self, x: Tensor, known: Tensor) -> tuple[Tensor, Tensor]:
        """With the one term of a known sum that is not known, and with what functions give."""
        return self.relations.derived(x, known)

    def contradiction(self, x: Tensor, known: Tensor) -> str | None:
        """The first relation that known values do not have, or that would lead beyond a bound."""
        found = self.relations.contradicted(torch.where(known.bool(), x, torch.nan))
        beyond = ((words, rows) for _, words, rows in self.relations.beyond(x, known.bool()))
        apart = ((words, rows) for words, _, rows in self.relations.disagreeing(x, known))
        return found or next((words for words, rows in chain(beyond, apart) if bool(rows.any())), None)

    def contradicting(self, x: Tensor, known: Tensor) -> Tensor:
        """Those from which a column would follow beyond its bounds, and those that functions do not allow together."""
        found = torch.zeros_like(known)
        for item, _, rows in self.relations.beyond(x, known):
            places = [item.target, *item.columns]
            found[:, places] |= rows[:, None] & known[:, places]
        for _, columns, rows in self.relations.disagreeing(x, known):
            found[:, list(columns)] |= rows[:, None] & known[:, list(columns)]
        return found

    def state_errors(self, x: Tensor, errors: Tensor) -> Tensor:
        """Those of the independent columns."""
        return self.inner.state_errors(self.relations.inward(x), self.relations.inward(errors))

    def forward(self, x: Tensor, place: Tensor | None = None) -> Tensor:
        """Maps data to the states of the independent columns."""
        y: Tensor = self.inner(self.relations.inward(x), self._places(place))
        return y

    def drawn(self, place: Tensor) -> Tensor:
        """Those of the inner units; of columns that follow from others, as they are."""
        kept = torch.tensor(list(self.relations.kept), device=place.device)
        return place.index_copy(1, kept, self.inner.drawn(place[:, kept]))

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
        """The log-volume of the inner units, `(B,)`; -∞ where a relation does not hold, or leads beyond a bound."""
        volume = self.inner.log_volume(self.relations.inward(x), self._places(place), self._places(counted))
        return volume.masked_fill(self.relations.violated(x) | self.relations.outside(x), -torch.inf)

    def _places(self, place: Tensor | None) -> Tensor | None:
        return None if place is None else place[:, list(self.relations.kept)]

    def status(self, known: Tensor, x: Tensor, complete: bool = False) -> Tensor:
        """What each variable of the inner units is, given some columns: ABSENT, where a known column determines it.

        Raises:
            ValueError: If a given column is a sum of columns that are not all given, or a group's given columns do not
                say which one is 1.
        """
        found = self.inner.status(*self._known_inward(known, x), complete)
        for _, variables, rows in self._determined(known, x):
            found = torch.where(rows[:, None] & variables, ABSENT, found)
        return found

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
        for target, variables, rows in self._determined(wanted | known, x):
            found &= ~(rows[:, None] & variables)
            counted[:, target] &= ~rows
        return found, counted

    def _determined(self, known: Tensor, x: Tensor) -> Iterator[tuple[int, Tensor, Tensor]]:
        """Each function of an independent column: its target, the variables of that, `(V,)`, and where it is known, `(M,)`."""
        if not self.relations.computed:
            return
        known, x = self._closed(known, x)
        for f, rows in determined(self.relations.computed, x, known):
            own = torch.zeros(self.relations.size, dtype=torch.bool, device=known.device)
            own[f.target] = True
            yield f.target, self.variables_of(own).to(known.device), rows

    def _closed(self, known: Tensor, x: Tensor) -> tuple[Tensor, Tensor]:
        """Which columns are known, with sources of functions whose target says what they are; and rows with their values."""
        known, x = known.bool().clone(), x.clone()
        for f in reversed(self.relations.functions):
            if f.one_to_one:
                rows = known[:, f.target] & ~x[:, f.target].isnan() & (~known[:, f.source] | x[:, f.source].isnan())
                x[:, f.source] = torch.where(rows, f.source_of(x[:, f.target]).to(x.dtype), x[:, f.source])
                known[:, f.source] |= rows
        for item in self.relations.items:
            known[:, item.target] |= known[:, list(item.columns)].all(1)
        return known, x

    def _known_inward(self, known: Tensor, x: Tensor) -> tuple[Tensor, Tensor]:
        """Which inner columns are known, and their values; an error if what is known does not say it."""
        if self.relations.functions:
            known, x = self._closed(known, x)
        for item in self.relations.items:
            sources = known[:, list(item.columns)].all(1)
            loose = (known[:, item.target] & ~sources).reshape(-1)
            if bool(loose.any()):
                name, words = self.relations.name_of(item.target), self.relations.in_words(item)
                what = f"{name} is given, and it follows from others ({words})"
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
        found = ~one_hot_code(values).isnan()
        if bool((given.any(1) & ~found).any()):
            what = f"the given ones of {self._listed(group)} do not say which of them is 1"
            raise ValueError(f"{what}: give the one that is 1, or none of them")
        return found

    def _listed(self, columns: Sequence[int]) -> str:
        return ", ".join(map(self.relations.name_of, columns))
