"""How far an observation is from the simulations that a posterior was learned from."""

from __future__ import annotations

import functools

import torch
from torch import Tensor

from ..rng import permutation

__all__ = ["Nearness"]

_COMPARED, _NEAREST = 5000, 5  # simulations with which an observation is compared, and of these the nearest
_TESTED = 2000  # of them, whose distances to the others are the usual ones
_BEYOND = 2.0  # times the largest usual distance: no simulation of the same kind is found there
_LEAST = 0.5  # standard deviations: a usual distance is taken as no less, as where the same data come again and again
_WIDER = 1.0  # times the range of a number, by which it may lie outside
_ROUNDING = 1e-7  # of the length of a row, below which a distance is 0


class Nearness:
    """Distances of observations to their nearest simulations, standardized, and those of the simulations themselves.

    It keeps 5,000 simulations at most.

    Arguments:
        x: Data of the simulations, `(N, Q)`, or sets of them, `(N, n, Q)`; those with missing numbers are left out.
        places: The places of these numbers in an observation as it is passed, `(Q,)`; None where they are all of them.
    """

    def __init__(self, x: Tensor, places: Tensor | None = None) -> None:
        self.form, self.places = x.shape[1:], places
        x = x[~x.flatten(1).isnan().any(1)]
        self.x = x[permutation(len(x), 0, -1)[:_COMPARED]]

    @functools.cached_property
    def _units(self) -> tuple[Tensor, Tensor]:
        rows = _features(self.x)
        center = rows.mean(0)
        return center, rows.std(0).clamp_min(1e-12 * (1 + center.abs()).max())

    @functools.cached_property
    def _rows(self) -> Tensor:
        return self._standardized(self.x)

    @functools.cached_property
    def _usual(self) -> Tensor:
        """The mean distances of some simulations to their nearest others."""
        return self._sorted(self._rows[:_TESTED])[:, 1 : _NEAREST + 1].mean(1)

    def _standardized(self, x: Tensor) -> Tensor:
        center, scale = self._units
        return (_features(x) - center) / scale

    def _sorted(self, rows: Tensor) -> Tensor:
        """The distances to the nearest simulations and one more, in order; what is only rounding is 0."""
        found = torch.cdist(rows, self._rows)
        found[found < _ROUNDING * self._rows.norm(dim=1).max()] = 0
        return found.topk(min(_NEAREST + 1, len(self._rows)), 1, largest=False).values

    def _as_simulated(self, x: Tensor) -> Tensor:
        """Observations in the form of the simulations, `(m, *form)`: of sets, one of any number of rows."""
        return x.reshape(-1, *self.form) if len(self.form) == 1 else x.reshape(1, -1, self.form[1])

    def distances(self, x: Tensor) -> Tensor:
        """The mean distance to the nearest simulations, `(m,)`, of observations `(m, *form)`."""
        return self._sorted(self._standardized(x))[:, :_NEAREST].mean(1)

    def share(self, x: Tensor) -> float:
        """The share of simulations that are as far from the others as the farthest of some observations, at most 1.

        For m observations it is m times the smallest of their shares (Bonferroni).
        """
        shares = (self._usual[None] >= self.distances(self._as_simulated(x))[:, None]).double().mean(1)
        return min(1.0, float(shares.min()) * len(shares))

    def beyond(self, x: Tensor) -> str | None:
        """What says that an observation is unlike all simulations, in words; None where nothing does.

        A number lies outside of the simulated ones by more than their range, or the nearest simulations are more than twice as
        far as those of any simulation that was tested. Of a set, all members are looked at, and sets of as many are compared.
        """
        if len(self.x) <= _NEAREST or bool(x.isnan().any()):
            return None
        return self._outside(x.reshape(-1, self.form[-1])) or self._far(x)

    def _outside(self, x: Tensor) -> str | None:
        """Which number of some rows `(m, Q)` lies outside."""
        known = self.x.reshape(-1, self.form[-1])
        low, high = known.amin(0), known.amax(0)
        outside = ((x - (low + high) / 2).abs() > (0.5 + _WIDER) * (high - low)).any(0)
        if not bool(outside.any()):
            return None
        i = int(outside.nonzero()[0])
        worst = float(x[(x[:, i] - (low + high)[i] / 2).abs().argmax(), i])
        place = i if self.places is None else int(self.places[i])
        return f"number {place} is {worst:.3g}, and {float(low[i]):.3g} to {float(high[i]):.3g} in the simulations"

    def _far(self, x: Tensor) -> str | None:
        """How far it is from the nearest simulations, if that is far."""
        if len(self.form) == 2 and x.shape[-2:] != self.form:
            return None
        far = float(self.distances(self._as_simulated(x)).max())
        most = max(_LEAST, float(self._usual.max()))
        if far <= _BEYOND * most:
            return None
        return f"the nearest simulations are {far / most:.1f} times as far as those of {len(self._usual)} simulations"


def _features(x: Tensor) -> Tensor:
    """Rows by which observations are compared: themselves, `(N, Q)`, or the means and deviations of sets, `(N, n, Q)`."""
    return x if x.ndim == 2 else torch.cat([x.mean(1), x.std(1, correction=0)], 1)
