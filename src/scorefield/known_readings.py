"""Readings as a condition: the times and channels of rows of different length, and those values that are known."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from .conditions import KnownValues
from .data import Encoded, Readings
from .warned import warn_outside

__all__ = ["KnownReadings", "known_readings", "layouts"]


class KnownReadings(KnownValues):
    """The times and channels of readings, with known values of some of them. All others of these readings are drawn.

    Arguments:
        x: M rows of readings, `(M, 3 L)`: values, times and channels, NaN where there is none.
        known: Which of these numbers are known, `(M, 3 L)`; sample i has row i modulo M.
        complete: Has no effect, as there is no missingness to learn.
        names: The names of what is known, for messages.
    """

    @property
    def only_draws(self) -> bool:  # type: ignore[override]
        """Whether no value is known: data that are given bring times and channels of their own."""
        return not bool(self.known[:, : self.known.shape[1] // 3].any())

    @property
    def summary(self) -> str:
        """What is known, and of how many rows."""
        what = "the times" if self.only_draws else "some readings"
        return f"{what} of {len(self.x):,} row{'s' * (len(self.x) > 1)} known"

    def check_density(self) -> None:
        if not self.only_draws:
            what = "the density given some readings is a conditional of the model that is not conditioned on them"
            raise ValueError(f"{what}: model.density().conditional(x, given=[…]), true for readings that are given")


def layouts(x: Tensor) -> KnownReadings:
    """The times and channels of rows, `(M, 3 L)`, as all that is known: what new rows are drawn like."""
    known = ~x.isnan()
    known[:, : x.shape[1] // 3] = False
    return KnownReadings(x, known, names=("times",))


def known_readings(form: Readings, x: Any, span: tuple[float, float]) -> tuple[KnownReadings, Encoded]:
    """Readings of the user as a condition: those with a value are known, those without are asked for.

    Arguments:
        form: How readings are arranged.
        x: The readings.
        span: The range of the times that were learned.

    Raises:
        ValueError: If they are not readings of this form, or there are none.

    Warns:
        UserWarning: If times lie outside of those that were learned.
    """
    encoded = form.encoded(x, asked=True)
    if not len(encoded.x):
        raise ValueError("there are no readings: give the times to draw at, with NaN as their values")
    found = torch.from_numpy(encoded.x)
    times = found.reshape(len(found), 3, -1)[:, 1]
    slack = 1e-9 * (span[1] - span[0])
    far = (times < span[0] - slack) | (times > span[1] + slack)
    if form.times is not None and bool(far.any()):
        ends = " to ".join(map(form.times.written, span))
        at = form.times.written(float(times[far][0]))
        warn_outside(f"the time {at} lies outside of the data ({ends}): what is drawn there is extrapolated")
    return KnownReadings(found, ~found.isnan(), names=("readings",)), encoded
