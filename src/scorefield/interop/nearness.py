"""How far an observation is from the simulations that a posterior was learned from."""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = ["Nearness"]

_COMPARED, _NEAREST = 5000, 5  # simulations with which an observation is compared, and of these the nearest
_TESTED = 500  # of them, whose distance to the others says what is usual
_BEYOND = 2.0  # times the largest usual distance: no simulation of the same kind is found there
_WIDER = 1.0  # times the range of a number, by which it may lie outside


class Nearness:
    """Distances of observations to their nearest simulations, standardized, and those of the simulations themselves.

    Arguments:
        x: Data of the simulations, `(N, Q)`, or sets of them, `(N, n, Q)`; those with missing numbers are left out.
        places: The places of these numbers in an observation as it is passed, `(Q,)`; None where they are all of them.
    """

    def __init__(self, x: Tensor, places: Tensor | None = None) -> None:
        self.form, self.places = x.shape[1:], places
        x = x[~x.flatten(1).isnan().any(1)]
        rows = _features(x[:: max(1, len(x) // _COMPARED)])
        self.few = len(rows) <= _NEAREST
        self.center = rows.mean(0) if len(rows) else rows.new_zeros(rows.shape[1:])
        scale = rows.std(0) if len(rows) > 1 else torch.ones_like(self.center)
        self.scale = scale.clamp_min(1e-12 * (1 + self.center.abs()).max())
        self.rows = (rows - self.center) / self.scale
        own = self.rows[:: max(1, len(rows) // _TESTED)]
        self.usual = torch.cdist(own, self.rows).sort(1).values[:, 1 : _NEAREST + 1].mean(1)

    def _standardized(self, x: Tensor) -> Tensor:
        return (_features(x) - self.center) / self.scale

    def _rows(self, x: Tensor) -> Tensor:
        """Observations in the form of the simulations, `(m, *form)`: of sets, one of any number of rows."""
        return x.reshape(-1, *self.form) if len(self.form) == 1 else x.reshape(1, -1, self.form[1])

    def distances(self, x: Tensor) -> Tensor:
        """The mean distance to the nearest simulations, `(m,)`, of observations `(m, *form)`."""
        return torch.cdist(self._standardized(x), self.rows).sort(1).values[:, :_NEAREST].mean(1)

    def share(self, x: Tensor) -> float:
        """The share of simulations that are as far from the others as the farthest of some observations, at most 1.

        For m observations it is m times the smallest of their shares (Bonferroni).
        """
        shares = (self.usual[None] >= self.distances(self._rows(x))[:, None]).double().mean(1)
        return min(1.0, float(shares.min()) * len(shares))

    def beyond(self, x: Tensor) -> str | None:
        """What says that an observation is unlike all simulations, in words; None where nothing does.

        A number lies outside of the simulated ones by more than their range, or the nearest simulations are more than
        twice as far as those of any simulation that was tested.
        """
        if self.few or bool(x.isnan().any()) or (len(self.form) == 2 and x.shape[-2:] != self.form):
            return None
        x = self._rows(x)
        found, low, high = self._standardized(x), self.rows.amin(0), self.rows.amax(0)
        outside = ((found - (low + high) / 2).abs() > (0.5 + _WIDER) * (high - low)).any(0)
        if len(self.form) == 1 and bool(outside.any()):
            i = int(outside.nonzero()[0])
            ends = [float(value) for value in (each[i] * self.scale[i] + self.center[i] for each in (low, high))]
            worst = x[(found[:, i]).abs().argmax(), i]
            place = i if self.places is None else int(self.places[i])
            return f"number {place} is {float(worst):.3g}, and {ends[0]:.3g} to {ends[1]:.3g} in the simulations"
        far, most = float(self.distances(x).max()), float(self.usual.max())
        if far > _BEYOND * most:
            return (
                f"it is {far / most:.1f} times as far from the nearest simulations as any of {len(self.usual)} of them"
            )
        return None


def _features(x: Tensor) -> Tensor:
    """Rows by which observations are compared: themselves, `(N, Q)`, or the means and deviations of sets, `(N, n, Q)`."""
    return x if x.ndim == 2 else torch.cat([x.mean(1), x.std(1, correction=0)], 1)
