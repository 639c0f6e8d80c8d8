"""Drift: how far rows that were recorded later are from those before, next to how far samples are from either."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from ..metrics import Distance, Pool, energy_distance, energy_test
from ..metrics.base import subsample

__all__ = ["Drift", "drift_of"]

_ROWS = 1000  # of either side
_STRETCHES = 3  # of training rows that say what is usual, at least
_LEVEL = 0.01


@dataclass(frozen=True)
class Drift:
    """Energy distances, in standard units, where the held-out rows are the last ones in time.

    Arguments:
        apart: Between training rows and held-out rows. Its range is that of earlier stretches of as many rows, each from the
            rows before it; its p-value is that of rows in random order.
        samples: Between samples and held-out rows.
        fit: Between samples and training rows, with a test that finds that a model does not fit the rows it was trained on.

    Example:
        >>> apart, fit = (Distance("energy", 0.3, 0.0, 0.0, 0.05, p_value=p) for p in (0.002, 0.4))
        >>> Drift(apart, 0.31, fit).sentence
        'The held-out rows are the last in time, and are 0.3 from training rows in energy distance, earlier stretches at most \
0.05 from the rows before them: the data drift. Samples are 0.31 from held-out rows and not distinguished from training rows \
(p = 0.4): what the tests see is drift, not a model that does not fit.'
    """

    apart: Distance
    samples: float
    fit: Distance

    @property
    def drifts(self) -> bool:
        """Whether later rows differ from earlier ones more than the order of rows explains."""
        return not self.apart.covered and (self.apart.p_value or 0.0) <= _LEVEL

    @property
    def fits(self) -> bool:
        """Whether samples are not distinguished from training rows."""
        return (self.fit.p_value or 0.0) > _LEVEL

    @property
    def sentence(self) -> str:
        """The result in a sentence or two."""
        apart = f"{self.apart.value:.2g} from training rows in energy distance"
        usual = f"earlier stretches at most {self.apart.high:.2g} from the rows before them"
        said = f"The held-out rows are the last in time, and are {apart}, {usual}"
        near = f"Samples are {self.samples:.2g} from held-out rows and"
        fit = f"training rows (p = {self.fit.p_value:.2g})"
        if self.drifts and self.fits:
            what = "what the tests see is drift, not a model that does not fit"
            return f"{said}: the data drift. {near} not distinguished from {fit}: {what}."
        if self.drifts:
            return (
                f"{said}: the data drift. {near} {self.fit.value:.2g} from {fit}: the model does not fit these either."
            )
        drift = "no drift was found, and rows of a series are not independent, so that p-values may be too small"
        return f"{said}: {drift}. {near} {self.fit.value:.2g} from {fit}."


def drift_of(drawn: Tensor, train: Tensor, held_out: Tensor, order: np.ndarray, seed: int = 0) -> Drift:
    """Compares samples, training rows and later rows with each other.

    Arguments:
        drawn, train, held_out: Samples, training rows and held-out rows in standard units, `(N, *D)`.
        order: The places of the training rows in time, `(N,)`.
        seed: The seed of subsets and permutations.
    """
    ordered = train[torch.from_numpy(np.argsort(order[: len(train)]))]
    size = len(held_out)
    starts = range(
        len(ordered) - size, size - 1, -size
    )  # from the last stretch to the first that has as many rows before it
    usual = [_energy(ordered[start : start + size], ordered[:start], seed) for start in starts]
    test = energy_test(Pool.of(train, held_out, maximum=_ROWS, standardize=False, seed=seed))
    value = _energy(held_out, ordered, seed)
    low, middle, high = test.low, test.floor, test.high
    if len(usual) >= _STRETCHES:
        low, middle, high = min(usual), float(np.median(usual)), max(usual)
    counts, note = (len(train), size), f"of {len(usual)} earlier stretches"
    apart = Distance("training against held-out rows", value, middle, low, high, counts, test.p_value, note=note)
    fit = energy_test(Pool.of(drawn, train, maximum=_ROWS, standardize=False, seed=seed))
    return Drift(apart, _energy(drawn, held_out, seed), fit)


def _energy(x: Tensor, y: Tensor, seed: int) -> float:
    some = (subsample(x, _ROWS, seed), subsample(y, _ROWS, seed + 1))
    return energy_distance(some[0], some[1], standardize=False, seed=seed)
